//! The command line's output: results to standard output, all else to standard error.

use std::io::{self, Write as _};

/// Prints whole lines. A reader that has seen enough (`| head`) is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Tells the user something beside the result. Without a standard error nobody is there to be told.
pub(super) fn tell(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// Tells what is wrong.
pub(super) fn errors(lines: &[String]) {
    lines.iter().for_each(|line| tell(&format!("error: {line}")));
}
