//! A file on its way into the store, in pieces, so that what is known of it early is on its way
//! early.
//!
//! Called by [`super::store`] for whole files, and by whoever makes one as its parts come. In a
//! folder each piece is written as it is appended, under a name of its own; anywhere else the file
//! is sent when all of it is there. Invariants: nothing is visible before [`Put::finish`], and
//! never a part of it, but that a loss of power may leave a part of a segment that no manifest has;
//! what is dropped before that leaves nothing, soon.

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutMode, PutPayload, Result};
use riverrun_engine::{fault_point, planted};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use xxhash_rust::xxh3::Xxh3Default;

use super::names;
use super::staged::{Spare, Staged};
use crate::doors::{self, Blocking};

/// A file that is being written.
pub struct Put {
    file: String,
    to: To,
    writing: Arc<RwLock<()>>,
    /// Gone when nobody wants the file any more.
    wanted: Arc<()>,
    len: u64,
    checksum: Box<Xxh3Default>,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Put { file, to, len, .. } = self;
        f.debug_struct("Put").field("file", file).field("to", to).field("len", len).finish()
    }
}

#[derive(Debug)]
enum To {
    /// Where all of it is sent at once: what is known of it.
    Objects(Arc<dyn ObjectStore>, Vec<Bytes>),
    /// A file in a folder of which nothing is known yet, and what may be written over for it.
    Folder(PathBuf, Option<Arc<Spare>>),
    /// A thread that writes what it is sent.
    Staged(Sender<Piece>, Blocking<Result<()>>),
}

/// What the thread is sent.
#[derive(Debug)]
enum Piece {
    More(Vec<Bytes>),
    /// The file is whole: it may take its name. Nobody may believe it absent meanwhile.
    End(OwnedRwLockReadGuard<()>),
}

/// How long a file is, and the XXH3-128 of its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub(super) len: u64,
    pub(super) checksum: u128,
}

impl Put {
    /// `file`, to be created in `folder`, over what is spare there, or in `objects` where that is
    /// none. `writing` is read while it may take its name.
    pub(super) fn new(
        file: &str,
        objects: &Arc<dyn ObjectStore>,
        folder: Option<(&PathBuf, Option<&Arc<Spare>>)>,
        writing: &Arc<RwLock<()>>,
    ) -> Put {
        let to = match folder {
            Some((folder, spare)) => To::Folder(folder.join(file), spare.cloned()),
            None => To::Objects(objects.clone(), Vec::new()),
        };
        let checksum = Box::new(Xxh3Default::new());
        let (file, writing, wanted) = (file.to_owned(), writing.clone(), Arc::default());
        Put { file, to, writing, wanted, len: 0, checksum }
    }

    /// Its name in the store.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Appends `pieces`. That they cannot be written is told by [`Put::finish`].
    pub fn append(&mut self, pieces: Vec<Bytes>) {
        if let To::Folder(path, spare) = &mut self.to {
            let (path, spare) = (std::mem::take(path), spare.take());
            let (wanted, (to, sent)) = (Arc::downgrade(&self.wanted), channel());
            let written = doors::blocking(move || write((&path, spare), &wanted, &sent));
            self.to = To::Staged(to, written);
        }
        match &mut self.to {
            To::Objects(_, known) => known.extend_from_slice(&pieces),
            // Where it has failed it has ended.
            To::Staged(to, _) => drop(to.send(Piece::More(pieces.clone()))),
            To::Folder(..) => unreachable!("it is staged"),
        }
        for piece in &pieces {
            self.len += piece.len() as u64;
            self.checksum.update(piece);
        }
    }

    /// Appends the last pieces and makes the file durable under its name. What was begun here may
    /// go on when nobody waits for it any more, and still arrive.
    ///
    /// # Errors
    /// The storage's; where there is such a file.
    pub(super) async fn finish(mut self, last: Vec<Bytes>) -> Result<Finished> {
        self.append(last);
        let fault = fault_point!("storage.write");
        fault.map_err(|fault| generic("drill", fault))?;
        let finished = Finished { len: self.len, checksum: self.checksum.digest128() };
        if planted!("segment.unwritten") && self.file.starts_with(names::SEGMENTS) {
            return Ok(finished);
        }
        let writing = self.writing.clone().read_owned().await;
        let panicked = || generic("write", "what wrote has panicked");
        match self.to {
            To::Objects(objects, pieces) => {
                let (at, payload) = (Path::from(self.file), PutPayload::from_iter(pieces));
                let put = doors::detached("put", async move {
                    let put = objects.put_opts(&at, payload, PutMode::Create.into()).await;
                    drop(writing);
                    put
                });
                put.await.ok_or_else(panicked)??;
            }
            To::Staged(pieces, written) => {
                // Where it has failed it has ended.
                drop(pieces.send(Piece::End(writing)));
                written.ended().await.ok_or_else(panicked)??;
            }
            To::Folder(..) => unreachable!("it is staged"),
        }
        Ok(finished)
    }
}

/// An error of which no more is known than what it says.
pub(super) fn generic(
    store: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Generic { store, source: source.into() }
}

/// Writes what is sent into the file at `path`, over what is `spare`; it is there once its end was
/// sent, while it is `wanted`.
fn write(
    (path, spare): (&std::path::Path, Option<Arc<Spare>>),
    wanted: &Weak<()>,
    sent: &Receiver<Piece>,
) -> Result<()> {
    let written = || {
        let mut staged = Staged::create(path, spare)?;
        loop {
            let piece = sent.recv();
            if wanted.strong_count() == 0 {
                return Ok(());
            }
            match piece {
                Ok(Piece::More(pieces)) => staged.append(&pieces)?,
                Ok(Piece::End(writing)) => {
                    let published = staged.publish();
                    drop(writing);
                    return published;
                }
                Err(_) => return Ok(()),
            }
        }
    };
    written().map_err(|source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::AlreadyExists { path: path.display().to_string(), source: source.into() }
        }
        _ => generic("disk", source),
    })
}
