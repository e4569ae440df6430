//! A source that had nothing to read is counted again, by all subtasks downstream, before the first
//! record of a split that comes up, though that split says no time yet.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use riverrun::connectors::memory::{MemoryOutput, MemorySource, MemorySplit};
use riverrun::engine::context::TaskContext;
use riverrun::engine::element::Batch;
use riverrun::engine::source::{Progress, SourceReader, SplitIndex};
use riverrun::engine::time::at;
use riverrun::prelude::*;

use crate::world::{World, key_of};

/// The subtask that gets it, and when it is, in seconds.
type Item = (u32, i64);

/// What the script tells the reader to do next.
#[derive(Clone, Copy)]
enum Step {
    /// Two splits come up.
    Find,
    /// A record of the first of these.
    Read(Item),
    End,
}

type Script = Arc<Mutex<Receiver<Step>>>;

/// One split, in which there is nothing, and what the script says.
struct Scripted(Script);

struct ScriptedReader {
    script: Script,
    splits: usize,
    step: Option<Step>,
    ended: usize,
}

impl Source for Scripted {
    type Item = Item;
    type Split = MemorySplit;
    type Reader = ScriptedReader;

    fn is_bounded(&self) -> bool {
        true
    }
    async fn discover(&self, _: &TaskContext) -> Result<Vec<MemorySplit>> {
        Ok(vec![MemorySplit(0)])
    }
    async fn open(&self, _: TaskContext) -> Result<ScriptedReader> {
        Ok(ScriptedReader { script: self.0.clone(), splits: 0, step: None, ended: 0 })
    }
}

impl SourceReader for ScriptedReader {
    type Item = Item;
    type Split = MemorySplit;
    type Offset = u64;

    async fn assign(&mut self, _: MemorySplit, _: Option<u64>) -> Result<()> {
        self.splits += 1;
        Ok(())
    }
    fn next(&mut self, out: &mut Batch<Item>, _: usize) -> Result<Progress> {
        match self.step {
            Some(Step::Read(item)) => {
                self.step = None;
                out.items.push(item);
                Ok(Progress::Records { split: SplitIndex(1), first: 0, last: 0 })
            }
            Some(Step::End) if self.ended < self.splits => {
                self.ended += 1;
                Ok(Progress::Ended(SplitIndex(self.ended - 1)))
            }
            _ if self.splits == 1 => Ok(Progress::CaughtUp(SplitIndex(0))),
            _ => Ok(Progress::Pending),
        }
    }
    async fn ready(&mut self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fn offset(&self, _: SplitIndex) -> Option<u64> {
        None
    }
    fn found(&mut self) -> Result<Vec<MemorySplit>> {
        if self.splits > 0 && self.step.is_none() {
            let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            self.step = script.try_recv().ok();
        }
        if !matches!(self.step, Some(Step::Find)) {
            return Ok(Vec::new());
        }
        self.step = None;
        Ok(vec![MemorySplit(1), MemorySplit(2)])
    }
}

/// Waits for two checkpoints more: then what was sent before has arrived.
fn settle(output: &MemoryOutput<Item>) {
    let (began, before) = (Instant::now(), output.committed().len());
    while output.committed().len() < before + 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "no checkpoints");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Says of each record up to where event time had come.
struct Observer(Sender<(Item, Timestamp)>);

impl CoProcessFunction for Observer {
    type Key = u64;
    type Left = Item;
    type Right = Item;
    type Out = Item;

    fn process_left(&mut self, item: Item, ctx: &mut Context<u64, Item>) -> Result<()> {
        self.0.send((item, ctx.watermark()))?;
        Ok(())
    }
    fn process_right(&mut self, item: Item, ctx: &mut Context<u64, Item>) -> Result<()> {
        self.process_left(item, ctx)
    }
}

#[test]
fn a_split_that_comes_up_counts_before_it_knows_the_time() {
    let ((direct, script), (seen, observed)) = (channel(), channel::<(Item, Timestamp)>());
    let script = Arc::new(Mutex::new(script));
    let (other, input) = MemorySource::live(1);
    let output = MemoryOutput::new();
    let committed = output.clone();
    let director = std::thread::spawn(move || {
        let next = || observed.recv_timeout(Duration::from_secs(20)).expect("is observed");
        // Until it is known that the scripted source has nothing.
        while {
            input.push(0, (1, 100));
            next().1 < at(100)
        } {}
        direct.send(Step::Find).expect("the job runs");
        // It says what time it is: none.
        settle(&committed);
        direct.send(Step::Read((0, 500))).expect("the job runs");
        next();
        settle(&committed);
        input.push(0, (1, 1000));
        next();
        settle(&committed);
        input.push(0, (1, 1001));
        let last = next();
        direct.send(Step::End).expect("the job runs");
        input.close();
        last
    });
    let ended = World::new().run(|job| {
        let clock = || Watermarks::monotonic().without_wall_clock().idle_after(Duration::ZERO);
        let time = |item: &Item| at(item.1);
        let scripted = job.source("scripted", Scripted(script.clone()).event_time(time, clock()));
        let other = job.source("other", other.clone().event_time(time, clock()));
        let seen = Mutex::new(seen.clone());
        let observer = move |_: &mut Declare<u64>| {
            Observer(seen.lock().unwrap_or_else(PoisonError::into_inner).clone())
        };
        let key = |item: &Item| key_of(item.0, 2);
        let both = scripted.key_by(key).connect(other.key_by(key));
        both.process("observe", observer).sink("none", output.sink());
    });
    ended.expect("it ends well");
    assert_eq!(director.join().expect("it directs"), ((1, 1001), at(100)));
}
