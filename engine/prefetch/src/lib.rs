//! Asking the machine for memory before it is needed, so that several places are on their way at
//! once.
//!
//! Called by the tables of `riverrun-engine`, which forbids unsafe code: this package is apart
//! because the instruction has no safe name yet. A plain read would do, but whoever reads waits,
//! and the machine looks only so many steps ahead of one that waits. `cargo xtask bench kernels`,
//! group `state`, shows tables that ask for the keys of a batch beside those that do not.
#![no_std]

#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(not(target_arch = "x86_64"))]
use elsewhere as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

/// Whether this kind of machine can be asked: so far x86-64. Elsewhere a read has to do.
pub const ASKS: bool = machine::ASKS;

/// Asks for the lines of the cache where `value` begins and ends, and does not wait: nothing is
/// read, nothing changes but how soon they can be. Does nothing without [`ASKS`].
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    machine::prefetch(core::ptr::from_ref(value).cast(), size_of::<T>());
}
