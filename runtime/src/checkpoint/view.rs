//! The state of a checkpoint, read from its files: the run of each key group, then what changed
//! since.
//!
//! [`StateFiles`] finds what belongs together; restores take blocks and sections as they lie
//! ([`super::restore`]), merges and [`super::state_reader`] live rows ([`Rows`]), lazy restores
//! rows by key ([`super::layers`]). Invariant: of what is read in order nothing is read twice or
//! held, but one key group's changes, 1 MiB of a run, and files of at most 1 MiB.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::key::{KeyGroup, KeyGroupRange};
use riverrun_engine::state::entry::{self, Entry, Op};

use super::changes::{Changes, Read};
use super::error::{Damage, StoreError};
use super::file::StoredFile;
use super::frame::inconsistent;
use super::layers::At;
use super::manifest::{FileRef, RunEntry, SegmentEntry};
use super::pins::Pinned;
use super::run::overlay::{PLACE_OVERHEAD, Place, VALUE_OVERHEAD};
use super::run::{Overlay, Row, RunReader};
use super::segment::{BlockKind, Segment};
use super::store::CheckpointStore;

/// How many files are read at once.
const READS_AT_ONCE: usize = 8;

/// Neighbouring blocks of a segment read by one request: about 1 MiB where they are sorted.
pub(super) const SPAN_BLOCKS: usize = 32;

/// Live rows are handed to a restore in pieces of so many bytes.
const ENTRIES_BYTES: usize = 1 << 20;

/// What is done about the bytes that nobody may ever ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Every file is read whole and checked before anything is believed.
    Nothing,
    /// The index of each file is checked now, each block when it is read.
    Blockwise,
}

/// Operator, state, key group.
type Of = (String, String, KeyGroup);

/// The files of a checkpoint's state, opened.
#[derive(Debug)]
pub struct StateFiles {
    runs: Vec<(RunEntry, RunReader)>,
    segments: Vec<(SegmentEntry, Segment)>,
    /// Where sections lie that are not in a run: segment, block; in the order in which they
    /// apply.
    sections: BTreeMap<Of, Vec<(usize, usize)>>,
    /// The files themselves, where they are kept.
    pinned: Pinned,
}

/// How much there is of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Rows, puts, deletes and drops.
    pub entries: u64,
    /// About how many bytes of memory are needed to find rows by key, for sections without an order
    /// and removals: as if each of them took rows away.
    pub held: u64,
}

impl StateFiles {
    /// Opens `runs` and `segments` of checkpoint `id`, whose keys lie in `groups` key groups.
    ///
    /// # Errors
    /// The first file that is missing, damaged or another's, by name.
    pub async fn open(
        store: &CheckpointStore,
        id: CheckpointId,
        (runs, segments): (&[RunEntry], &[SegmentEntry]),
        groups: u16,
        trust: Trust,
    ) -> Result<Self, StoreError> {
        let stored = async |file: FileRef<'_>| match trust {
            Trust::Nothing => store.checked(id, file).await,
            Trust::Blockwise => {
                StoredFile::new(store, id, file.file, file.bytes).held_if_small().await
            }
        };
        let (sections, pinned) = (BTreeMap::new(), Pinned::default());
        let mut files = StateFiles { runs: Vec::new(), segments: Vec::new(), sections, pinned };
        let open_run = async |entry: &RunEntry| {
            let file = stored(entry.stored()).await?;
            let run = RunReader::open(file, entry.stored().index()).await?;
            let within = |group| entry.holds(group) && group < KeyGroup(groups);
            if run.entries() != entry.entries || !run.sizes().all(|(group, ..)| within(group)) {
                return Err(run.file().damaged(inconsistent("range of key groups")));
            }
            Ok((entry.clone(), run))
        };
        let runs = stream::iter(runs).map(|entry| open_run(entry)).buffered(READS_AT_ONCE);
        files.runs = runs.try_collect().await?;
        let open_segment = async |entry: &SegmentEntry| {
            let file = stored(entry.stored()).await?;
            Ok((entry.clone(), Segment::open(file, entry.stored().index()).await?))
        };
        let mut opened =
            stream::iter(segments).map(|entry| open_segment(entry)).buffered(READS_AT_ONCE);
        while let Some((entry, segment)) = opened.try_next().await? {
            files.add(&entry, segment, groups)?;
        }
        drop(opened);
        Ok(files)
    }

    fn add(
        &mut self,
        entry: &SegmentEntry,
        segment: Segment,
        groups: u16,
    ) -> Result<(), StoreError> {
        let at = self.segments.len();
        for (index, section) in segment.sections().enumerate() {
            if section.group >= KeyGroup(groups) {
                let part = format!("key group {}", section.group.0);
                return Err(segment.file().damaged(inconsistent(part)));
            }
            let merged =
                self.run_of(section.group).is_some_and(|(e, _)| e.upto >= entry.checkpoint);
            if !merged {
                let key = (section.uid.to_owned(), section.state.to_owned(), section.group);
                self.sections.entry(key).or_default().push((at, index));
            }
        }
        self.segments.push((entry.clone(), segment));
        Ok(())
    }

    /// The run that holds `group`.
    #[must_use]
    pub fn run_of(&self, group: KeyGroup) -> Option<&(RunEntry, RunReader)> {
        self.runs.iter().find(|(entry, _)| entry.holds(group))
    }

    /// All runs, rising.
    pub fn runs(&self) -> impl Iterator<Item = &(RunEntry, RunReader)> {
        self.runs.iter()
    }

    /// All segments, rising.
    pub fn segments(&self) -> impl Iterator<Item = &(SegmentEntry, Segment)> {
        self.segments.iter()
    }

    /// Every operator and state that has a row or a change, rising.
    #[must_use]
    pub fn names(&self) -> Vec<(String, String)> {
        let sections = self.sections.keys().map(|(uid, state, _)| (uid.clone(), state.clone()));
        let runs = self.runs.iter().flat_map(|(_, run)| run.names().iter().cloned());
        let mut names: Vec<_> = sections.chain(runs).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The sections of a state in a key group that apply over its run, in their order: segment,
    /// block.
    pub(super) fn sections_of(&self, group: KeyGroup, uid: &str, state: &str) -> &[(usize, usize)] {
        let key = (uid.to_owned(), state.to_owned(), group);
        self.sections.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// A segment by its position.
    pub(super) fn segment(&self, at: usize) -> &Segment {
        &self.segments[at].1
    }

    /// What is to be applied in this order to have a state's rows of a key group, without dropping
    /// a namespace: blocks of its run, then sections; or its live rows, where a section drops one.
    ///
    /// # Errors
    /// A section that is damaged; storage that does not answer.
    pub async fn pieces(
        &self,
        group: KeyGroup,
        uid: &str,
        state: &str,
    ) -> Result<Vec<Piece>, StoreError> {
        let mut sections = Vec::new();
        for read in self.changes(group, uid, state).await?.sections() {
            let Read { segment, block, bytes } = read;
            if self.drops(segment, block, &bytes)? {
                return self.live_rows(group, uid, state).await;
            }
            sections.push(Piece::Entries(bytes));
        }
        let mut pieces = Vec::new();
        if let Some(run) = self.runs.iter().position(|(entry, _)| entry.holds(group)) {
            let spans = self.runs[run].1.spans(self.runs[run].1.blocks(group, uid, state));
            pieces.extend(spans.map(|blocks| Piece::Blocks { run, blocks }));
        }
        pieces.append(&mut sections);
        Ok(pieces)
    }

    /// Whether a section drops a namespace.
    fn drops(&self, segment: usize, section: usize, bytes: &Bytes) -> Result<bool, StoreError> {
        let mut rest = &bytes[..];
        loop {
            match entry::read(&mut rest) {
                Ok(Some(entry)) if entry.op == Op::Drop => return Ok(true),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(false),
                Err(error) => return Err(self.no_entries(segment, section, &error)),
            }
        }
    }

    pub(super) fn no_entries(
        &self,
        segment: usize,
        section: usize,
        error: &anyhow::Error,
    ) -> StoreError {
        let (part, reason) = (format!("block {section}"), format!("{error:#}"));
        self.segments[segment].1.file().damaged(Damage::Entries { part, reason })
    }

    /// What a block of a segment holds.
    pub(super) fn kind(&self, segment: usize, block: usize) -> BlockKind {
        self.segments[segment].1.kind(block)
    }

    /// The run with rows of a state in a key group, and the blocks of those.
    pub(super) fn run_blocks(
        &self,
        group: KeyGroup,
        uid: &str,
        state: &str,
    ) -> Option<(usize, Range<usize>)> {
        let run = self.runs.iter().position(|(entry, _)| entry.holds(group))?;
        let blocks = self.runs[run].1.blocks(group, uid, state);
        (!blocks.is_empty()).then_some((run, blocks))
    }

    /// Reads and checks filters of a file, each named by a block of its section.
    pub(super) async fn filters(&self, at: At, blocks: &[usize]) -> Result<Vec<Bytes>, StoreError> {
        match at {
            At::Segment(segment) => self.segment(segment).filters(blocks).await,
            At::Run(run) => self.runs[run].1.filters(blocks).await,
        }
    }

    /// Of sorted blocks, those that may hold a row that is not below this one.
    pub(super) fn from(
        &self,
        at: At,
        blocks: Range<usize>,
        (namespace, key): &Place,
    ) -> Range<usize> {
        match at {
            At::Segment(segment) => self.segments[segment].1.from(blocks, namespace, key),
            At::Run(run) => self.runs[run].1.from(blocks, namespace, key),
        }
    }

    /// Reads and checks sorted blocks that are neighbours; one request.
    pub(super) async fn read_blocks(
        &self,
        at: At,
        blocks: Range<usize>,
    ) -> Result<Vec<Bytes>, StoreError> {
        match at {
            At::Segment(segment) => self.segments[segment].1.read_all(blocks).await,
            At::Run(run) => self.runs[run].1.read(blocks).await,
        }
    }

    /// How much there is of a state in `groups`.
    #[must_use]
    pub fn weight(&self, uid: &str, state: &str, groups: KeyGroupRange) -> Weight {
        let mut weight = Weight::default();
        for group in groups.iter().map(KeyGroup) {
            for (segment, block) in self.sections_of(group, uid, state) {
                let (kind, bytes, entries) = self.segments[*segment].1.weight(*block);
                weight.entries += entries;
                let held = bytes + entries * (PLACE_OVERHEAD + VALUE_OVERHEAD) as u64;
                weight.held += if kind == BlockKind::Puts { 0 } else { held };
            }
            if let Some((run, blocks)) = self.run_blocks(group, uid, state) {
                weight.entries += self.runs[run].1.entries_in(blocks);
            }
        }
        weight
    }

    /// Keeps the files, whatever manifests name, as long as this lives.
    pub(super) fn keep(&mut self, store: &CheckpointStore) {
        let runs = self.runs.iter().map(|(entry, _)| entry.file.clone());
        let segments = self.segments.iter().map(|(entry, _)| entry.file.clone());
        self.pinned = store.pin(runs.chain(segments));
    }

    async fn live_rows(
        &self,
        group: KeyGroup,
        uid: &str,
        state: &str,
    ) -> Result<Vec<Piece>, StoreError> {
        let own = KeyGroupRange { start: group.0, end: group.0 + 1, groups: group.0 + 1 };
        let mut rows = self.rows(uid, state, own);
        let (mut pieces, mut bytes) = (Vec::new(), Vec::new());
        while let Some(Row { namespace, key, value, .. }) = rows.next().await? {
            let (namespace, key, value) = (&namespace[..], &key[..], &value[..]);
            let row = Entry { op: Op::Put, namespace, key, value };
            entry::write(&mut bytes, row).expect("what was read fits an entry");
            if bytes.len() >= ENTRIES_BYTES {
                pieces.push(Piece::Entries(std::mem::take(&mut bytes).into()));
            }
        }
        if !bytes.is_empty() {
            pieces.push(Piece::Entries(bytes.into()));
        }
        Ok(pieces)
    }

    /// Reads and checks the entries of a piece.
    ///
    /// # Errors
    /// Damage; storage that does not answer.
    ///
    /// # Panics
    /// When the piece is of other files.
    pub async fn read(&self, piece: Piece) -> Result<Bytes, StoreError> {
        match piece {
            Piece::Blocks { run, blocks } => {
                Ok(self.runs[run].1.read(blocks).await?.concat().into())
            }
            Piece::Entries(bytes) => Ok(bytes),
        }
    }

    /// The live rows of a state in `groups`, by key group, namespace and key.
    #[must_use]
    pub fn rows(&self, uid: &str, state: &str, groups: KeyGroupRange) -> Rows<'_> {
        let mut rows = self.no_rows(uid, state);
        rows.groups.extend(groups.iter().map(KeyGroup));
        rows
    }

    /// Those of one key group whose `changes` were read.
    ///
    /// # Errors
    /// A section that is not entries.
    pub fn rows_with(
        &self,
        (group, uid, state): (KeyGroup, &str, &str),
        changes: &Changes,
    ) -> Result<Rows<'_>, StoreError> {
        let mut rows = self.no_rows(uid, state);
        rows.begin_with(group, changes)?;
        Ok(rows)
    }

    fn no_rows(&self, uid: &str, state: &str) -> Rows<'_> {
        let name = (uid.to_owned(), state.to_owned());
        let (groups, overlay, read) = (VecDeque::new(), Overlay::default(), VecDeque::new());
        Rows { files: self, name, groups, group: None, overlay, blocks: 0..0, read }
    }
}

/// Entries of one state and key group in [`StateFiles`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Rows of a run.
    Blocks {
        /// Which run.
        run: usize,
        /// Which blocks of it, neighbours of at most 1 MiB.
        blocks: Range<usize>,
    },
    /// Changes, or live rows.
    Entries(Bytes),
}

/// Live rows, one after the other.
#[derive(Debug)]
pub struct Rows<'a> {
    files: &'a StateFiles,
    name: (String, String),
    /// Those that follow.
    groups: VecDeque<KeyGroup>,
    group: Option<KeyGroup>,
    /// What changed in this group, without what was said already.
    overlay: Overlay,
    /// Blocks of this group's run that were not read yet.
    blocks: Range<usize>,
    /// Rows of the block under way.
    read: VecDeque<Row>,
}

impl Rows<'_> {
    /// The next row; `None` when there are no more.
    ///
    /// # Errors
    /// A file that is damaged; storage that does not answer.
    pub async fn next(&mut self) -> Result<Option<Row>, StoreError> {
        loop {
            let Some(group) = self.group else {
                let Some(next) = self.groups.pop_front() else { return Ok(None) };
                self.begin(next).await?;
                continue;
            };
            while self.read.is_empty() && !self.blocks.is_empty() {
                let (_, run) = self.files.run_of(group).expect("only a run has blocks");
                let span = run.spans(self.blocks.clone()).next().unwrap_or_default();
                self.blocks.start = span.end;
                self.read = run.rows(span).await?.into();
            }
            let row = self.read.front().map(|row| (&row.namespace, &row.key));
            let put = self.overlay.first_put().map(|(namespace, key)| (namespace, key));
            match (row, put) {
                (None, None) => self.group = None,
                (Some(row), put) if put.is_none_or(|put| row <= put) => {
                    // A put of the same row follows at once.
                    let gone = put == Some(row) || self.overlay.removes(row.0, row.1);
                    let row = self.read.pop_front().filter(|_| !gone);
                    if row.is_some() {
                        return Ok(row);
                    }
                }
                _ => {
                    let put = self.overlay.pop_put();
                    return Ok(put.map(|((namespace, key), value)| Row {
                        group,
                        namespace,
                        key,
                        value,
                    }));
                }
            }
        }
    }

    async fn begin(&mut self, group: KeyGroup) -> Result<(), StoreError> {
        let changes = self.files.changes(group, &self.name.0, &self.name.1).await?;
        self.begin_with(group, &changes)
    }

    fn begin_with(&mut self, group: KeyGroup, changes: &Changes) -> Result<(), StoreError> {
        let (uid, state) = (&self.name.0, &self.name.1);
        self.overlay = self.files.overlay(changes)?;
        self.blocks = match self.files.run_of(group) {
            Some((_, run)) => run.blocks(group, uid, state),
            None => 0..0,
        };
        self.group = Some(group);
        Ok(())
    }
}
