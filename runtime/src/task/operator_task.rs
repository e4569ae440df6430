//! The loop that processes: inbox, gate, chain, outlet.
//!
//! 1. Take the next element of an input the gate lets through, or a wall-clock timer, or the news
//!    that the sink has prepared.
//! 2. Records go to the chain. All else goes to the gate, and what the gate passes goes on: a
//!    watermark into the chain, a barrier behind everything before it, idle and end to the outlet.
//! 3. Deliver all that leaves before taking more: that is the back-pressure.
//! 4. While state is being written for a checkpoint, write a step of it after each element; while a
//!    restore has left some to be read, take in a page of it.

use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::checkpoint::Barrier;
use riverrun_engine::clock::Clock;
use riverrun_engine::crash_point;
use riverrun_engine::element::Element;
use riverrun_engine::planted;
use riverrun_engine::state::stored::Warmth;
use riverrun_engine::time::Timestamp;

use super::chain::Chain;
use super::failure::Stopped;
use super::gate::Gate;
use super::inbox::{Inbox, Received};
use super::outlet::{Outlet, SinkPart};
use super::report::Part;

/// One subtask that reads from other tasks.
#[derive(Debug)]
pub struct OperatorTask {
    /// Its channels.
    pub inbox: Inbox,
    /// What merges them.
    pub gate: Gate,
    /// Its operators.
    pub chain: Chain,
    /// Where results go.
    pub outlet: Outlet,
}

/// Sleeps until the wall clock shows `at`, but not longer than [`LOOK_AGAIN`]; for ever when there
/// is no `at`.
pub(super) async fn until(at: Option<Timestamp>, clock: &Arc<dyn Clock>) {
    match at {
        // One tick more: the timer is due at `at`, not in the millisecond before.
        Some(at) => {
            let ahead = (at - clock.now()).max(Duration::from_millis(1));
            tokio::time::sleep(ahead.min(LOOK_AGAIN)).await;
        }
        None => std::future::pending().await,
    }
}

/// After so long the wall clock is looked at again: it may have jumped.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// After so many batches the others of the worker get their turn, whatever else has come.
const TURN_BATCHES: usize = 4;

/// Until there is something to write or to read: the next page of restored state comes by itself.
pub(super) async fn quiet(warmth: Warmth) {
    match warmth {
        Warmth::Later => tokio::time::sleep(PAGE_PAUSE).await,
        Warmth::Warm | Warmth::More => tokio::task::yield_now().await,
    }
}

/// How long a quiet task waits for the next page of restored state.
const PAGE_PAUSE: Duration = Duration::from_millis(1);

enum Next {
    Received(Received),
    WallClock,
    /// Nothing, so that there is time to write and to read state.
    Quiet,
    Prepared(Result<SinkPart, Stopped>),
}

impl OperatorTask {
    /// Runs until every input has ended.
    ///
    /// # Errors
    /// A failure, or the end of the attempt.
    pub async fn run(mut self, clock: Arc<dyn Clock>) -> Result<(), Stopped> {
        self.chain.announce();
        self.outlet.deliver(&mut self.chain).await?;
        let mut turn = 0;
        while !self.gate.has_ended() {
            if self.inbox.is_empty() {
                self.outlet.flush().await?;
            }
            let timer = self.chain.next_wall_clock();
            let (writing, warmth) = (self.chain.is_writing(), self.chain.warmth());
            let next = tokio::select! {
                biased;
                prepared = self.outlet.prepared() => Next::Prepared(prepared),
                received = self.inbox.next(&self.gate) => Next::Received(received),
                () = until(timer, &clock) => Next::WallClock,
                () = quiet(warmth), if writing || warmth != Warmth::Warm => Next::Quiet,
            };
            match next {
                Next::Quiet => {}
                Next::Prepared(acked) => self.outlet.acknowledge(acked?).await?,
                Next::WallClock => self.chain.wall_clock(),
                Next::Received(Received::Lost) => return Err(Stopped::Cancelled),
                Next::Received(Received::Element(input, Element::Batch(batch))) => {
                    self.gate.on_records(input);
                    self.resume().await?;
                    // The source has left the suspects behind: parts may wait for company again.
                    self.outlet.alone &= batch.len() == 1;
                    self.chain.records(batch)?;
                    turn += 1;
                }
                Next::Received(Received::Element(input, element)) => {
                    self.control(input, &element).await?;
                }
            }
            self.outlet.deliver(&mut self.chain).await?;
            if writing {
                write_some(&mut self.chain, &mut self.outlet).await?;
            }
            self.chain.warm()?;
            // Timers of the wall clock must fire even while records never cease to come.
            if timer.is_some_and(|at| at <= clock.now()) {
                self.chain.wall_clock();
                self.outlet.deliver(&mut self.chain).await?;
            }
            if turn >= TURN_BATCHES {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
        write_all(&mut self.chain, &mut self.outlet).await?;
        self.outlet.finish().await
    }

    /// Speaks again after idleness: the watermark that was said last, said again.
    async fn resume(&mut self) -> Result<(), Stopped> {
        if self.gate.take_resumed() {
            self.outlet.control(Element::Watermark(self.chain.passed())).await?;
        }
        Ok(())
    }

    async fn control(&mut self, input: usize, element: &Element) -> Result<(), Stopped> {
        let passed = match self.gate.on_control(input, element) {
            Ok(passed) => passed,
            Err(error) => return Err(internal(&self.outlet, &error.to_string())),
        };
        self.resume().await?;
        for element in passed {
            match element {
                Element::Watermark(watermark) => {
                    self.chain.watermark(watermark);
                    self.outlet.deliver(&mut self.chain).await?;
                }
                Element::Barrier(barrier) => {
                    crash_point!("checkpoint.aligned");
                    snapshot(barrier, &mut self.chain, &mut self.outlet, Part::default()).await?;
                }
                other => self.outlet.control(other).await?,
            }
        }
        Ok(())
    }
}

fn internal(outlet: &Outlet, reason: &str) -> Stopped {
    Stopped::Failed(Box::new(super::failure::Failure {
        uid: riverrun_engine::graph::Uid::new("engine"),
        subtask: outlet.subtask().index,
        doing: "aligning a barrier",
        reason: reason.to_owned(),
        origins: Vec::new(),
    }))
}

/// The barrier's way through a chain: the operators' state is cut, then the stream is marked, and
/// the state is written between the batches that follow.
pub(super) async fn snapshot(
    barrier: Barrier,
    chain: &mut Chain,
    outlet: &mut Outlet,
    part: Part,
) -> Result<(), Stopped> {
    if !planted!("emitter.behind.barrier") {
        outlet.flush().await?;
    }
    write_all(chain, outlet).await?;
    chain.cut(barrier.mode)?;
    crash_point!("checkpoint.cut");
    outlet.barrier(barrier, part).await?;
    crash_point!("checkpoint.marked");
    write_some(chain, outlet).await
}

/// A step of writing what was cut; reports it when it is whole.
pub(super) async fn write_some(chain: &mut Chain, outlet: &mut Outlet) -> Result<(), Stopped> {
    match chain.write_some()? {
        Some(operators) => {
            crash_point!("checkpoint.written");
            outlet.written(operators).await
        }
        None => Ok(()),
    }
}

/// Writes the rest of what was cut: before the next cut, and before the task ends.
pub(super) async fn write_all(chain: &mut Chain, outlet: &mut Outlet) -> Result<(), Stopped> {
    while chain.is_writing() {
        write_some(chain, outlet).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
