//! Tables of test cases. A case that fails does not stop the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs each case. If any failed, it fails at the end with the names of all that failed.
#[track_caller]
pub fn every<C>(cases: impl IntoIterator<Item = (impl Into<String>, C)>, mut test: impl FnMut(&str, C)) {
    let (mut count, mut failed) = (0, Vec::new());
    for (name, case) in cases {
        let name = name.into();
        count += 1;
        if catch_unwind(AssertUnwindSafe(|| test(&name, case))).is_err() {
            failed.push(name);
        }
    }
    assert!(count > 0, "a table without cases tests nothing");
    assert!(failed.is_empty(), "{} of {count} cases failed:\n  {}", failed.len(), failed.join("\n  "));
}
