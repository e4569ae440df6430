//! On x86-64: the instruction `prefetcht0`.
#![expect(unsafe_code, reason = "the instruction is an unsafe function, whatever its argument")]

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

pub(crate) const ASKS: bool = true;

#[inline(always)]
pub(crate) fn prefetch(first: *const i8, bytes: usize) {
    let last = first.wrapping_add(bytes.saturating_sub(1));
    // SAFETY: a prefetch is a hint. It reads nothing that a program could see and never faults,
    // wherever it points; SSE, which it belongs to, is part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(first);
        _mm_prefetch::<_MM_HINT_T0>(last);
    }
}
