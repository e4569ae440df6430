//! "Did you mean": the candidate nearest to a word that is not known.

use super::sources::PREFIX;

/// The candidate that was probably meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let last = |name: &str| name.rsplit(['.']).next().unwrap_or_default().to_owned();
    let score = |name: &str| {
        // What all variables begin with makes none of them likely.
        let whole = strsim::normalized_damerau_levenshtein(bare(word), bare(name));
        let tail = if last(word) == last(name) { 0.8 } else { 0.0 };
        whole.max(tail)
    };
    candidates
        .into_iter()
        .map(|name| (score(name), name))
        .filter(|(score, _)| *score >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn bare(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// "did you mean", or all there is.
pub(crate) fn hint(word: &str, candidates: &[String]) -> String {
    match nearest(word, candidates.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there is: {}", candidates.join(", ")),
    }
}
