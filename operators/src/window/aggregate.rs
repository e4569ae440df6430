//! [`Aggregate`]: what is kept of the records of one key and one window.

use riverrun_engine::data::Data;
use serde::{Deserialize, Serialize};

/// What is kept of the records of one window: the accumulator is the aggregate, and the result.
///
/// It begins as `Default`, takes records by [`Aggregate::add`], and is joined with its neighbour by
/// [`Aggregate::merge`], so that overlapping windows share their parts and sessions can fuse.
/// Adding records to two aggregates and merging them must equal adding all of them to one: a window
/// that outgrows memory is made of several.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not aggregate `{T}`",
    label = "not an aggregate of `{T}`",
    note = "write `impl Aggregate<{T}> for {Self}` with `add` and `merge`; `{Self}` must also \
            derive `Clone, Default, Serialize, Deserialize`"
)]
pub trait Aggregate<T>: Data + Default {
    /// Takes one record.
    fn add(&mut self, item: &T);

    /// Takes what `other` has seen; where time matters, `other` is of later records.
    fn merge(&mut self, other: Self);
}

/// How many records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Count(pub u64);

impl<T> Aggregate<T> for Count {
    #[inline]
    fn add(&mut self, _item: &T) {
        self.0 += 1;
    }

    #[inline]
    fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }
}
