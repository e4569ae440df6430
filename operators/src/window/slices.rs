//! [`Grid`]: the arithmetic of windows whose bounds do not depend on the records.
//!
//! Windows of `size` begin at the multiples of `step`, shifted by `offset`. Time is cut into slices
//! of gcd(size, step), so that every bound of a window is a bound of a slice: a record is kept in
//! its slice alone, and a window is the union of its slices.
//!
//! Moments are `i128` here and saturate only when they leave: windows at the two ends of time keep
//! their true order. One rule for the beginning: the first window of all is the last one that holds
//! `Timestamp::MIN`. A window whose end lies past `Timestamp::MAX` ends there, and fires with it.

use riverrun_engine::time::{Timestamp, Window};

/// The bounds of all windows and slices, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    size: i64,
    step: i64,
    offset: i64,
    slice: i64,
}

/// Consecutive records of one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Where the slice begins.
    pub(super) slice: Timestamp,
    /// How many records.
    pub(super) len: usize,
    /// The end of the last window of the slice.
    pub(super) last_end: i128,
}

impl Grid {
    /// Windows of `size` every `step`; lengths that make no sense are bent into ones that do.
    pub(super) fn new(size: i64, step: i64, offset: i64) -> Self {
        let size = size.max(1);
        let step = step.clamp(1, size);
        Grid { size, step, offset: offset.rem_euclid(step), slice: gcd(size, step) }
    }

    pub(super) fn slices_per_window(&self) -> i64 {
        self.size / self.slice
    }

    /// The name of the state of this grid's slices. Other slices are another state: restoring them
    /// would put records into the wrong windows.
    pub(super) fn slices_name(&self) -> String {
        let (slice, offset) = (self.slice, self.offset % self.slice);
        format!("slices-{slice}ms{}", shift(offset))
    }

    /// The name of the state of this grid's whole windows.
    pub(super) fn windows_name(&self) -> String {
        let Grid { size, step, offset, .. } = self;
        let every = if size == step { String::new() } else { format!("-every-{step}ms") };
        format!("windows-{size}ms{every}{}", shift(*offset))
    }

    /// The greatest bound of slices of `width` not after `at`.
    #[inline]
    fn floor(&self, at: Timestamp, width: i64) -> i128 {
        let at = at.as_millis();
        match at.checked_sub(self.offset) {
            Some(past) => i128::from(at) - i128::from(past.rem_euclid(width)),
            None => self.floor_wide(i128::from(at), width),
        }
    }

    fn floor_wide(&self, at: i128, width: i64) -> i128 {
        at - (at - i128::from(self.offset)).rem_euclid(i128::from(width))
    }

    /// The first records of `timestamps` that lie in one slice; `timestamps` is not empty.
    #[inline]
    pub(super) fn run(&self, timestamps: &[Timestamp]) -> Run {
        let first = timestamps[0];
        let start = self.floor(first, self.slice);
        let (slice, last) = (saturate(start), saturate(start + i128::from(self.slice) - 1));
        let same = |at: &&Timestamp| (slice..=last).contains(*at);
        let len = 1 + timestamps[1..].iter().take_while(same).count();
        Run { slice, len, last_end: self.last_end(first) }
    }

    /// The end of the last window that holds `at`.
    #[inline]
    pub(super) fn last_end(&self, at: Timestamp) -> i128 {
        self.floor(at, self.step) + i128::from(self.size)
    }

    /// The first end of a window after `at`.
    pub(super) fn end_after(&self, at: i128) -> i128 {
        let size = i128::from(self.size);
        let end = self.floor_wide(at - size, self.step) + i128::from(self.step) + size;
        end.max(self.last_end(Timestamp::MIN))
    }

    /// The ends of all windows that hold the slice `slice`, rising.
    pub(super) fn ends_of(&self, slice: Timestamp) -> impl Iterator<Item = i128> {
        let (step, last) = (i128::from(self.step), self.last_end(slice));
        let first = self.end_after(i128::from(slice.as_millis()));
        std::iter::successors(Some(first), move |end| Some(end + step))
            .take_while(move |end| *end <= last)
    }

    /// The window that ends at `end`.
    pub(super) fn window(&self, end: i128) -> Window {
        Window::new(saturate(end - i128::from(self.size)), saturate(end))
    }

    /// Whether the window that ends at `end` holds the last moment of all. Only this tells it from
    /// the window before it: both end at `Timestamp::MAX` once saturated.
    pub(super) fn holds_last_moment(end: i128) -> bool {
        end > i128::from(i64::MAX)
    }

    /// Where the first window begins that ends after `fired`: no slice before it is needed.
    pub(super) fn needed_from(&self, fired: i128) -> Timestamp {
        saturate(self.end_after(fired) - i128::from(self.size))
    }
}

/// Whether the window that ends at `end` is over.
#[inline]
pub(super) fn is_over(end: i128, watermark: Timestamp) -> bool {
    saturate(end) <= watermark
}

fn saturate(at: i128) -> Timestamp {
    let nearest = at.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Timestamp::from_millis(nearest as i64)
}

fn shift(offset: i64) -> String {
    if offset == 0 { String::new() } else { format!("-offset-{offset}ms") }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_slice_knows_its_windows() {
        let grid = Grid::new(60, 10, 0);
        let run = grid.run(&[at(-1), at(-10), at(0)]);
        assert_eq!(run, Run { slice: at(-10), len: 2, last_end: 50 });
        assert_eq!(grid.ends_of(at(-10)).collect::<Vec<_>>(), [0, 10, 20, 30, 40, 50]);
        assert_eq!(grid.needed_from(50), at(0));
        assert_eq!(grid.needed_from(49), at(-10));

        let odd = Grid::new(10, 4, 1);
        assert_eq!(odd.run(&[at(2), at(1), at(3)]), Run { slice: at(1), len: 2, last_end: 11 });
        assert_eq!(odd.ends_of(at(3)).collect::<Vec<_>>(), [7, 11]);
        assert_eq!(odd.ends_of(at(1)).collect::<Vec<_>>(), [3, 7, 11]);
    }

    #[test]
    fn the_ends_of_time_are_no_walls() {
        let grid = Grid::new(1000, 300, 7);
        let first = grid.run(&[Timestamp::MIN]);
        assert_eq!(first.slice, Timestamp::MIN);
        assert_eq!(grid.ends_of(first.slice).collect::<Vec<_>>(), [first.last_end]);
        let last = grid.run(&[Timestamp::MAX, Timestamp::MAX]);
        assert_eq!(last.len, 2);
        assert!(grid.ends_of(last.slice).count() >= 3);
        assert!(is_over(last.last_end, Timestamp::MAX));
        assert!(!is_over(last.last_end, at(i64::MAX - 1)));
        assert_eq!(grid.window(last.last_end).end, Timestamp::MAX);
    }

    #[test]
    fn other_slices_have_another_name() {
        assert_eq!(Grid::new(60_000, 10_000, 0).slices_name(), "slices-10000ms");
        assert_eq!(Grid::new(60_000, 10_000, 13_000).slices_name(), "slices-10000ms-offset-3000ms");
        assert_eq!(Grid::new(60_000, 10_000, 0).windows_name(), "windows-60000ms-every-10000ms");
    }
}
