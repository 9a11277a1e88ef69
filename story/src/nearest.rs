//! Finds the valid name that is most similar to a mistyped one.

/// Returns the most similar one of `names`, if any is similar enough.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may differ. That is enough for a typing error. A larger part would suggest unrelated words, which misleads.
    let most = wrong.chars().count().max(3) / 3;
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    distances
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
