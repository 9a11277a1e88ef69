//! The nearest right name to a mistyped one.

/// How alike two names must be, from 0 to 1: below this a suggestion is a guess that misleads.
const LEAST_LIKENESS: f64 = 0.6;

/// The most alike of `names`, if any is alike enough.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
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
    }
}
