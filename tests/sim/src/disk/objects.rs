//! The simulated disk as checkpoints see it: what `object_store` does on a local disk with syncing
//! switched on, step by step, so that a run may die or wait between any two steps.
//!
//! A put writes and syncs a file, gives it its name, syncs the folder. A removal is not synced. A
//! list comes in any order. As in a folder, a segment that is removed is written over by that of
//! the next checkpoint, which has its name before it is synced.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use super::SimDisk;
use super::tree::Node;

/// At most so many times others go first between two steps.
const YIELDS: u64 = 3;

/// Checkpoints below a folder of the disk.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    disk: SimDisk,
    root: PathBuf,
    /// The segment that was removed last, if it was not written over yet.
    spare: Arc<Mutex<Option<Node>>>,
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated disk")
    }
}

fn told(at: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = at.to_string();
    move |source| match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: source.into() },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: source.into() },
        _ => Error::Generic { store: "sim", source: source.into() },
    }
}

fn is_segment(at: &Path) -> bool {
    at.as_ref().starts_with("segments/")
}

/// Whether it is the segment of a checkpoint, and not one that a merge has made.
fn is_of_checkpoint(at: &Path) -> bool {
    is_segment(at) && at.as_ref().matches('.').count() == 1
}

fn never(what: &'static str) -> Error {
    Error::NotImplemented { operation: what.into(), implementer: "simulated disk".into() }
}

impl Objects {
    pub(crate) fn below(disk: &SimDisk, root: &std::path::Path) -> Self {
        Objects { disk: disk.clone(), root: root.to_owned(), spare: Arc::default() }
    }

    /// Makes the names in a folder of the store survive a crash.
    pub(crate) fn sync_names(&self, folder: &str) -> io::Result<()> {
        let folder = self.root.join(folder);
        self.disk.writes("sync names", &folder, |tree| {
            if let Ok(node) = tree.find(&folder) {
                tree.sync(node);
            }
            Ok(())
        })
    }

    fn place(&self, at: &Path) -> PathBuf {
        self.root.join(at.as_ref())
    }

    fn spare(&self) -> MutexGuard<'_, Option<Node>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sync(&self, place: &std::path::Path, node: Node) -> io::Result<()> {
        self.pause().await;
        self.disk.writes("sync", place, |tree| {
            tree.sync(node);
            Ok(())
        })
    }

    async fn sync_folder(&self, folder: &std::path::Path) -> io::Result<()> {
        self.pause().await;
        self.disk.writes("sync folder", folder, |tree| {
            let node = tree.find(folder)?;
            tree.sync(node);
            Ok(())
        })
    }

    async fn link(&self, place: &std::path::Path, node: Node) -> io::Result<()> {
        self.pause().await;
        self.disk.writes("link", place, |tree| tree.link(node, place))
    }

    /// Lets others go first, or time pass.
    async fn pause(&self) {
        if let Some(ms) = self.disk.slowness() {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        for _ in 0..self.disk.drawn(0, YIELDS) {
            tokio::task::yield_now().await;
        }
    }

    /// The length of an object, and the bytes of it that are wanted.
    async fn read(&self, at: &Path, options: &GetOptions) -> Result<(u64, u64, Bytes)> {
        self.pause().await;
        let place = self.place(at);
        let bytes = self.disk.reads("get", &place, |tree| {
            tree.find(&place).map(|node| Bytes::copy_from_slice(tree.bytes(node)))
        });
        let bytes = bytes.map_err(told(at))?;
        let length = bytes.len() as u64;
        let range = match &options.range {
            Some(range) => range.as_range(length).map_err(|e| told(at)(io::Error::other(e)))?,
            None => 0..length,
        };
        self.pause().await;
        Ok((length, range.start, bytes.slice(range.start as usize..range.end as usize)))
    }
}

fn meta(at: Path, size: u64) -> ObjectMeta {
    let last_modified = Default::default();
    ObjectMeta { location: at, last_modified, size, e_tag: None, version: None }
}

#[async_trait::async_trait]
impl ObjectStore for Objects {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if !matches!(options.mode, PutMode::Create) {
            return Err(never("a put that overwrites"));
        }
        let place = self.place(at);
        let folder = place.parent().unwrap_or(&self.root).to_owned();
        let over = is_of_checkpoint(at).then(|| self.spare().take()).flatten();
        self.pause().await;
        let node = self.disk.writes("stage", &place, |tree| {
            // The folders of a store are synced when they are made.
            if tree.find(&folder).is_err() {
                tree.create_folder(&folder)?;
                for folder in folder.ancestors() {
                    let node = tree.find(folder)?;
                    tree.sync(node);
                }
            }
            let bytes = payload.iter().flatten().copied().collect();
            Ok(match over {
                Some(node) => {
                    tree.overwrite(node, bytes);
                    node
                }
                None => {
                    let node = tree.nameless();
                    tree.append(node, &bytes);
                    node
                }
            })
        });
        let node = node.map_err(told(at))?;
        if is_of_checkpoint(at) {
            self.link(&place, node).await.map_err(told(at))?;
            let synced = match self.sync(&place, node).await {
                Ok(()) => self.sync_folder(&folder).await,
                failed => failed,
            };
            if let Err(error) = synced {
                // So that it can be written anew.
                drop(self.disk.writes("remove", &place, |tree| tree.remove(&place)));
                return Err(told(at)(error));
            }
        } else {
            self.sync(&place, node).await.map_err(told(at))?;
            self.link(&place, node).await.map_err(told(at))?;
            self.sync_folder(&folder).await.map_err(told(at))?;
        }
        self.pause().await;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(
        &self,
        _at: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(never("a put in parts"))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        let (length, from, bytes) = self.read(at, &options).await?;
        let range = from..from + bytes.len() as u64;
        let payload = GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed());
        Ok(GetResult {
            payload,
            meta: meta(at.clone(), length),
            range,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let own = self.clone();
        let removed = locations.then(move |at| {
            let own = own.clone();
            async move {
                let at = at?;
                own.pause().await;
                let place = own.place(&at);
                let removed = own.disk.writes("remove", &place, |tree| {
                    let node = tree.find(&place)?;
                    tree.remove(&place).map(|()| node)
                });
                let node = removed.map_err(told(&at))?;
                if is_segment(&at) {
                    *own.spare() = Some(node);
                }
                own.pause().await;
                Ok(at)
            }
        });
        removed.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let folder = prefix.map_or_else(|| self.root.clone(), |prefix| self.place(prefix));
        let own = self.clone();
        let listed = async move {
            own.pause().await;
            let all = own.disk.reads("list", &folder, |tree| {
                let files = tree.files(&folder).into_iter();
                Ok(files.map(|path| (tree.content(&path).len() as u64, path)).collect::<Vec<_>>())
            });
            let mut all = match all {
                Ok(all) => all,
                Err(error) => return vec![Err(told(&Path::default())(error))],
            };
            for at in (1..all.len()).rev() {
                all.swap(at, own.disk.drawn(0, at as u64) as usize);
            }
            let within = |(size, path): (u64, PathBuf)| {
                let within = path.strip_prefix(&own.root).unwrap_or(&path);
                Ok(meta(Path::from(within.to_string_lossy().as_ref()), size))
            };
            all.into_iter().map(within).collect()
        };
        stream::once(listed).flat_map(stream::iter).boxed()
    }

    async fn list_with_delimiter(&self, _prefix: Option<&Path>) -> Result<ListResult> {
        Err(never("a list of folders"))
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(never("a copy"))
    }
}
