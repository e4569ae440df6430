//! What the tests of this folder share: a small job's checkpoints, and storage that fails on
//! demand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use riverrun_engine::checkpoint::{
    CheckpointId, CheckpointKind, Prepared, Section, SnapshotMode, SplitSnapshot,
};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::state::entry::{self, Entry, Op};
use riverrun_engine::state::{StateKind, StateSpec, TypeShape};
use riverrun_engine::time::Timestamp;

use super::StoredFile;
use super::manifest::FORMAT_VERSION;
use super::{CheckpointStore, Manifest, OperatorEntry, SegmentEntry, SegmentWriter, StoreError};

/// The state `sum` of the tests' operator `spend`.
pub(crate) fn spec() -> StateSpec {
    StateSpec {
        map_key: None,
        name: "sum".into(),
        kind: StateKind::Value,
        codec: "rmp-named".into(),
        key: TypeShape::of::<u64>(),
        value: TypeShape::of::<i64>(),
        ttl: None,
        migrates_from: Vec::new(),
    }
}

/// A manifest of job `cards` without state.
pub(crate) fn manifest(id: u64, attempt: &str) -> Manifest {
    let watermark = Timestamp::from_millis(7);
    let operator = OperatorEntry {
        parallelism: 2,
        watermark,
        watermarks: vec![watermark; 2],
        states: vec![spec()],
    };
    let split = SplitSnapshot {
        id: "part-0".into(),
        split: vec![1],
        offset: Some(vec![2, 3]),
        offset_text: "line 3".into(),
        clock: watermark,
        ended: false,
    };
    let prepared = Prepared { sink: Uid::new("alerts"), subtask: 1, committable: vec![1, 2, 3, 4] };
    Manifest {
        version: FORMAT_VERSION,
        engine: "0.1.0".into(),
        job: "cards".into(),
        checkpoint: CheckpointId(id),
        kind: CheckpointKind::Periodic,
        attempt: attempt.into(),
        created: watermark,
        key_groups: 128,
        operators: [(Uid::new("spend"), operator)].into(),
        sources: [(Uid::new("cards"), vec![split])].into(),
        prepared: [("files".to_owned(), vec![prepared])].into(),
        runs: Vec::new(),
        segments: Vec::new(),
    }
}

/// A file with these bytes.
pub(crate) fn stored(bytes: Vec<u8>) -> StoredFile {
    let store = CheckpointStore::on(Arc::new(object_store::memory::InMemory::new()), "bytes");
    StoredFile::new(&store, CheckpointId(1), "a file", bytes.len() as u64).with(bytes.into())
}

/// A segment with one entry in each of `groups` of `spend/sum`, that depends on `salt`.
pub(crate) fn segment(groups: std::ops::Range<u16>, salt: u64) -> (Vec<u8>, u64) {
    let mut writer = SegmentWriter::new();
    for group in groups {
        let (key, value) = (format!("k{group}"), format!("entry {salt} of {group}"));
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let mut bytes = Vec::new();
        let entry = Entry { op: Op::Put, namespace: &[], key, value };
        entry::write(&mut bytes, entry).expect("short");
        let section = Section { group: KeyGroup(group), entries: 1, bytes: bytes.into() };
        writer.add(&Uid::new("spend"), "sum", &section).expect("short names");
    }
    finished(writer)
}

/// All bytes of a segment, and the number of entries in it.
pub(crate) fn finished(writer: SegmentWriter) -> (Vec<u8>, u64) {
    let (pieces, entries) = writer.finish();
    (pieces.concat(), entries)
}

impl CheckpointStore {
    /// Writes the state of `id`, which is these bytes.
    pub(crate) async fn write_segment(
        &self,
        id: CheckpointId,
        attempt: &str,
        bytes: Vec<u8>,
        mode: SnapshotMode,
        entries: u64,
    ) -> std::result::Result<SegmentEntry, StoreError> {
        let put = self.begin_segment(id, attempt)?;
        self.end_segment(id, put, vec![bytes.into()], mode, entries).await
    }
}

/// Takes checkpoint `id` after `chain`: one more segment, then the manifest.
pub(crate) async fn take(
    store: &CheckpointStore,
    id: u64,
    attempt: &str,
    chain: Option<&Manifest>,
) -> std::result::Result<Manifest, StoreError> {
    let (bytes, entries) = segment(0..4, id);
    let mode = chain.map_or(SnapshotMode::Full, |_| SnapshotMode::Delta);
    let entry = store.write_segment(CheckpointId(id), attempt, bytes, mode, entries).await?;
    let mut manifest = manifest(id, attempt);
    manifest.runs = chain.map(|chain| chain.runs.clone()).unwrap_or_default();
    manifest.segments = chain.map(|chain| chain.segments.clone()).unwrap_or_default();
    manifest.segments.push(entry);
    store.write_manifest(&manifest).await?;
    Ok(manifest)
}

/// The names of the files in `folder`, none where there is no such folder.
#[allow(clippy::disallowed_methods, reason = "tests have folders of their own")]
pub(crate) fn files_in(folder: &std::path::Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten();
    let name = |file: std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
    files.map(|file| name(file.expect("readable"))).collect()
}

/// Runs `work` on a runtime of its own.
pub(crate) fn block_on<R>(work: impl Future<Output = R>) -> R {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().expect("a runtime").block_on(work)
}

/// Storage whose put number `fail_at` (from 1) fails as a full disk does: before the file is there,
/// or, when `too_late`, after.
#[derive(Debug)]
pub(crate) struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    puts: AtomicU32,
    fail_at: u32,
    too_late: bool,
}

impl FailingStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, fail_at: u32, too_late: bool) -> Arc<Self> {
        Arc::new(FailingStore { inner, puts: AtomicU32::new(0), fail_at, too_late })
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailingStore({})", self.inner)
    }
}

fn full() -> object_store::Error {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
    object_store::Error::Generic { store: "FailingStore", source: Box::new(source) }
}

#[async_trait::async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(
        &self,
        at: &Path,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fails = self.puts.fetch_add(1, Ordering::Relaxed) + 1 == self.fail_at;
        if fails && !self.too_late {
            return Err(full());
        }
        let put = self.inner.put_opts(at, bytes, options).await?;
        if fails { Err(full()) } else { Ok(put) }
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
