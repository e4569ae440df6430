//! Reading a side output: the second outputs an operator emits to by name.
//!
//! Emitted by `Context::emit_to`, by windows with `late_to`, by `OperatorContext::emit_to`. A side
//! output that nothing reads is counted (`side_unread`), not an error.

use riverrun_engine::data::Data;
use riverrun_engine::output::{Port, SideOutput};

use crate::stream::Stream;

impl<T> Stream<T> {
    /// What the step just written emits to `side`. Take it before the next step is written: first
    /// `alerts.side_output(LATE).sink("late", late)`, then `alerts.sink("alerts", sink)`.
    pub fn side_output<U: Data>(&self, side: SideOutput<U>) -> Stream<U> {
        self.other_port(Port::Side(side.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::Sketch;
    use riverrun_engine::time::secs;

    const SLOW: SideOutput<String> = SideOutput::new("slow");

    #[test]
    fn a_side_output_is_another_port_of_the_same_step() {
        let sketch = Sketch::new();
        let mapped = sketch.stream::<u64>().map(|n| secs(n).as_secs());
        let read = mapped.side_output(SLOW).map(|text| text.len() as u64);
        let graph = sketch.0.graph();
        let edge = graph.inputs(read.node).next().expect("an input");
        assert_eq!((edge.from, edge.port), (mapped.node, Port::Side("slow")));
    }
}
