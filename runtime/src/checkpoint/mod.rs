//! Checkpoints: what a manifest says, where files lie, what may go.

pub mod manifest;

pub use manifest::{Manifest, OperatorEntry, SegmentEntry};
