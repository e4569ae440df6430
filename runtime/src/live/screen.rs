//! [`Screen`]: a terminal whose last lines are one block, redrawn in place. Log lines go above it.
//!
//! Shared by the block's thread, whoever logs, and sinks that print to the same terminal (through
//! `riverrun_engine::console`). Invariant: between two calls the cursor stands at
//! the beginning of the line below the block.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crossterm::cursor::{MoveToColumn, MoveUp};
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};
use riverrun_engine::console::Console;
use tracing_subscriber::fmt::MakeWriter;

struct Inner {
    out: Box<dyn Write + Send>,
    block: String,
}

impl Inner {
    /// What takes the block away.
    fn clear(&self, frame: &mut Vec<u8>) -> io::Result<()> {
        let lines = self.block.matches('\n').count();
        if let Some(up) = u16::try_from(lines).ok().filter(|up| *up > 0) {
            queue!(frame, MoveUp(up), MoveToColumn(0), Clear(ClearType::FromCursorDown))?;
        }
        Ok(())
    }
}

/// A terminal with a block at its end.
#[derive(Clone)]
pub struct Screen(Arc<Mutex<Inner>>);

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl Screen {
    /// On `out`.
    #[must_use]
    pub fn on(out: Box<dyn Write + Send>) -> Self {
        Screen(Arc::new(Mutex::new(Inner { out, block: String::new() })))
    }

    /// Puts `block`, whole lines, in the place of the one before.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&self, block: &str) -> io::Result<()> {
        self.change(|_| {}, Some(block))
    }

    /// Writes above the block.
    fn above(&self, text: &[u8]) -> io::Result<()> {
        self.change(|frame| frame.extend_from_slice(text), None)
    }

    /// Clears the block, lets `write` write, draws the block again: as one write to the terminal.
    fn change(&self, write: impl FnOnce(&mut Vec<u8>), block: Option<&str>) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frame = Vec::new();
        inner.clear(&mut frame)?;
        write(&mut frame);
        if let Some(block) = block {
            block.clone_into(&mut inner.block);
        }
        frame.extend_from_slice(inner.block.as_bytes());
        inner.out.write_all(&frame)?;
        inner.out.flush()
    }
}

impl Console for Screen {
    fn around(&self, write: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frame = Vec::new();
        inner.clear(&mut frame)?;
        inner.out.write_all(&frame)?;
        inner.out.flush()?;
        let written = write();
        let Inner { out, block } = &mut *inner;
        out.write_all(block.as_bytes())?;
        out.flush()?;
        written
    }
}

/// Writes log lines above the block.
#[derive(Debug)]
pub struct Above(Screen);

impl Write for Above {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.above(text).map(|()| text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Above;

    fn make_writer(&self) -> Above {
        Above(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<u8>>>);

    impl Write for Shown {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lives").extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_printed_stands_above_the_block() {
        let shown = Shown::default();
        let (screen, mut terminal) = (Screen::on(Box::new(shown.clone())), shown.clone());
        screen.draw("a\nb\n").expect("draws");
        screen.around(&mut || terminal.write_all(b"record\n")).expect("prints");
        let error = screen.around(&mut || Err(io::ErrorKind::BrokenPipe.into()));
        error.expect_err("the error of the writing");
        screen.draw("c\n").expect("draws");
        let text = String::from_utf8(shown.0.lock().expect("lives").clone()).expect("text");
        let up = "\u{1b}[2A\u{1b}[1G\u{1b}[J";
        assert_eq!(text, format!("a\nb\n{up}record\na\nb\n{up}a\nb\n{up}c\n"));
    }

    #[test]
    fn the_block_stays_below_the_log() {
        let shown = Shown::default();
        let screen = Screen::on(Box::new(shown.clone()));
        screen.draw("a\nb\n").expect("draws");
        screen.make_writer().write_all(b"log\n").expect("writes");
        screen.draw("c\n").expect("draws");
        screen.draw("d\n").expect("draws");
        let text = String::from_utf8(shown.0.lock().expect("lives").clone()).expect("text");
        let up = |lines: u16| format!("\u{1b}[{lines}A\u{1b}[1G\u{1b}[J");
        assert_eq!(text, format!("a\nb\n{}log\na\nb\n{}c\n{}d\n", up(2), up(2), up(1)));
    }
}
