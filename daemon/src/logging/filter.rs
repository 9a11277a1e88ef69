//! Parses a log filter: a level for everything, or `target=level` parts, separated by commas.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Longest filter, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// The reason why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The filter is empty. `off` is the way to log nothing.
    #[error("the filter is empty; `off` logs nothing")]
    Empty,
    /// The filter is longer than anybody writes by hand.
    #[error("the filter is longer than {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// A part is neither a level nor `target=level`.
    #[error("`{part}` is neither a level (off, error, warn, info, debug, trace) nor target=level")]
    Part {
        /// The part of the filter.
        part: String,
    },
    /// The log has ended.
    #[error("the log is closed")]
    Closed,
}

/// Parses a filter.
///
/// This is stricter than the library, which takes a lone word for a target. There, a mistyped level such as `inof` would silence everything else.
pub fn parse_filter(text: &str) -> Result<Targets, FilterError> {
    if text.trim().is_empty() {
        return Err(FilterError::Empty);
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(FilterError::TooLong);
    }
    text.split(',').try_fold(Targets::new(), |targets, part| {
        let wrong = || FilterError::Part { part: part.trim().escape_debug().to_string() };
        match part.split_once('=') {
            None => Ok(targets.with_default(level(part).ok_or_else(wrong)?)),
            Some((target, name)) if is_target(target.trim()) => {
                Ok(targets.with_target(target.trim(), level(name).ok_or_else(wrong)?))
            }
            Some(_) => Err(wrong()),
        }
    })
}

fn is_target(target: &str) -> bool {
    !target.is_empty() && target.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c))
}

fn level(name: &str) -> Option<LevelFilter> {
    let name = name.trim();
    // The library also accepts numbers, but nobody remembers whether a larger number logs more or less.
    name.parse().ok().filter(|_| name.chars().all(|c| c.is_ascii_alphabetic()) && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_and_targets_are_taken() {
        let filter = parse_filter(" warn , reeld::tasks = debug,reeld::cache=off").unwrap();
        for (target, level, is_logged) in [
            ("actix", Level::WARN, true),
            ("actix", Level::INFO, false),
            ("reeld::tasks", Level::DEBUG, true),
            ("reeld::tasks::ready", Level::DEBUG, true),
            ("reeld::cache", Level::ERROR, false),
        ] {
            assert_eq!(filter.would_enable(target, &level), is_logged, "{target} {level}");
        }
        assert!(parse_filter("INFO").is_ok());
    }

    #[test]
    fn a_mistyped_level_is_refused_rather_than_silencing_the_rest() {
        for text in [
            "inof",
            "info,",
            "reeld=",
            "=info",
            "reeld=loud",
            "a=b=info",
            "[span]=info",
            "3",
            "reeld",
            ",",
            "a b=info",
        ] {
            assert!(matches!(parse_filter(text), Err(FilterError::Part { .. })), "{text}");
        }
        assert_eq!(parse_filter("  ").unwrap_err(), FilterError::Empty);
        assert_eq!(parse_filter(&"x".repeat(2000)).unwrap_err(), FilterError::TooLong);
    }
}
