//! An error and its causes on one line: Display of an error of this project does not repeat its source.

use std::error::Error;

/// The error's text, followed by that of each cause.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
