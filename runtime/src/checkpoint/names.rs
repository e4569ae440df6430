//! The names of a store's files, both ways. Decimal with twenty digits, so that names sort as
//! numbers.
//!
//! Invariant: a name that does not parse back to itself is not ours and is left alone.

use riverrun_engine::checkpoint::CheckpointId;

use super::error::StoreError;

/// The folder of manifests.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// The folder of segments.
pub(super) const SEGMENTS: &str = "segments";

/// The manifest of `id`.
pub(super) fn manifest(id: CheckpointId) -> String {
    format!("{CHECKPOINTS}/{:020}.manifest", id.0)
}

/// The segment that `attempt` wrote for `id`.
pub(super) fn segment(id: CheckpointId, attempt: &str) -> Result<String, StoreError> {
    if !is_attempt(attempt) {
        return Err(StoreError::Attempt { attempt: attempt.to_owned() });
    }
    Ok(format!("{SEGMENTS}/{:020}-{attempt}.seg", id.0))
}

fn is_attempt(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

fn digits(text: &str) -> Option<CheckpointId> {
    let twenty = text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit());
    twenty.then(|| text.parse().ok().map(CheckpointId)).flatten()
}

/// The checkpoint whose manifest has this name.
pub(super) fn parse_manifest(name: &str) -> Option<CheckpointId> {
    digits(name.strip_prefix(CHECKPOINTS)?.strip_prefix('/')?.strip_suffix(".manifest")?)
}

/// The checkpoint and attempt whose segment has this name.
pub(super) fn parse_segment(name: &str) -> Option<(CheckpointId, &str)> {
    let stem = name.strip_prefix(SEGMENTS)?.strip_prefix('/')?.strip_suffix(".seg")?;
    let (number, attempt) = stem.split_once('-')?;
    digits(number).filter(|_| is_attempt(attempt)).map(|id| (id, attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_numbers_and_come_back() {
        let (a, b) = (CheckpointId(9), CheckpointId(u64::MAX));
        assert!(manifest(a) < manifest(b));
        assert_eq!(parse_manifest(&manifest(b)), Some(b));
        let name = segment(a, "ab12-3").expect("a name");
        assert_eq!(parse_segment(&name), Some((a, "ab12-3")));
        assert!(matches!(segment(a, "../x"), Err(StoreError::Attempt { .. })));
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "checkpoints/7.manifest",
            "checkpoints/00000000000000000007.manifest.bak",
            "checkpoints/99999999999999999999.manifest",
            "checkpoints/+0000000000000000007.manifest",
            "00000000000000000007.manifest",
        ] {
            assert_eq!(parse_manifest(name), None, "{name}");
        }
        assert_eq!(parse_segment("segments/00000000000000000007.seg"), None);
    }
}
