//! Planted bugs: mistakes that other engines made, each a line or two at its place, which a run
//! makes when `RIVERRUN_DRILL_PLANTED` names them. They prove that the drills can fail.
//!
//! Only with the feature `planted`, which nothing that ships turns on; without it
//! `planted_absent.rs` stands in this file's place, and the compiler leaves nothing of them.

use std::sync::OnceLock;

/// Whether this process makes the mistake called `name`.
#[must_use]
pub fn is(name: &str) -> bool {
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("RIVERRUN_DRILL_PLANTED").ok());
    planted.as_deref() == Some(name)
}
