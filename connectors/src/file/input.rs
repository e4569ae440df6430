//! Bytes of a file, decompressed by its extension, line by line and never more than a limit of them
//! in memory.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::disk::File;

/// Room for what is read from the system at a time, and for decompressed bytes.
const BUFFER_BYTES: usize = 128 * 1024;
/// A line buffer that grew beyond this is given back.
const LINE_KEPT_BYTES: usize = 1024 * 1024;

/// How a file is packed: by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) fn of(path: &str) -> Self {
        match Path::new(path).extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Packing::Gzip,
            Some("zst") => Packing::Zstd,
            _ => Packing::Plain,
        }
    }
}

/// What reading a line found. The line, with its end, is in [`Input::line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line with its end.
    Whole,
    /// The file ended before the line did.
    Unterminated,
    /// The line is longer than the limit; only its beginning was read.
    TooLong,
    /// Nothing is left.
    End,
}

/// A file being read.
pub(super) struct Input {
    bytes: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
}

impl Input {
    /// Reads `file` from where it stands.
    pub(super) fn new(file: File, packing: Packing) -> Self {
        let packed = |file| BufReader::with_capacity(BUFFER_BYTES, file);
        let bytes: Box<dyn Read + Send> = match packing {
            Packing::Plain => Box::new(file),
            Packing::Gzip => Box::new(MultiGzDecoder::new(packed(file))),
            Packing::Zstd => Box::new(Zstd::new(packed(file))),
        };
        Input { bytes: BufReader::with_capacity(BUFFER_BYTES, bytes), line: Vec::new() }
    }

    /// The line read last.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Reads a line of at most `limit` bytes, its end not counted.
    pub(super) fn read(&mut self, limit: u64) -> io::Result<Line> {
        self.line.clear();
        self.line.shrink_to(LINE_KEPT_BYTES);
        let most = limit.saturating_add(1);
        let read = (&mut self.bytes).take(most).read_until(b'\n', &mut self.line)?;
        Ok(match read {
            0 => Line::End,
            _ if self.line.ends_with(b"\n") => Line::Whole,
            _ if read as u64 > limit => Line::TooLong,
            _ => Line::Unterminated,
        })
    }

    /// Passes over the rest of the line, keeping none of it: how many bytes, and whether it ended
    /// before the file did.
    pub(super) fn skip_line(&mut self) -> io::Result<(u64, bool)> {
        let mut skipped = 0;
        loop {
            let bytes = self.bytes.fill_buf()?;
            if bytes.is_empty() {
                return Ok((skipped, false));
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(bytes.len(), |end| end + 1);
            self.bytes.consume(used);
            skipped += used as u64;
            if end.is_some() {
                return Ok((skipped, true));
            }
        }
    }

    /// Passes over `bytes` bytes; how many there were.
    pub(super) fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut (&mut self.bytes).take(bytes), &mut io::sink())
    }
}

/// Zstandard frames, one after another, checksums compared.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    state: Frame,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Outside,
    Inside,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Zstd { source, decoder: FrameDecoder::new(), state: Frame::Outside }
    }

    /// Begins the next frame, if there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => {
                    self.state = Frame::Inside;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e)),
            }
        }
        Ok(false)
    }

    fn end(&mut self) -> io::Result<()> {
        let (wanted, found) =
            (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
        if wanted.is_some() && wanted != found {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match"));
        }
        self.state = Frame::Outside;
        Ok(())
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.state == Frame::Outside && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.source, one);
                decoded.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            }
            match self.decoder.read(buffer)? {
                0 => self.end()?,
                read => return Ok(read),
            }
        }
    }
}
