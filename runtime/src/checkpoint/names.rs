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
/// The folder of base runs.
pub(super) const RUNS: &str = "runs";

/// The manifest of `id`.
pub(super) fn manifest(id: CheckpointId) -> String {
    format!("{CHECKPOINTS}/{:020}.manifest", id.0)
}

/// The segment that `attempt` wrote for `id`.
pub(super) fn segment(id: CheckpointId, attempt: &str) -> Result<String, StoreError> {
    checked(attempt)?;
    Ok(format!("{SEGMENTS}/{:020}-{attempt}.seg", id.0))
}

/// File number `number` that a merge of `attempt` wrote, a segment of changes up to `id`.
pub(super) fn squashed(id: CheckpointId, attempt: &str, number: u64) -> Result<String, StoreError> {
    checked(attempt)?;
    Ok(format!("{SEGMENTS}/{:020}-{attempt}.{number}.seg", id.0))
}

/// File number `number` that a merge of `attempt` wrote, a run of the state at `id`.
pub(super) fn run(id: CheckpointId, attempt: &str, number: u64) -> Result<String, StoreError> {
    checked(attempt)?;
    Ok(format!("{RUNS}/{:020}-{attempt}.{number}.run", id.0))
}

fn checked(attempt: &str) -> Result<(), StoreError> {
    let wrong = || StoreError::Attempt { attempt: attempt.to_owned() };
    is_attempt(attempt).then_some(()).ok_or_else(wrong)
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

/// The checkpoint and the attempt of the segment or run that has this name.
pub(super) fn parse_state(name: &str) -> Option<(CheckpointId, &str)> {
    let (folder, file) = name.split_once('/')?;
    let stem = match folder {
        SEGMENTS => file.strip_suffix(".seg")?,
        RUNS => file.strip_suffix(".run")?,
        _ => return None,
    };
    let (number, rest) = stem.split_once('-')?;
    let (attempt, merged) = match rest.split_once('.') {
        Some((attempt, merged)) => (attempt, Some(merged)),
        None => (rest, None),
    };
    let plain = |n: &str| n.parse::<u64>().is_ok_and(|parsed| parsed.to_string() == n);
    let ours = is_attempt(attempt) && merged.map_or(folder == SEGMENTS, plain);
    digits(number).filter(|_| ours).map(|id| (id, attempt))
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
        assert_eq!(parse_state(&name), Some((a, "ab12-3")));
        let name = squashed(a, "ab12-3", 12).expect("a name");
        assert_eq!(parse_state(&name), Some((a, "ab12-3")));
        let name = run(a, "ab12-3", 0).expect("a name");
        assert_eq!(parse_state(&name), Some((a, "ab12-3")));
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
        for name in [
            "segments/00000000000000000007.seg",
            "segments/00000000000000000007-a.01.seg",
            "segments/00000000000000000007-a.1.run",
            "runs/00000000000000000007-a.run",
            "runs/00000000000000000007-a.+1.run",
            "other/00000000000000000007-a.1.run",
        ] {
            assert_eq!(parse_state(name), None, "{name}");
        }
    }
}
