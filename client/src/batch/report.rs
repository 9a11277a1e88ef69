//! What came of a batch: a result a line, and the counts.

use std::time::Duration;

use reel_protocol::{Digest, Source, TaskId};
use serde::Serialize;

use super::Item;
use crate::{
    failure::{Failure, Shown},
    units,
};

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made for this batch.
    Made,
    /// Taken from the daemon's cache.
    Cached,
    /// Was there already, and stayed.
    Kept,
    /// Not written.
    Failed,
}

/// One line's result.
#[derive(Debug, Clone, Serialize)]
pub struct LineResult {
    line: usize,
    file: String,
    state: State,
    task: Option<TaskId>,
    source: Option<Source>,
    provider: Option<String>,
    digest: Option<Digest>,
    error: Option<Shown>,
}

impl LineResult {
    /// A file that was written.
    pub fn written(
        item: &Item,
        task: TaskId,
        source: Option<Source>,
        provider: Option<String>,
        digest: Digest,
    ) -> Self {
        let state = if source == Some(Source::Cache) { State::Cached } else { State::Made };
        Self { task: Some(task), source, provider, digest: Some(digest), ..Self::bare(item, state) }
    }

    /// A file that was there.
    pub fn kept(item: &Item, digest: Digest) -> Self {
        Self { digest: Some(digest), ..Self::bare(item, State::Kept) }
    }

    /// A line without its file.
    pub fn failed(item: &Item, task: Option<TaskId>, failure: Failure) -> Self {
        Self { task, error: Some(failure.error), ..Self::bare(item, State::Failed) }
    }

    /// Off a terminal, what is said once it is there.
    pub fn line(&self) -> String {
        match (&self.error, self.state) {
            (Some(error), _) => format!("{} failed: {}", self.file, error.message),
            (None, State::Cached) => format!("{} from cache", self.file),
            (None, _) => format!("{} made", self.file),
        }
    }

    fn bare(item: &Item, state: State) -> Self {
        Self {
            line: item.line,
            file: item.file.clone(),
            state,
            task: None,
            source: None,
            provider: None,
            digest: None,
            error: None,
        }
    }
}

/// The whole batch.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pictures: usize,
    made: usize,
    from_cache: usize,
    kept: usize,
    failed: usize,
    elapsed_ms: u64,
    directory: String,
    lines: Vec<LineResult>,
}

impl Report {
    /// Counts the results, which stand in line order.
    pub fn new(lines: Vec<LineResult>, directory: String, elapsed: Duration) -> Self {
        let count = |state| lines.iter().filter(|line| line.state == state).count();
        Self {
            pictures: lines.len(),
            made: count(State::Made),
            from_cache: count(State::Cached),
            kept: count(State::Kept),
            failed: count(State::Failed),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            directory,
            lines,
        }
    }

    /// Whether a line has no file.
    pub fn has_failures(&self) -> bool {
        self.failed > 0
    }

    /// Whether the embedded provider drew any of them.
    pub fn has_drafts(&self) -> bool {
        self.lines.iter().any(|line| line.provider.as_deref() == Some("draft"))
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let Self { pictures, made, from_cache, kept, failed, .. } = self;
        let noun = if *pictures == 1 { "picture" } else { "pictures" };
        let time = units::span(Duration::from_millis(self.elapsed_ms));
        format!(
            "{pictures} {noun}: {made} made, {from_cache} from cache, {kept} kept, {failed} failed in {time}"
        )
    }

    /// What failed, for people: line, file, code, message and hint.
    pub fn failures(&self) -> Vec<String> {
        self.lines
            .iter()
            .filter_map(|line| line.error.as_ref().map(|error| (line, error)))
            .map(|(line, error)| {
                let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
                format!("line {}, {}: {} ({}){hint}", line.line, line.file, error.message, error.code)
            })
            .collect()
    }

    /// The files that are there now, for scripts.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| line.error.is_none()).map(|line| line.file.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{Defaults, plan, read_lines},
        exit::Exit,
    };

    #[test]
    fn the_summary_counts_every_line_once() {
        let items = plan(read_lines(b"a\nb\nc\nd", &Defaults::default()).unwrap(), None).unwrap();
        let digest = Digest::from_bytes([0; 32]);
        let report = Report::new(
            vec![
                LineResult::written(&items[0], TaskId(1), Some(Source::Made), Some("draft".into()), digest),
                LineResult::written(&items[1], TaskId(2), Some(Source::Cache), None, digest),
                LineResult::kept(&items[2], digest),
                LineResult::failed(
                    &items[3],
                    None,
                    Failure::new(Exit::CannotCreate, "output_exists", "it exists").hint("--force"),
                ),
            ],
            "out".to_owned(),
            Duration::from_millis(3210),
        );
        assert!(report.has_drafts());
        assert_eq!(report.summary(), "4 pictures: 1 made, 1 from cache, 1 kept, 1 failed in 3.2 s");
        assert_eq!(report.failures(), ["line 4, 004-d.png: it exists (output_exists)\n  hint: --force"]);
        assert_eq!(report.files().count(), 3);
    }
}
