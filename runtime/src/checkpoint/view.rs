//! The state of a checkpoint, read from its files: the run of each key group, then what changed
//! since.
//!
//! [`StateFiles`] finds what belongs together; restores take blocks and sections as they lie
//! ([`super::restore`]), merges and the command line take live rows ([`Rows`]). [`StateReader`] is
//! the view for whoever has no job, only a manifest. Invariant: nothing is read twice or held, but
//! one key group's changes, one block of a run, and files of at most 1 MiB.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyGroupRange, hash_bytes};
use riverrun_engine::state::{StateKind, StateSpec};

use super::error::{Damage, StoreError};
use super::file::StoredFile;
use super::frame::inconsistent;
use super::manifest::{FileRef, Manifest, RunEntry, SegmentEntry};
use super::run::{Overlay, Row, RunReader};
use super::segment::Segment;
use super::store::CheckpointStore;

/// What is done about the bytes that nobody may ever ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Every file is read whole and checked before anything is believed.
    Nothing,
    /// The index of each file is checked now, each block when it is read.
    Blockwise,
}

/// Operator, state, key group.
type At = (String, String, KeyGroup);

/// The files of a checkpoint's state, opened.
#[derive(Debug)]
pub struct StateFiles {
    runs: Vec<(RunEntry, RunReader)>,
    segments: Vec<(SegmentEntry, Segment)>,
    /// Where sections lie that are not in a run: segment, section; in the order in which they apply.
    sections: BTreeMap<At, Vec<(usize, usize)>>,
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
        let mut files =
            StateFiles { runs: Vec::new(), segments: Vec::new(), sections: BTreeMap::new() };
        for entry in runs {
            let file = stored(entry.stored()).await?;
            let run = RunReader::open(file, entry.stored().index()).await?;
            let within = |group| entry.holds(group) && group < KeyGroup(groups);
            if run.entries() != entry.entries || !run.sizes().all(|(group, ..)| within(group)) {
                return Err(run.file().damaged(inconsistent("range of key groups")));
            }
            files.runs.push((entry.clone(), run));
        }
        for entry in segments {
            let file = stored(entry.stored()).await?;
            let segment = Segment::open(file, entry.stored().index()).await?;
            files.add(entry, segment, groups)?;
        }
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

    /// The sections of a state in a key group that apply over its run, in their order.
    fn sections_of(&self, group: KeyGroup, uid: &str, state: &str) -> &[(usize, usize)] {
        let key = (uid.to_owned(), state.to_owned(), group);
        self.sections.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// What is to be applied in this order to have a state's rows of a key group: blocks of its
    /// run, then sections.
    #[must_use]
    pub fn pieces(&self, group: KeyGroup, uid: &str, state: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if let Some(run) = self.runs.iter().position(|(entry, _)| entry.holds(group)) {
            let blocks = self.runs[run].1.blocks(group, uid, state);
            pieces.extend(blocks.map(|block| Piece::Block { run, block }));
        }
        let sections = self.sections_of(group, uid, state).iter();
        pieces.extend(
            sections
                .map(|(segment, section)| Piece::Section { segment: *segment, section: *section }),
        );
        pieces
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
            Piece::Block { run, block } => self.runs[run].1.block(block).await,
            Piece::Section { segment, section } => self.segments[segment].1.read(section).await,
        }
    }

    /// What changed in a state of a key group since its run.
    ///
    /// # Errors
    /// A section that is damaged.
    pub async fn overlay(
        &self,
        group: KeyGroup,
        uid: &str,
        state: &str,
    ) -> Result<Overlay, StoreError> {
        let mut overlay = Overlay::default();
        for (at, index) in self.sections_of(group, uid, state) {
            let segment = &self.segments[*at].1;
            let bytes = segment.read(*index).await?;
            overlay.add(&bytes).map_err(|error| {
                let (part, reason) = (format!("block {index}"), format!("{error:#}"));
                segment.file().damaged(Damage::Entries { part, reason })
            })?;
        }
        Ok(overlay)
    }

    /// One live row of a state without namespaces.
    async fn row(
        &self,
        (group, uid, state): (KeyGroup, &str, &str),
        key: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        let (namespace, key) = (Bytes::new(), Bytes::copy_from_slice(key));
        let overlay = self.overlay(group, uid, state).await?;
        let value = match (overlay.put(&namespace, &key), self.run_of(group)) {
            (Some(value), _) => Some(value.clone()),
            (None, Some((_, run))) if !overlay.removes(&namespace, &key) => {
                run.get((group, uid, state), &namespace, &key).await?
            }
            _ => None,
        };
        Ok(value.map(|value| Row { group, namespace, key, value }))
    }

    /// The live rows of a state in `groups`, by key group, namespace and key.
    #[must_use]
    pub fn rows(&self, uid: &str, state: &str, groups: KeyGroupRange) -> Rows<'_> {
        let groups = groups.iter().map(KeyGroup).collect();
        let name = (uid.to_owned(), state.to_owned());
        let (overlay, read) = (Overlay::default(), VecDeque::new());
        Rows { files: self, name, groups, group: None, overlay, blocks: 0..0, read }
    }
}

/// Entries as they lie in a file of [`StateFiles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Rows of a run.
    Block {
        /// Which run.
        run: usize,
        /// Which block of it.
        block: usize,
    },
    /// Changes.
    Section {
        /// Which segment.
        segment: usize,
        /// Which section of it.
        section: usize,
    },
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
    blocks: std::ops::Range<usize>,
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
                self.read = run.rows(self.blocks.start).await?.into();
                self.blocks.start += 1;
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
        let (uid, state) = (&self.name.0, &self.name.1);
        self.overlay = self.files.overlay(group, uid, state).await?;
        self.blocks = match self.files.run_of(group) {
            Some((_, run)) => run.blocks(group, uid, state),
            None => 0..0,
        };
        self.group = Some(group);
        Ok(())
    }
}

/// The state of one checkpoint, without a job.
#[derive(Debug)]
pub struct StateReader {
    manifest: Manifest,
    files: StateFiles,
}

impl StateReader {
    /// Opens what `manifest` names; blocks are read and checked as they are asked for.
    ///
    /// # Errors
    /// A file that is missing, damaged or another's, by name.
    pub async fn open(store: &CheckpointStore, manifest: Manifest) -> Result<Self, StoreError> {
        let named = (manifest.runs.as_slice(), manifest.segments.as_slice());
        let (id, groups) = (manifest.checkpoint, manifest.key_groups);
        let files = StateFiles::open(store, id, named, groups, Trust::Blockwise).await?;
        Ok(StateReader { manifest, files })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &StateFiles {
        &self.files
    }

    /// All states, rising by operator.
    #[must_use]
    pub fn states(&self) -> Vec<(Uid, StateSpec)> {
        let operators = self.manifest.operators.iter();
        let of = |(uid, entry): (&Uid, &super::OperatorEntry)| {
            entry.states.iter().map(|state| (uid.clone(), state.clone())).collect::<Vec<_>>()
        };
        operators.flat_map(of).collect()
    }

    /// The live rows of a state in `groups`, by key group, namespace and key. Not known: no rows.
    #[must_use]
    pub fn rows(&self, uid: &Uid, state: &str, groups: KeyGroupRange) -> Rows<'_> {
        self.files.rows(&uid.0, state, groups)
    }

    /// All rows of the key with these encoded bytes, in every namespace: those whose key begins
    /// with them. Of a state with one value a key, only the block that may hold it is read.
    ///
    /// # Errors
    /// A file that is damaged; storage that does not answer.
    pub async fn get(&self, uid: &Uid, state: &str, key: &[u8]) -> Result<Vec<Row>, StoreError> {
        let groups = self.manifest.key_groups;
        let group = hash_bytes(key).group(groups);
        let entry = self.manifest.operators.get(uid);
        let mut specs = entry.into_iter().flat_map(|entry| &entry.states);
        if specs.any(|spec| spec.name == state && spec.kind == StateKind::Value) {
            return Ok(self.files.row((group, &uid.0, state), key).await?.into_iter().collect());
        }
        let own = KeyGroupRange { start: group.0, end: group.0 + 1, groups };
        let mut rows = self.rows(uid, state, own);
        let mut found = Vec::new();
        while let Some(row) = rows.next().await? {
            if row.key.starts_with(key) {
                found.push(row);
            }
        }
        Ok(found)
    }
}
