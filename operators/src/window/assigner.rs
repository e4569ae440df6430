//! What the user writes to say which windows: [`Tumbling`], [`Sliding`], [`Session`].
//!
//! A length that makes no sense is a problem of the graph's node, never a panic; the shape is then
//! still some valid one, because a graph is opened dry before its problems are told.

use std::time::Duration;

use riverrun_engine::time::millis_of;

use super::slices::Grid;

/// The windows a record belongs to, and their problems: what keeps the public traits sealed.
pub trait Shaped {
    /// Which operator, with which numbers.
    fn shape(&self) -> Shape;
    /// What is wrong with them, and what to write.
    fn problems(&self) -> Vec<String>;
}

/// Windows that lie on a grid.
pub trait OnGrid {
    /// The grid.
    fn grid(&self) -> Grid;
}

/// The two kinds of windows.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Known before the first record.
    Grid(Grid),
    /// Made by the records: as long as they follow within this many milliseconds.
    Session(i64),
}

/// Says which windows a record belongs to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which windows",
    label = "not a window assigner",
    note = "write `Tumbling::of(secs(60))`, `Sliding::of(secs(60)).every(secs(10))` (a `Sliding` \
            needs its `.every(..)`) or `Session::gap(minutes(30))`"
)]
pub trait WindowAssigner: Shaped + Send + 'static {}

/// Windows whose bounds do not depend on the records, so that a plain fold can fill them.
#[diagnostic::on_unimplemented(
    message = "the windows of `{Self}` cannot be folded",
    label = "`fold` needs `Tumbling` or `Sliding` windows",
    note = "use `.aggregate::<A>(uid)`: sessions merge, and a fold cannot"
)]
pub trait FoldableAssigner: WindowAssigner + OnGrid {}

/// Windows of one size, side by side: every record is in exactly one.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Tumbling {
    size: Duration,
    offset: Duration,
}

impl Tumbling {
    /// Windows that begin at the multiples of `size` since 1970.
    pub fn of(size: Duration) -> Self {
        Tumbling { size, offset: Duration::ZERO }
    }

    /// Shifts all windows: `Tumbling::of(hours(24)).offset(hours(5))` for days that begin at five.
    pub fn offset(self, offset: Duration) -> Self {
        Tumbling { offset, ..self }
    }
}

/// Windows of one size that overlap; needs `.every(step)`.
#[derive(Clone, Copy, Debug)]
#[must_use = "say how often a window begins: `.every(secs(10))`"]
pub struct Sliding {
    size: Duration,
}

impl Sliding {
    /// Windows of this size; `.every(step)` says how often one begins.
    pub fn of(size: Duration) -> Self {
        Sliding { size }
    }

    /// A window begins at every multiple of `step` since 1970.
    pub fn every(self, step: Duration) -> SlidingEvery {
        SlidingEvery { size: self.size, step, offset: Duration::ZERO }
    }
}

/// [`Sliding`] windows with their step: every record is in about `size / step` of them.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct SlidingEvery {
    size: Duration,
    step: Duration,
    offset: Duration,
}

impl SlidingEvery {
    /// Shifts all windows.
    pub fn offset(self, offset: Duration) -> Self {
        SlidingEvery { offset, ..self }
    }
}

/// Windows made by the records of a key: one goes on while the next record follows within the gap.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Session {
    gap: Duration,
}

impl Session {
    /// A session ends `gap` after its last record; records exactly `gap` apart are together.
    pub fn gap(gap: Duration) -> Self {
        Session { gap }
    }
}

impl WindowAssigner for Tumbling {}
impl FoldableAssigner for Tumbling {}
impl WindowAssigner for SlidingEvery {}
impl FoldableAssigner for SlidingEvery {}
impl WindowAssigner for Session {}

impl OnGrid for Tumbling {
    fn grid(&self) -> Grid {
        let size = millis_of(self.size);
        Grid::new(size, size, millis_of(self.offset))
    }
}

impl Shaped for Tumbling {
    fn shape(&self) -> Shape {
        Shape::Grid(self.grid())
    }

    fn problems(&self) -> Vec<String> {
        let write = "write `Tumbling::of(secs(60))`";
        too_short("the size of the windows", self.size, write).into_iter().collect()
    }
}

impl OnGrid for SlidingEvery {
    fn grid(&self) -> Grid {
        Grid::new(millis_of(self.size), millis_of(self.step), millis_of(self.offset))
    }
}

impl Shaped for SlidingEvery {
    fn shape(&self) -> Shape {
        Shape::Grid(self.grid())
    }

    fn problems(&self) -> Vec<String> {
        let write = "write `Sliding::of(secs(60)).every(secs(10))`";
        let size = too_short("the size of the windows", self.size, write);
        let step = too_short("the step of the windows", self.step, write);
        let short: Vec<String> = size.into_iter().chain(step).collect();
        if !short.is_empty() {
            return short;
        }
        let (size, step) = (self.size, self.step);
        let slices = self.grid().slices_per_window();
        if step > size {
            vec![format!(
                "a window of {size:?} every {step:?} leaves records between the windows out: let \
                 the step be at most the size"
            )]
        } else if slices > SLICES_PER_WINDOW {
            vec![format!(
                "a window of {size:?} every {step:?} is made of {slices} slices, more than \
                 {SLICES_PER_WINDOW}: let the size be a multiple of the step, or the step longer"
            )]
        } else {
            Vec::new()
        }
    }
}

impl Shaped for Session {
    fn shape(&self) -> Shape {
        Shape::Session(millis_of(self.gap).max(1))
    }

    fn problems(&self) -> Vec<String> {
        let write = "write `Session::gap(minutes(30))`";
        too_short("the gap between sessions", self.gap, write).into_iter().collect()
    }
}

/// Past this, firing one window costs more than any result is worth: it is a slip of the pen.
const SLICES_PER_WINDOW: i64 = 100_000;

fn too_short(what: &str, length: Duration, write: &str) -> Option<String> {
    let short = millis_of(length) == 0;
    short.then(|| format!("{what} is {length:?}, but must be at least 1 ms: {write}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use riverrun_engine::time::{millis, secs};

    #[test]
    fn lengths_that_make_no_sense_are_problems_and_never_panic() {
        let wrong = [
            (Tumbling::of(secs(0)).problems(), "at least 1 ms"),
            (Tumbling::of(Duration::from_micros(999)).problems(), "at least 1 ms"),
            (Session::gap(secs(0)).problems(), "the gap"),
            (Sliding::of(secs(0)).every(secs(0)).problems(), "the size"),
            (Sliding::of(secs(1)).every(secs(0)).problems(), "the step"),
            (Sliding::of(secs(1)).every(secs(2)).problems(), "leaves records"),
            (Sliding::of(millis(86_400_001)).every(secs(1)).problems(), "a multiple of the step"),
        ];
        for (problems, part) in wrong {
            assert!(problems.iter().any(|p| p.contains(part)), "{problems:?} without '{part}'");
        }
        for fine in [Sliding::of(secs(60)).every(secs(7)), Sliding::of(secs(7)).every(secs(7))] {
            assert!(fine.problems().is_empty());
        }
        for odd in [Duration::ZERO, millis(1), Duration::MAX] {
            Tumbling::of(odd).offset(Duration::MAX).shape();
            Sliding::of(odd).every(Duration::MAX).offset(odd).shape();
            Session::gap(odd).shape();
        }
    }
}
