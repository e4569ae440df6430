//! No planted bugs: in the place of `planted.rs` without the feature `planted`.

/// Whether this process makes the mistake called `name`: never.
#[inline(always)]
#[must_use]
pub const fn is(_name: &str) -> bool {
    false
}
