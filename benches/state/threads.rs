//! Work that several threads do side by side.

use anyhow::Context as _;

/// Has `add` done for each of `parts` on a thread of its own; adds up what they answer.
pub(crate) fn side_by_side<T: Send>(
    parts: impl IntoIterator<Item = T>,
    add: impl Fn(T) -> anyhow::Result<u64> + Sync,
) -> anyhow::Result<u64> {
    let add = &add;
    std::thread::scope(|scope| {
        let started: Vec<_> =
            parts.into_iter().map(|part| scope.spawn(move || add(part))).collect();
        started.into_iter().try_fold(0_u64, |sum, thread| {
            let added = thread.join().ok().context("a thread panicked")?;
            anyhow::Ok(sum.wrapping_add(added?))
        })
    })
}
