//! The command line's output: results to standard output, all else to standard error.

use std::io::{self, Write as _};

/// Prints whole lines. A reader that has seen enough (`| head`) is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    print_on(text).map(drop)
}

/// Prints whole lines and says whether anybody still reads.
pub(super) fn print_on(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
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
