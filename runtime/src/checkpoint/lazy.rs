//! The files behind a lazy restore: what [`StoredRows`] is to a table, for the states of one
//! operator's subtask.
//!
//! Called by [`crate::attempt::restore`], which gives each state its [`FileRows`]; the tables ask
//! from then on. Workers have no I/O, so a thread of the subtask reads ([`Reader`]):
//!
//! 1. Keys that a batch misses go first: their layers are opened, once for a key group, then the
//!    blocks that may hold them are read, several at once, each once. A list or map that is missed
//!    is read by the prefix that its rows share, part by part.
//! 2. Else the next page of a state is read, if one is wanted: [`PAGES_AHEAD`] are, at any time.
//! 3. Behind the last page of a key group its layers are closed; when every table has dropped its
//!    door the thread ends, and the files may go.
//!
//! Invariants: every block is checked before anything is made of it; the files are pinned as long
//! as the thread runs; it only reads, so it may outlive its attempt by what it reads just then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::key::{KeyGroup, KeyGroupRange};
use riverrun_engine::operator::Result;
use riverrun_engine::state::StateKind;
use riverrun_engine::state::stored::{StoredPage, StoredRows, Wait};
use tokio::sync::mpsc;

use super::error::StoreError;
use super::layers::{Layers, Sweep};
use super::restore::ReadLater;
use super::view::StateFiles;
use super::walk::Walk;
use crate::doors;
use crate::status::ColdState;

/// Pages of each state that are wanted or read and not taken, of 32 KiB or one row each.
const PAGES_AHEAD: usize = 4;
/// How many key groups are looked at at once.
const GROUPS_AT_ONCE: usize = 16;

type Rows = Vec<Option<Bytes>>;

/// What of one state is to be read: at most one such question of a subtask is under way.
struct Question {
    state: usize,
    asked: Asked,
}

enum Asked {
    /// The rows of keys.
    Keys(Vec<(KeyGroup, Bytes)>, Sender<Result<Rows, StoreError>>),
    /// The next rows of a list or map: its key group, where its rows begin and go on.
    Part(KeyGroup, Walk, Sender<Result<Bytes, StoreError>>),
}

/// The rows of one state of a subtask.
pub struct FileRows {
    state: usize,
    checkpoint: CheckpointId,
    rows: u64,
    questions: mpsc::UnboundedSender<Question>,
    wanted: mpsc::UnboundedSender<usize>,
    pages: Receiver<Result<StoredPage, StoreError>>,
    /// Pages that were wanted and not taken.
    ahead: usize,
    bytes: Arc<AtomicUsize>,
    _cold: ColdState,
}

impl FileRows {
    fn ask<T>(&self, ask: impl FnOnce(Sender<Result<T, StoreError>>) -> Asked) -> Result<T> {
        let (answer, answered) = channel();
        let question = Question { state: self.state, asked: ask(answer) };
        self.questions.send(question).map_err(|_| ended())?;
        Ok(answered.recv().map_err(|_| ended())??)
    }
}

impl StoredRows for FileRows {
    fn checkpoint(&self) -> CheckpointId {
        self.checkpoint
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn read(&mut self, keys: &[(KeyGroup, &[u8])]) -> Result<Vec<Option<Vec<u8>>>> {
        let own = |(group, key): &(KeyGroup, &[u8])| (*group, Bytes::copy_from_slice(key));
        let keys = keys.iter().map(own).collect();
        let rows = self.ask(|answer| Asked::Keys(keys, answer))?;
        Ok(rows.into_iter().map(|row| row.map(Vec::from)).collect())
    }

    fn read_part(
        &mut self,
        (group, key): (KeyGroup, &[u8]),
        after: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        let walk = Walk::of(Bytes::copy_from_slice(key), after.map(Bytes::copy_from_slice));
        Ok(self.ask(|answer| Asked::Part(group, walk, answer))?.into())
    }

    fn page(&mut self, wait: Wait) -> Result<StoredPage> {
        while self.ahead < PAGES_AHEAD {
            self.wanted.send(self.state).map_err(|_| ended())?;
            self.ahead += 1;
        }
        let page = match wait {
            Wait::Yes => self.pages.recv().map_err(|_| ended())?,
            Wait::No => match self.pages.try_recv() {
                Ok(page) => page,
                Err(TryRecvError::Empty) => return Ok(StoredPage::Later),
                Err(TryRecvError::Disconnected) => return Err(ended()),
            },
        };
        self.ahead -= 1;
        Ok(page?)
    }
}

fn ended() -> anyhow::Error {
    anyhow::anyhow!("the thread that reads the restored state has ended")
}

/// Starts the thread for `states` of operator `uid` in the key groups of `range`, as `checkpoint`
/// holds them; what each of them is restored from, in their order.
#[must_use]
pub fn read_later(
    (files, checkpoint): (Arc<StateFiles>, CheckpointId),
    uid: &str,
    states: &[ReadLater],
    range: KeyGroupRange,
    cold: impl Fn() -> ColdState,
) -> Vec<FileRows> {
    let (questions, asked) = mpsc::unbounded_channel();
    let (wanted, next) = mpsc::unbounded_channel();
    let (mut doors, mut unread) = (Vec::new(), Vec::new());
    for (number, state) in states.iter().enumerate() {
        let (send, pages) = channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        let rows = files.weight(uid, &state.name, range).entries;
        doors.push(FileRows {
            state: number,
            checkpoint,
            rows,
            questions: questions.clone(),
            wanted: wanted.clone(),
            pages,
            ahead: 0,
            bytes: bytes.clone(),
            _cold: cold(),
        });
        unread.push(Unread {
            name: state.name.clone(),
            groups: range.iter().map(KeyGroup).collect(),
            pass: Pass::over(state.kind),
            kind: state.kind,
            layers: BTreeMap::new(),
            bytes,
            pages: send,
        });
    }
    let reader = Reader { files, uid: uid.to_owned(), states: unread };
    // It ends when all doors are dropped, and nobody waits for it: it writes nothing.
    drop(doors::spawn_thread("warm", move || doors::wait_for(reader.serve(asked, next))));
    doors
}

/// How far the rows of a key group were gone through.
enum Pass {
    /// A value a key: as they lie.
    Values(Sweep),
    /// Lists or maps: rising, so that an entry comes whole.
    Entries(Walk),
}

impl Pass {
    fn over(kind: StateKind) -> Pass {
        match kind {
            StateKind::List | StateKind::Map => Pass::Entries(Walk::whole()),
            StateKind::Value | StateKind::Sliced | StateKind::Timers => {
                Pass::Values(Sweep::default())
            }
        }
    }
}

/// One state, and how far it is read.
struct Unread {
    name: String,
    kind: StateKind,
    /// Those that are not read, the first of them in part.
    groups: VecDeque<KeyGroup>,
    /// Of the first.
    pass: Pass,
    /// Those that were opened: filters, removals and short sections of each are in memory.
    layers: BTreeMap<KeyGroup, Arc<Layers>>,
    /// What those take, about.
    bytes: Arc<AtomicUsize>,
    pages: Sender<Result<StoredPage, StoreError>>,
}

/// What the thread works with.
struct Reader {
    files: Arc<StateFiles>,
    uid: String,
    states: Vec<Unread>,
}

impl Reader {
    async fn serve(
        mut self,
        mut questions: mpsc::UnboundedReceiver<Question>,
        mut wanted: mpsc::UnboundedReceiver<usize>,
    ) {
        loop {
            tokio::select! {
                biased;
                Some(Question { state, asked }) = questions.recv() => {
                    // Nobody listens when the attempt is over.
                    match asked {
                        Asked::Keys(keys, answer) => {
                            drop(answer.send(self.rows(state, keys).await));
                        }
                        Asked::Part(group, walk, answer) => {
                            drop(answer.send(self.part(state, group, walk).await));
                        }
                    }
                }
                Some(state) = wanted.recv() => {
                    let page = self.page(state).await;
                    drop(self.states[state].pages.send(page));
                }
                else => return,
            }
        }
    }

    /// The values of keys, in their order.
    async fn rows(
        &mut self,
        state: usize,
        keys: Vec<(KeyGroup, Bytes)>,
    ) -> Result<Rows, StoreError> {
        let mut rows: Rows = vec![None; keys.len()];
        let mut by_group: BTreeMap<KeyGroup, Vec<usize>> = BTreeMap::new();
        for (at, (group, _)) in keys.iter().enumerate() {
            by_group.entry(*group).or_default().push(at);
        }
        let groups: Vec<_> = by_group.keys().copied().collect();
        self.open(state, &groups).await?;
        let (files, layers) = (&self.files, &self.states[state].layers);
        let find = async |(group, asked): (KeyGroup, Vec<usize>)| {
            let sought = asked.iter().map(|at| keys[*at].1.clone()).collect::<Vec<_>>();
            let found = files.find(&layers[&group], &Bytes::new(), sought).await?;
            Ok::<_, StoreError>((asked, found))
        };
        let mut found = stream::iter(by_group).map(find).buffered(GROUPS_AT_ONCE);
        while let Some((asked, found)) = found.try_next().await? {
            for (at, value) in asked.into_iter().zip(found) {
                rows[at] = value;
            }
        }
        drop(found);
        self.close_read(state);
        Ok(rows)
    }

    /// The next rows of a list or map; empty behind the last.
    async fn part(
        &mut self,
        state: usize,
        group: KeyGroup,
        mut walk: Walk,
    ) -> Result<Bytes, StoreError> {
        self.open(state, &[group]).await?;
        let layers = &self.states[state].layers[&group];
        let part = self.files.next_rising(layers, &mut walk).await?.unwrap_or_default();
        self.close_read(state);
        Ok(part)
    }

    /// Opens the layers of key groups.
    async fn open(&mut self, state: usize, groups: &[KeyGroup]) -> Result<(), StoreError> {
        let (files, uid) = (&self.files, &self.uid);
        let Unread { name, layers, bytes, .. } = &mut self.states[state];
        let is_missing = |group: &KeyGroup| !layers.contains_key(group);
        let missing: Vec<_> = groups.iter().copied().filter(is_missing).collect();
        for missing in missing.chunks(GROUPS_AT_ONCE) {
            let opened = files.layers(missing, uid, name).await?;
            bytes.fetch_add(opened.iter().map(Layers::bytes).sum(), Ordering::Relaxed);
            layers.extend(missing.iter().copied().zip(opened.into_iter().map(Arc::new)));
        }
        Ok(())
    }

    /// Closes the layers of key groups whose last page is read. The table may ask about one of them
    /// until it has taken that page, so they are opened again for it, and no longer than that.
    fn close_read(&mut self, state: usize) {
        let Unread { groups, layers, bytes, .. } = &mut self.states[state];
        let unread = match groups.front() {
            Some(first) => layers.split_off(first),
            None => BTreeMap::new(),
        };
        let read = std::mem::replace(layers, unread);
        bytes.fetch_sub(read.values().map(|layers| layers.bytes()).sum(), Ordering::Relaxed);
    }

    async fn page(&mut self, state: usize) -> Result<StoredPage, StoreError> {
        let Some(group) = self.states[state].groups.front().copied() else {
            return Ok(StoredPage::End);
        };
        self.open(state, &[group]).await?;
        let Unread { kind, groups, pass, layers, .. } = &mut self.states[state];
        let opened = layers[&group].clone();
        let rows = match pass {
            Pass::Values(sweep) => self.files.next_part(&opened, sweep).await?,
            Pass::Entries(walk) => self.files.next_rising(&opened, walk).await?,
        };
        if let Some(rows) = rows {
            return Ok(StoredPage::Rows(group, rows.into()));
        }
        *pass = Pass::over(*kind);
        groups.pop_front();
        self.close_read(state);
        Ok(StoredPage::Whole(group))
    }
}
