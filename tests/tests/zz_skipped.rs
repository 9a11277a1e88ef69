//! Lists the tests that could not run on this machine. Cargo runs test binaries in alphabetical order, so this is the last one.

use std::io::Write as _;

use reel_tests::needs;

#[test]
fn skipped_tests_are_listed() {
    let skipped = needs::take_skipped();
    let text = if skipped.is_empty() {
        "no test was skipped\n".to_owned()
    } else {
        format!("{} tests or parts of them were skipped:\n{}\n", skipped.len(), skipped.join("\n"))
    };
    // The harness would capture what `eprint!` writes.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
