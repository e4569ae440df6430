//! Asking the machine for memory before it is needed, so that several places are on their way at
//! once.
//!
//! Called by the tables of `riverrun-engine`, which forbids unsafe code: this package is apart
//! because the instruction has no safe name yet. A plain read would do, but whoever reads waits,
//! and the machine looks only so many steps ahead of one that waits. What it brings is shown by
//! `cargo xtask bench kernels`, the group `state`.
#![no_std]

#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(not(target_arch = "x86_64"))]
use elsewhere as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

/// Asks for the lines of the cache where `value` begins and ends, and does not wait: nothing is
/// read, nothing changes but how soon they can be. Does nothing on machines other than x86-64.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    machine::prefetch(core::ptr::from_ref(value).cast(), size_of::<T>());
}
