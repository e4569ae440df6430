//! A task's inputs as a state machine without I/O: aligns barriers, merges watermarks.
//!
//! Called by the operator task for everything but records. Invariants: the watermark handed on
//! never falls; between the first and the last input's barrier of one checkpoint, inputs that have
//! delivered theirs are blocked; an idle input is not waited for, from the first moment on.

use riverrun_engine::checkpoint::Barrier;
use riverrun_engine::element::Element;
use riverrun_engine::planted;
use riverrun_engine::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Active,
    Idle,
    Ended,
}

#[derive(Clone, Debug)]
struct Input {
    watermark: Timestamp,
    activity: Activity,
    aligned: bool,
}

/// The inputs of one subtask.
#[derive(Clone, Debug)]
pub struct Gate {
    inputs: Vec<Input>,
    aligning: Option<Barrier>,
    watermark: Timestamp,
    said_idle: bool,
    resumed: bool,
}

/// A channel that broke its grammar: a bug of the engine, never of a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RR0901: input {input} delivered barrier {got} while aligning {aligning}")]
pub struct GateError {
    input: usize,
    got: u64,
    aligning: u64,
}

impl Gate {
    /// A gate with `inputs` channels; `restored` is the watermark of the checkpoint.
    #[must_use]
    pub fn new(inputs: usize, restored: Timestamp) -> Self {
        let input = Input { watermark: Timestamp::MIN, activity: Activity::Active, aligned: false };
        Gate {
            inputs: vec![input; inputs],
            aligning: None,
            watermark: restored,
            said_idle: false,
            resumed: false,
        }
    }

    /// Nothing is to come from `input` for now: it is idle before it can say so itself. How far
    /// event time is must not hang on which subtask gets a core first.
    pub fn starts_idle(&mut self, input: usize) {
        self.inputs[input].activity = Activity::Idle;
    }

    /// Whether nothing may be taken from `input` now.
    #[must_use]
    pub fn is_blocked(&self, input: usize) -> bool {
        let input = &self.inputs[input];
        let waits = self.aligning.is_some() && input.aligned && !planted!("gate.unaligned");
        waits || input.activity == Activity::Ended
    }

    /// Whether every input has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.inputs.iter().all(|input| input.activity == Activity::Ended)
    }

    /// Records came from `input`: it speaks again, if it was idle.
    pub fn on_records(&mut self, input: usize) {
        let input = &mut self.inputs[input];
        if input.activity == Activity::Idle {
            input.activity = Activity::Active;
            self.resumed |= std::mem::take(&mut self.said_idle);
        }
    }

    /// Whether this gate had said that it is idle and must take that back, before anything goes on:
    /// those downstream must count it again before its first record.
    pub fn take_resumed(&mut self) -> bool {
        std::mem::take(&mut self.resumed)
    }

    /// Takes anything but records; returns what the operators get to see, in order.
    ///
    /// # Errors
    /// A barrier of another checkpoint than the one being aligned.
    pub fn on_control(&mut self, at: usize, element: &Element) -> Result<Vec<Element>, GateError> {
        match element {
            Element::Batch(_) => {}
            Element::Watermark(watermark) => {
                let input = &mut self.inputs[at];
                input.watermark = input.watermark.max(*watermark);
                self.on_records(at);
            }
            Element::Idle => self.inputs[at].activity = Activity::Idle,
            Element::End => self.inputs[at].activity = Activity::Ended,
            Element::Barrier(barrier) => self.align(at, *barrier)?,
        }
        let mut passed = Vec::new();
        passed.extend(self.merged());
        passed.extend(self.aligned());
        if self.has_ended() {
            passed.push(Element::End);
        }
        Ok(passed)
    }

    fn align(&mut self, at: usize, barrier: Barrier) -> Result<(), GateError> {
        let aligning = *self.aligning.get_or_insert(barrier);
        if aligning.checkpoint != barrier.checkpoint || self.inputs[at].aligned {
            let (got, aligning) = (barrier.checkpoint.0, aligning.checkpoint.0);
            return Err(GateError { input: at, got, aligning });
        }
        self.inputs[at].aligned = true;
        Ok(())
    }

    /// The barrier, once every input that still lives has delivered it.
    fn aligned(&mut self) -> Option<Element> {
        let waits = |input: &Input| !input.aligned && input.activity != Activity::Ended;
        if self.inputs.iter().any(waits) {
            return None;
        }
        let barrier = self.aligning.take()?;
        self.inputs.iter_mut().for_each(|input| input.aligned = false);
        Some(Element::Barrier(barrier))
    }

    /// The watermark or the idleness of all inputs together, if it is news. An input that has said
    /// the final watermark is waited for no more; but the others being idle does not make it final.
    fn merged(&mut self) -> Option<Element> {
        let open = |input: &&Input| input.watermark < Timestamp::MAX;
        let speaking = self.inputs.iter().filter(open);
        // One that was stopped speaks on with its last word: nothing may fire behind a stop.
        let speaking = speaking.filter(|input| input.activity != Activity::Idle);
        let lowest = speaking.map(|input| input.watermark).min();
        let all_final = !self.inputs.iter().any(|input| open(&input));
        match lowest.or(all_final.then_some(Timestamp::MAX)) {
            Some(lowest) if lowest > self.watermark => {
                self.watermark = lowest;
                Some(Element::Watermark(lowest))
            }
            None if !self.said_idle && !self.has_ended() => {
                self.said_idle = true;
                Some(Element::Idle)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind, SnapshotMode};
    use riverrun_engine::time::at;

    fn barrier(n: u64) -> Element {
        let (kind, mode) = (CheckpointKind::Periodic, SnapshotMode::Full);
        Element::Barrier(Barrier { checkpoint: CheckpointId(n), kind, mode })
    }

    /// Draws what passes: `W10`, `B1`, `idle`, `end`.
    fn drawn(passed: &[Element]) -> String {
        let draw = |element: &Element| match element {
            Element::Watermark(w) => format!("W{}", w.as_millis() / 1000),
            Element::Barrier(b) => format!("B{}", b.checkpoint),
            Element::Idle => "idle".to_owned(),
            Element::End => "end".to_owned(),
            Element::Batch(_) => "batch".to_owned(),
        };
        passed.iter().map(draw).collect::<Vec<_>>().join(" ")
    }

    fn give(gate: &mut Gate, input: usize, element: Element) -> String {
        drawn(&gate.on_control(input, &element).expect("the grammar holds"))
    }

    #[test]
    fn the_lowest_input_decides_and_idle_ones_do_not() {
        let mut gate = Gate::new(2, Timestamp::MIN);
        assert_eq!(give(&mut gate, 0, Element::Watermark(at(10))), "");
        assert_eq!(give(&mut gate, 1, Element::Watermark(at(5))), "W5");
        assert_eq!(give(&mut gate, 1, Element::Idle), "W10");
        assert_eq!(give(&mut gate, 0, Element::Idle), "idle");
        gate.on_records(1);
        assert_eq!(give(&mut gate, 0, Element::Watermark(at(20))), "", "input 1 counts again");
        assert_eq!(give(&mut gate, 1, Element::Watermark(at(12))), "W12");
    }

    #[test]
    fn an_input_that_starts_idle_is_not_waited_for_until_it_speaks() {
        let mut gate = Gate::new(2, Timestamp::MIN);
        gate.starts_idle(1);
        assert_eq!(give(&mut gate, 0, Element::Watermark(at(10))), "W10");
        assert_eq!(give(&mut gate, 1, Element::Idle), "", "what was known");
        gate.on_records(1);
        assert_eq!(give(&mut gate, 0, Element::Watermark(at(20))), "", "input 1 counts");
        assert_eq!(give(&mut gate, 1, Element::Watermark(at(15))), "W15");
    }

    #[test]
    fn an_input_that_was_stopped_holds_its_watermark() {
        let mut gate = Gate::new(2, Timestamp::MIN);
        give(&mut gate, 0, Element::Watermark(at(45)));
        assert_eq!(give(&mut gate, 1, Element::Watermark(at(100))), "W45");
        assert_eq!(give(&mut gate, 0, Element::End), "");
        assert_eq!(give(&mut gate, 1, Element::End), "end");
    }

    #[test]
    fn a_finished_input_beside_idle_ones_ends_nothing() {
        let mut gate = Gate::new(2, Timestamp::MIN);
        assert_eq!(give(&mut gate, 0, Element::Watermark(Timestamp::MAX)), "");
        assert_eq!(give(&mut gate, 1, Element::Watermark(at(5))), "W5");
        assert_eq!(give(&mut gate, 1, Element::Idle), "idle");
        gate.on_records(1);
        assert_eq!(give(&mut gate, 1, Element::Watermark(at(7))), "W7");
        let last = gate.on_control(1, &Element::Watermark(Timestamp::MAX)).expect("the grammar");
        assert!(matches!(last[..], [Element::Watermark(Timestamp::MAX)]));
    }

    #[test]
    fn a_restored_watermark_is_not_said_again_nor_undercut() {
        let mut gate = Gate::new(1, at(30));
        assert_eq!(give(&mut gate, 0, Element::Watermark(at(30))), "");
        assert_eq!(give(&mut gate, 0, Element::Watermark(at(31))), "W31");
    }

    #[test]
    fn barriers_align_and_block() {
        let mut gate = Gate::new(3, Timestamp::MIN);
        assert_eq!(give(&mut gate, 0, barrier(1)), "");
        assert!(gate.is_blocked(0) && !gate.is_blocked(1));
        assert_eq!(give(&mut gate, 1, Element::End), "");
        assert_eq!(give(&mut gate, 2, barrier(1)), "B1");
        assert!(!gate.is_blocked(0) && gate.is_blocked(1), "an ended input stays closed");
        assert_eq!(give(&mut gate, 0, Element::End), "");
        assert_eq!(give(&mut gate, 2, Element::End), "end");
    }

    #[test]
    fn another_checkpoints_barrier_is_an_error() {
        let mut gate = Gate::new(2, Timestamp::MIN);
        give(&mut gate, 0, barrier(1));
        assert!(gate.on_control(1, &barrier(2)).is_err());
    }

    proptest! {
        /// Whatever the interleaving, each checkpoint passes once and in order, when the last input
        /// delivered it, and the watermark rises.
        #[test]
        fn any_interleaving_aligns(picks in prop::collection::vec((0..3_usize, 0..4_u8), 1..200)) {
            let mut gate = Gate::new(3, Timestamp::MIN);
            let (mut delivered, mut clocks) = ([0_u64; 3], [0_i64; 3]);
            let (mut passed_barriers, mut highest) = (0, Timestamp::MIN);
            for (input, what) in picks {
                if gate.is_blocked(input) {
                    continue;
                }
                let element = if what == 0 {
                    delivered[input] += 1;
                    barrier(delivered[input])
                } else {
                    clocks[input] += i64::from(what);
                    Element::Watermark(at(clocks[input]))
                };
                for passed in gate.on_control(input, &element).expect("the grammar holds") {
                    match passed {
                        Element::Barrier(b) => {
                            passed_barriers += 1;
                            prop_assert_eq!(b.checkpoint.0, passed_barriers);
                            prop_assert!(delivered.iter().all(|n| *n == passed_barriers));
                        }
                        Element::Watermark(w) => {
                            prop_assert!(w > highest);
                            prop_assert_eq!(w, at(*clocks.iter().min().expect("three")));
                            highest = w;
                        }
                        _ => prop_assert!(false, "nothing else was sent"),
                    }
                }
            }
            prop_assert_eq!(passed_barriers, *delivered.iter().min().expect("three"));
        }
    }
}
