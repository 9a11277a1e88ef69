//! Writes an error and its causes on one line. The Display of an error of this project does not repeat its source.

use std::error::Error;

/// Returns the error's text, followed by the text of each cause.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the journal failed")]
    struct Failed(#[source] io::Error);

    #[test]
    fn an_error_is_told_with_its_causes() {
        let cause = io::Error::other("the disk is gone");
        assert_eq!(chain(&Failed(cause)), "the journal failed: the disk is gone");
        assert_eq!(chain(&io::Error::other("alone")), "alone");
    }
}
