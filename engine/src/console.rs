//! Who else writes to the terminal: a run that shows a block there, and sinks that print.
//!
//! Set by the runtime while it shows something, asked by whoever prints to standard output. There
//! is one standard output in a process, so there is one console. Without one, printing is plain
//! writing.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

/// What shows something on the terminal that must not be written over.
pub trait Console: Send + Sync {
    /// Takes away what is shown, lets `write` write whole lines, and shows it again.
    ///
    /// # Errors
    /// Those of `write`; when the terminal is gone.
    fn around(&self, write: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>;
}

static SHOWN: RwLock<Option<Arc<dyn Console>>> = RwLock::new(None);

/// From now on `console` is shown; `None`: nothing is.
pub fn show(console: Option<Arc<dyn Console>>) {
    *SHOWN.write().unwrap_or_else(PoisonError::into_inner) = console;
}

/// Lets `write` write whole lines to the terminal, around what is shown there.
///
/// # Errors
/// Those of `write`; when the terminal is gone.
pub fn around(write: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
    let shown = SHOWN.read().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(console) => console.around(write),
        None => write(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Noted(Mutex<Vec<&'static str>>);

    impl Console for Noted {
        fn around(&self, write: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
            self.0.lock().expect("lives").push("cleared");
            let written = write();
            self.0.lock().expect("lives").push("drawn");
            written
        }
    }

    #[test]
    fn what_is_shown_is_taken_away_and_comes_back() {
        let noted = Arc::new(Noted::default());
        let line = || {
            noted.0.lock().expect("lives").push("line");
            Ok(())
        };
        around(&mut { line }).expect("writes");
        show(Some(noted.clone()));
        around(&mut { line }).expect("writes");
        show(None);
        around(&mut { line }).expect("writes");
        let noted = noted.0.lock().expect("lives").join(" ");
        assert_eq!(noted, "line cleared line drawn line");
    }
}
