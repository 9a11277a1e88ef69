//! What came of a batch: a result a line, and the counts.

use std::time::Duration;

use reel_protocol::{Digest, Source, TaskId};
use serde::Serialize;

use super::Item;
use crate::{
    failure::{Failure, Shown},
    units,
};

/// Files that one note names.
const SHOWN_FILES: usize = 5;

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
        file: String,
        task: TaskId,
        source: Option<Source>,
        provider: Option<String>,
        digest: Digest,
    ) -> Self {
        let state = if source == Some(Source::Cache) { State::Cached } else { State::Made };
        Self { file, task: Some(task), source, provider, digest: Some(digest), ..Self::bare(item, state) }
    }

    /// A file that was there.
    pub fn kept(item: &Item, file: String, digest: Option<Digest>) -> Self {
        Self { file, digest, ..Self::bare(item, State::Kept) }
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
            file: item.expected_file(),
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
    /// How many files were renamed because their line moved.
    renamed: usize,
    /// Files of earlier runs of the same lines that no line asks for now.
    unasked: Vec<String>,
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
            renamed: 0,
            unasked: Vec::new(),
            lines,
        }
    }

    /// The same with what became of the files of earlier runs.
    #[must_use]
    pub fn with_earlier(mut self, renamed: usize, unasked: Vec<String>) -> Self {
        (self.renamed, self.unasked) = (renamed, unasked);
        self
    }

    /// What people should know about the files of earlier runs.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.renamed {
            0 => {}
            1 => notes.push("renamed 1 file whose line has another number now".to_owned()),
            renamed => notes.push(format!("renamed {renamed} files whose lines have other numbers now")),
        }
        if !self.unasked.is_empty() {
            let names: Vec<&str> = self.unasked.iter().take(SHOWN_FILES).map(String::as_str).collect();
            let more = if self.unasked.len() > names.len() { ", …" } else { "" };
            let count = self.unasked.len();
            let files = if count == 1 { "1 file" } else { &format!("{count} files") };
            notes.push(format!(
                "no line asks any more for {files} of an earlier run: {}{more}",
                names.join(", ")
            ));
        }
        notes
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
        batch::{Defaults, Reading, plan, read_lines},
        exit::Exit,
    };

    #[test]
    fn the_summary_counts_every_line_once() {
        let items =
            plan(read_lines(b"a\nb\nc\nd", &Defaults::default(), Reading::Guarded).unwrap(), None).unwrap();
        let digest = Digest::from_bytes([0; 32]);
        let report = Report::new(
            vec![
                LineResult::written(
                    &items[0],
                    "001-a.jpg".into(),
                    TaskId(1),
                    Some(Source::Made),
                    Some("draft".into()),
                    digest,
                ),
                LineResult::written(
                    &items[1],
                    "002-b.png".into(),
                    TaskId(2),
                    Some(Source::Cache),
                    None,
                    digest,
                ),
                LineResult::kept(&items[2], "003-c.png".into(), Some(digest)),
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
        assert_eq!(report.files().collect::<Vec<_>>(), ["001-a.jpg", "002-b.png", "003-c.png"]);
        assert!(report.notes().is_empty());
        let notes = report.with_earlier(2, vec!["009-x.png".to_owned()]).notes();
        assert_eq!(notes[0], "renamed 2 files whose lines have other numbers now");
        assert_eq!(notes[1], "no line asks any more for 1 file of an earlier run: 009-x.png");
    }
}
