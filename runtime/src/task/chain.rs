//! Fused operators: what one emits the next processes, as plain calls on whole batches.
//!
//! The owner calls [`Chain::records`], [`Chain::watermark`] or [`Chain::wall_clock`], then
//! [`Chain::step`] while [`Chain::is_firing`], and delivers [`Chain::take`] after each call: so a
//! large firing leaves in pieces. A snapshot is cut only when nothing is firing, and written in
//! pieces between two batches; so is what a restore has left to be read ([`Chain::warm`]).

use std::collections::VecDeque;
use std::sync::Arc;

use riverrun_engine::checkpoint::{OperatorSnapshot, SnapshotMode};
use riverrun_engine::element::Origins;
use riverrun_engine::erased::{AnyBatch, ErasedOperator, OperatorEnv};
use riverrun_engine::graph::Uid;
use riverrun_engine::operator::Firing;
use riverrun_engine::output::Port;
use riverrun_engine::state::stored::Warmth;
use riverrun_engine::time::Timestamp;

use super::failure::{Guard, Stopped};

/// One operator of a chain.
pub struct Link {
    /// Who it is.
    pub guard: Guard,
    /// It.
    pub operator: Box<dyn ErasedOperator>,
    /// What it is lent.
    pub env: OperatorEnv,
    /// The watermark it was restored at, when not all of its key groups have fired up to that.
    pub behind: Option<Timestamp>,
    /// The last watermark it passed on; none while it is behind.
    pub passed: Timestamp,
}

/// What leaves the chain.
#[derive(Debug)]
pub enum Leaving {
    /// Records, by an output of the last operator.
    Records(Port, AnyBatch),
    /// A watermark.
    Watermark(Timestamp),
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Watermark(Timestamp),
    WallClock,
}

/// The fused operators of one subtask; may be none.
pub struct Chain {
    links: Vec<Link>,
    due: VecDeque<(usize, Due)>,
    leaving: VecDeque<Leaving>,
    /// What a chain without operators passed on last.
    passed: Timestamp,
    /// The operator whose state is being written for the last cut.
    writing: Option<usize>,
    /// How far the reading of restored state is.
    warmth: Warmth,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let uids: Vec<&Arc<str>> = self.links.iter().map(|link| &link.guard.uid.0).collect();
        f.debug_tuple("Chain").field(&uids).finish()
    }
}

impl Chain {
    /// Of these operators, first to last.
    #[must_use]
    pub fn new(links: Vec<Link>) -> Self {
        let (due, leaving) = (VecDeque::new(), VecDeque::new());
        let (passed, warmth) = (Timestamp::MIN, Warmth::More);
        Chain { links, due, leaving, passed, writing: None, warmth }
    }

    /// Says the restored watermark again: those downstream begin without one, and what the inputs
    /// say next may be no news here. Operators that are behind first fire what is due, the last one
    /// first, so that none gets records before it has caught up.
    pub fn announce(&mut self) {
        for (at, link) in self.links.iter_mut().enumerate().rev() {
            if let Some(watermark) = link.behind.take() {
                self.due.push_back((at, Due::Watermark(watermark)));
            }
        }
        let restored = self.links.last().map(|link| link.passed);
        if let Some(watermark) = restored.filter(|watermark| *watermark > Timestamp::MIN) {
            self.due.push_back((self.links.len(), Due::Watermark(watermark)));
        }
    }

    /// Takes the next records.
    ///
    /// # Errors
    /// The failure of an operator.
    pub fn records(&mut self, batch: AnyBatch) -> Result<(), Stopped> {
        self.process(0, Port::Main, batch)
    }

    fn process(&mut self, at: usize, port: Port, batch: AnyBatch) -> Result<(), Stopped> {
        let Some(link) = self.links.get_mut(at) else {
            self.leaving.push_back(Leaving::Records(port, batch));
            return Ok(());
        };
        link.env.metrics.records_in.add(batch.len() as u64);
        let origins = batch.origins().clone();
        let Link { guard, operator, env, .. } = link;
        guard.call("processing records", &origins, || operator.process(batch, env))?;
        self.pass_on(at)?;
        self.pass_watermark(at);
        Ok(())
    }

    /// Hands what operator `at` emitted to the next.
    fn pass_on(&mut self, at: usize) -> Result<(), Stopped> {
        let last = at + 1 == self.links.len();
        for (port, batch) in self.links[at].operator.take_output() {
            let metrics = &self.links[at].env.metrics;
            match port {
                Port::Main => metrics.records_out.add(batch.len() as u64),
                Port::Side(_) if !last => {
                    metrics.side_unread.add(batch.len() as u64);
                    continue;
                }
                Port::Side(_) => {}
            }
            self.process(at + 1, port, batch)?;
        }
        Ok(())
    }

    /// Lets the watermark of operator `at` go on, if it rose.
    fn pass_watermark(&mut self, at: usize) {
        let link = &mut self.links[at];
        let watermark = link.operator.watermark_out();
        if watermark > link.passed {
            link.passed = watermark;
            self.due.push_front((at + 1, Due::Watermark(watermark)));
        }
    }

    /// Event time has reached `watermark`.
    pub fn watermark(&mut self, watermark: Timestamp) {
        self.due.push_back((0, Due::Watermark(watermark)));
    }

    /// The wall clock has reached what an operator waits for.
    pub fn wall_clock(&mut self) {
        self.due.extend((0..self.links.len()).map(|at| (at, Due::WallClock)));
    }

    /// Whether [`Chain::step`] has something to do.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        !self.due.is_empty()
    }

    /// Fires a piece of what is due; whether there is more of the same.
    ///
    /// # Errors
    /// The failure of an operator.
    pub fn step(&mut self) -> Result<Firing, Stopped> {
        let Some((at, due)) = self.due.pop_front() else { return Ok(Firing::Done) };
        let Some(link) = self.links.get_mut(at) else {
            if let Due::Watermark(watermark) = due
                && watermark > self.passed
            {
                self.passed = watermark;
                self.leaving.push_back(Leaving::Watermark(watermark));
            }
            return Ok(Firing::Done);
        };
        let Link { guard, operator, env, .. } = link;
        let none = Origins::default();
        let firing = match due {
            Due::Watermark(watermark) => {
                env.metrics.set_watermark(watermark);
                guard.call("advancing event time", &none, || operator.advance(watermark, env))?
            }
            Due::WallClock => {
                guard.call("firing by the wall clock", &none, || operator.processing_time(env))?
            }
        };
        if firing == Firing::More {
            // Before what the next operators become due for: that goes first.
            self.due.push_front((at, due));
        }
        self.pass_on(at)?;
        if firing == Firing::Done {
            self.pass_watermark(at);
        }
        Ok(firing)
    }

    /// The next of what leaves.
    pub fn take(&mut self) -> Option<Leaving> {
        self.leaving.pop_front()
    }

    /// The watermark that left the chain last.
    #[must_use]
    pub fn passed(&self) -> Timestamp {
        self.links.last().map_or(self.passed, |link| link.passed)
    }

    /// When the wall clock matters next.
    pub fn next_wall_clock(&mut self) -> Option<Timestamp> {
        self.links.iter_mut().filter_map(|link| link.operator.next_processing_time()).min()
    }

    /// The barrier is here: cuts the state of every operator, which [`Chain::write_some`] writes.
    ///
    /// # Errors
    /// A value that cannot be written.
    pub fn cut(&mut self, mode: SnapshotMode) -> Result<(), Stopped> {
        for Link { guard, operator, .. } in &mut self.links {
            guard.call("cutting its state", &Origins::default(), || operator.cut(mode))?;
        }
        self.writing = Some(0);
        Ok(())
    }

    /// Whether a part of a checkpoint is still to be written.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// How far the reading of restored state is.
    #[must_use]
    pub fn warmth(&self) -> Warmth {
        self.warmth
    }

    /// Takes in a page for each operator of what a restore has left to be read, if one is at hand:
    /// between two batches, when nothing is firing.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn warm(&mut self) -> Result<(), Stopped> {
        if self.warmth == Warmth::Warm {
            return Ok(());
        }
        self.warmth = Warmth::Warm;
        for Link { guard, operator, .. } in &mut self.links {
            let none = Origins::default();
            let warmth = guard.call("reading its state", &none, || operator.warm())?;
            self.warmth = self.warmth.max(warmth);
        }
        Ok(())
    }

    /// Writes some of what was cut, for about a tenth of a millisecond: between two batches. The
    /// chain's part of the checkpoint once it is whole.
    ///
    /// # Errors
    /// A value that cannot be written.
    pub fn write_some(&mut self) -> Result<Option<Vec<(Uid, OperatorSnapshot)>>, Stopped> {
        let Some(at) = self.writing else { return Ok(None) };
        if let Some(Link { guard, operator, .. }) = self.links.get_mut(at) {
            let none = Origins::default();
            let whole = guard.call("writing its state", &none, || operator.write_some())?;
            self.writing = Some(at + usize::from(whole));
            if !whole || at + 1 < self.links.len() {
                return Ok(None);
            }
        }
        self.writing = None;
        let take = |link: &mut Link| (link.guard.uid.clone(), link.operator.take_snapshot());
        Ok(Some(self.links.iter_mut().map(take).collect()))
    }
}
