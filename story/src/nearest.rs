//! The nearest right name to a mistyped one.

/// The most alike of `names`, if any is alike enough.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may differ: enough for a slip, too little for another word, which would only mislead.
    let most = wrong.chars().count().max(3) / 3;
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    distances
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
