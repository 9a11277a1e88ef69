//! Finds the known name that is most similar to a mistyped one.

/// Returns the most similar of `names`. None if no name is similar enough.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_of(wrong, names.into_iter().map(|name| (name, name)))
}

/// Returns the second part of the pair whose first part is most similar to `wrong`. None if no pair is similar enough.
pub fn nearest_of<'a>(wrong: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let length = wrong.chars().count();
    // At most a third of the letters may differ. That allows for typos, while other words, which would mislead, are not suggested.
    let most = length.max(3) / 3;
    pairs
        .into_iter()
        // The distance is at least the difference of the lengths, and computing it takes time in proportion to their product.
        .filter(|(name, _)| length.abs_diff(name.chars().count()) <= most)
        .map(|(name, answer)| (strsim::damerau_levenshtein(&wrong, &name.to_lowercase()), answer))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, answer)| answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_nonsense_finds_none() {
        let names = ["cinematic", "anime", "ghibli"];
        assert_eq!(nearest("cinematc", names), Some("cinematic"));
        assert_eq!(nearest("Gibli", names), Some("ghibli"));
        assert_eq!(nearest("xyzzy", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"a".repeat(1_000_000), names), None);
    }
}
