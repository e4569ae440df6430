//! What happens to records whose last window is over: counted always, kept only if asked for.

use riverrun_engine::data::Data;
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::output::{Output, SideOutput};
use riverrun_engine::time::Timestamp;

/// The choice made for late records: dropped and counted, or sent to a side output and counted.
#[derive(Debug)]
pub(crate) struct Late<T> {
    side: Option<SideOutput<T>>,
}

impl<T> Clone for Late<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Late<T> {}

impl<T: Data> Late<T> {
    pub(crate) fn new(side: Option<SideOutput<T>>) -> Self {
        Late { side }
    }

    /// Takes late records with their own timestamps.
    #[cold]
    pub(super) fn take<'a, O: Data>(
        &self,
        records: impl Iterator<Item = (&'a T, Timestamp)>,
        output: &mut Output<O>,
        metrics: &OperatorMetrics,
    ) {
        let Some(side) = self.side else {
            return metrics.late_dropped.add(records.count() as u64);
        };
        let emitted = records.map(|(item, at)| output.emit_to(side, item.clone(), at)).count();
        metrics.late_side.add(emitted as u64);
    }
}
