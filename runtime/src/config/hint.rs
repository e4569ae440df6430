//! "Did you mean": the candidate nearest to a word that is not known.

/// The candidate that was probably meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let last = |name: &str| name.rsplit(['.']).next().unwrap_or_default().to_owned();
    let score = |name: &str| {
        let whole = strsim::normalized_damerau_levenshtein(word, name);
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

/// "did you mean", or all there is.
pub(crate) fn hint(word: &str, candidates: &[String]) -> String {
    match nearest(word, candidates.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there is: {}", candidates.join(", ")),
    }
}
