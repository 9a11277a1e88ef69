//! The last test binary of a run, as cargo runs them by their names: lists the tests that could not be run on this machine.

use std::io::Write as _;

use reel_tests::needs;

#[test]
fn what_was_skipped_is_listed() {
    let skipped = needs::take_skipped();
    let text = if skipped.is_empty() {
        "no test was skipped\n".to_owned()
    } else {
        format!("{} tests or parts of them were skipped:\n{}\n", skipped.len(), skipped.join("\n"))
    };
    // The harness would keep what `eprint!` writes.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
