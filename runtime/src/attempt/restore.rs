//! Where an attempt begins: the checkpoint's state and offsets, laid onto this job's graph.

use std::collections::{BTreeMap, BTreeSet};

use riverrun_engine::checkpoint::{RestoredTime, SplitSnapshot};
use riverrun_engine::compat::{CompatError, RestorePlan, plan_restore};
use riverrun_engine::crash_point;
use riverrun_engine::erased::{ErasedOperator, ErasedSplit};
use riverrun_engine::graph::{Graph, NodeKind, Uid};
use riverrun_engine::key::KeyGroupRange;
use riverrun_engine::operator::Result;
use riverrun_engine::planted;
use riverrun_engine::state::StateKind;
use riverrun_engine::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::lazy::read_later;
use crate::checkpoint::restore::OpenFiles;
use crate::checkpoint::restore::migrations_for;
use crate::checkpoint::{Chain, RestoredState};
use crate::doors;
use crate::status::JobStatus;

/// The name under which `--drop-state UID/#splits` gives up a source's offsets: of one that is
/// gone, or of one that is to begin anew.
pub const SPLITS: &str = "#splits";

/// Sections read and not yet applied, of each subtask that is being built.
const SECTIONS_AHEAD: usize = 4;

type AssignedSplit = (ErasedSplit, Option<SplitSnapshot>);

/// The beginning of an attempt.
#[derive(Default)]
pub struct Restore {
    state: Option<(Box<RestoredState>, RestorePlan)>,
    /// What deltas may follow.
    base: Option<Chain>,
    /// Old names to new ones, and every name to itself.
    names: BTreeMap<Uid, Uid>,
    splits: BTreeMap<Uid, Vec<AssignedSplit>>,
    /// The sources whose offsets were given up.
    given_up: BTreeSet<Uid>,
}

impl Restore {
    /// Lays `state` onto `graph`, without the states given up in `dropped`.
    ///
    /// # Errors
    /// All states that do not fit.
    pub fn plan(
        graph: &Graph,
        key_groups: u16,
        state: Option<Box<RestoredState>>,
        dropped: &BTreeSet<(Uid, String)>,
    ) -> Result<Restore, Vec<CompatError>> {
        let Some(state) = state else { return Ok(Restore::default()) };
        let plan = plan_restore(graph, key_groups, &state.stored_states(), dropped);
        let mut errors = plan.as_ref().err().cloned().unwrap_or_default();
        let mut names = BTreeMap::new();
        for (_, node) in graph.nodes() {
            names.extend(node.formerly.iter().map(|old| (old.clone(), node.uid.clone())));
        }
        names.extend(graph.nodes().map(|(_, node)| (node.uid.clone(), node.uid.clone())));
        let is_source = |uid: &Uid| {
            let mut nodes = graph.nodes();
            nodes.any(|(_, node)| node.uid == *uid && matches!(node.kind, NodeKind::Source(_)))
        };
        for uid in state.manifest.sources.keys() {
            let kept = names.get(uid).is_some_and(is_source);
            if !kept && !dropped.contains(&(uid.clone(), SPLITS.to_owned())) {
                let (uid, state) = (uid.clone(), SPLITS.to_owned());
                errors.push(CompatError::Removed { uid, state, stored: "its offsets".to_owned() });
            }
        }
        match plan {
            Ok(plan) if errors.is_empty() => {
                let declared = graph.states(key_groups);
                let follows = state.may_continue(&plan, &declared);
                let base = state.chain().filter(|_| follows);
                let given_up = dropped.iter().filter(|(_, state)| state == SPLITS);
                let given_up = given_up.map(|(uid, _)| uid.clone()).collect();
                let splits = BTreeMap::new();
                Ok(Restore { state: Some((state, plan)), base, names, splits, given_up })
            }
            _ => Err(errors),
        }
    }

    /// The files that the first delta follows, where it may: otherwise the first checkpoint must
    /// hold everything.
    #[must_use]
    pub fn base(&self) -> Option<Chain> {
        self.base.clone()
    }

    /// The files the state is read from, to be closed once every subtask is restored: this lives
    /// as long as the attempt.
    #[must_use]
    pub fn files(&self) -> Option<OpenFiles> {
        self.state.as_ref().map(|(state, _)| state.files.clone())
    }

    /// Whether the checkpoint knows splits of source `uid`.
    #[must_use]
    pub fn has_splits(&self, uid: &Uid) -> bool {
        self.state.as_ref().is_some_and(|(state, _)| {
            state.manifest.sources.keys().any(|stored| self.is_of(stored, uid))
        })
    }

    /// Whether the offsets stored as `stored` are those of source `uid`, and were not given up.
    fn is_of(&self, stored: &Uid, uid: &Uid) -> bool {
        let given_up = self.given_up.contains(stored) || self.given_up.contains(uid);
        self.names.get(stored) == Some(uid) && !given_up
    }

    /// The splits of source `uid`: those of the checkpoint with their offsets, and those that are
    /// new. Dealt out by their ids, which never change.
    pub fn add_splits(&mut self, uid: &Uid, discovered: Vec<ErasedSplit>) {
        let mut all: BTreeMap<String, AssignedSplit> =
            discovered.into_iter().map(|split| (split.id.clone(), (split, None))).collect();
        if let Some((state, _)) = &self.state {
            let sources = state.manifest.sources.iter();
            let own = sources.filter(|(stored, _)| self.is_of(stored, uid));
            for snapshot in own.flat_map(|(_, splits)| splits) {
                let split = ErasedSplit { id: snapshot.id.clone(), split: snapshot.split.clone() };
                all.insert(snapshot.id.clone(), (split, Some(snapshot.clone())));
            }
        }
        self.splits.insert(uid.clone(), all.into_values().collect());
    }

    /// The splits of one subtask.
    #[must_use]
    pub fn splits_of(&self, uid: &Uid, index: u32, parallelism: u32) -> Vec<AssignedSplit> {
        let all = self.splits.get(uid).map(Vec::as_slice).unwrap_or_default();
        if planted!("splits.read.twice") && self.state.is_some() {
            return all.to_vec();
        }
        if planted!("splits.short.list") && self.state.is_some() {
            return all.iter().skip(index as usize + 1).cloned().collect();
        }
        all.iter().skip(index as usize).step_by(parallelism as usize).cloned().collect()
    }

    /// Where event time stood for subtask `index` of operator `uid`. At another parallelism that is
    /// told by its key groups if it fires by time, and is the lowest watermark of all if not.
    #[must_use]
    pub fn time(&self, uid: &Uid, (index, parallelism): (u32, u32)) -> RestoredTime {
        let state = self.state.as_ref().map(|(state, _)| &state.manifest);
        let mut entries = state.into_iter().flat_map(|manifest| &manifest.operators);
        let own = entries.find(|(stored, _)| self.names.get(*stored) == Some(uid));
        let (Some((_, entry)), Some(state)) = (own, state) else {
            return RestoredTime::at(Timestamp::MIN);
        };
        if planted!("operator.watermark.reset") {
            return RestoredTime::at(Timestamp::MIN);
        }
        if planted!("operator.watermark.ahead") {
            return RestoredTime::at(entry.watermark + std::time::Duration::from_secs(600));
        }
        if entry.parallelism == parallelism {
            let own = entry.watermarks.get(index as usize);
            return RestoredTime::at(own.copied().unwrap_or(entry.watermark));
        }
        crash_point!("rescale.time");
        let fires = |kind| matches!(kind, StateKind::Sliced | StateKind::Timers);
        if !entry.states.iter().any(|state| fires(state.kind)) {
            return RestoredTime::at(entry.watermark);
        }
        let range = KeyGroupRange::of_subtask(index, parallelism, state.key_groups);
        RestoredTime::of(&entry.watermarks, range)
    }

    /// Restores the key groups `range` of operator `uid`; what of a long checkpoint can be read by
    /// key while at most `held_max` bytes of it are held is left to be read later, and `status`
    /// says so until it is.
    ///
    /// # Errors
    /// Entries that cannot be read.
    pub async fn apply(
        &self,
        (uid, range): (&Uid, KeyGroupRange),
        operator: &mut dyn ErasedOperator,
        held_max: u64,
        status: &JobStatus,
    ) -> Result<()> {
        let Some((state, plan)) = &self.state else { return Ok(()) };
        // Deltas must be able to follow: otherwise the first checkpoint reads everything anyhow.
        let later = match self.base {
            Some(_) => state.states_to_read_later(uid, range, held_max),
            None => Vec::new(),
        };
        if let Some(files) = state.files.get().filter(|_| !later.is_empty()) {
            let files = (files, state.manifest.checkpoint);
            let doors = read_later(files, &uid.0, &later, range, || status.one_cold());
            for (state, rows) in later.iter().zip(doors) {
                operator.restore_from(&state.name, Box::new(rows))?;
            }
        }
        for (name, shape) in migrations_for(plan, uid) {
            operator.read_as(name, shape);
        }
        let short = u16::from(planted!("restore.last.group.lost"));
        let range = KeyGroupRange { end: range.end - short, ..range };
        let Some(mut sections) = state.sections_for(plan, uid, range, &later) else {
            anyhow::bail!("the files of the checkpoint are closed already");
        };
        if sections.is_empty() {
            return Ok(());
        }
        let (send, mut read) = mpsc::channel(SECTIONS_AHEAD);
        let (whole, is_whole) = oneshot::channel();
        // Reading waits for storage, and this thread's runtime has no I/O: another thread reads.
        doors::aside("restore", async move || {
            // Ends too when nobody takes what it reads.
            while let Some(next) = sections.next().await.transpose() {
                let failed = next.is_err();
                if send.send(next).await.is_err() || failed {
                    return;
                }
            }
            // Nobody waits for it only when the attempt is over.
            let _over = whole.send(());
        });
        while let Some(next) = read.recv().await {
            let (name, group, section) = next?;
            operator.restore(&name, group, &section)?;
        }
        crash_point!("restore.applied");
        is_whole.await.map_err(|_| anyhow::anyhow!("the thread that read the state has panicked"))
    }
}
