//! A file that is written from its beginning, in whole pages, perhaps over what it held before.
//!
//! Called by [`super::Staged`]. Invariant: until its end only whole pages are written. Of a page
//! that is written over in part, the system would read the rest first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Write};

use bytes::Bytes;

/// As most systems have them.
pub(super) const PAGE: usize = 4 << 10;
/// So many bytes are on their way to the disk while the next are written.
const PIECE: usize = 512 << 10;

/// A file, and what of it is not written yet.
#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    /// What waits until it is a whole page, and how much that is.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    written: u64,
}

impl Pages {
    /// Writes over `file`, or into it where it is new.
    pub(super) fn over(file: File) -> Pages {
        Pages { file, waiting: VecDeque::new(), waiting_bytes: 0, written: 0 }
    }

    /// Writes `pieces` behind those before, all whole pages of them at once.
    pub(super) fn append(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        self.waiting.extend(pieces.iter().cloned());
        self.waiting_bytes += pieces.iter().map(Bytes::len).sum::<usize>();
        while self.waiting_bytes >= PAGE {
            let (from, len) = (self.written, PIECE.min(self.waiting_bytes / PAGE * PAGE));
            self.write(len)?;
            begin_writeback(&self.file, (from, len as u64));
        }
        Ok(())
    }

    /// Writes the rest. Answers the file, which holds nothing else, and how long it is.
    pub(super) fn end(mut self) -> io::Result<(File, u64)> {
        let (bytes, before) =
            (self.written + self.waiting_bytes as u64, self.file.metadata()?.len());
        if self.waiting_bytes > 0 {
            if before > self.written {
                let zeros = Bytes::from_static(&[0; PAGE]).slice(self.waiting_bytes..);
                self.waiting_bytes += zeros.len();
                self.waiting.push_back(zeros);
            }
            self.write(self.waiting_bytes)?;
        }
        if before.max(self.written) > bytes {
            self.file.set_len(bytes)?;
        }
        Ok((self.file, bytes))
    }

    /// Writes so many bytes of those that wait.
    fn write(&mut self, len: usize) -> io::Result<()> {
        debug_assert!(self.written.is_multiple_of(PAGE as u64), "a page is written over in part");
        let (mut pieces, mut left) = (Vec::new(), len);
        while left > 0 {
            let mut piece = self.waiting.pop_front().expect("so many bytes wait");
            if piece.len() > left {
                self.waiting.push_front(piece.split_off(left));
            }
            left -= piece.len();
            pieces.push(piece);
        }
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut slices[..];
        // Empty ones are passed.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written += len as u64;
        self.waiting_bytes -= len;
        Ok(())
    }
}

/// Tells the system that these bytes of `file`, from so many on so many, may go to the disk at
/// once. Only a hint: what fails in it fails again when the file is synced.
#[cfg(target_os = "linux")]
fn begin_writeback(file: &File, (from, len): (u64, u64)) {
    // Linux begins to write what is to leave its cache; what is not written yet stays there.
    let len = std::num::NonZeroU64::new(len);
    let _hint = rustix::fs::fadvise(file, from, len, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn begin_writeback(_file: &File, _bytes: (u64, u64)) {}
