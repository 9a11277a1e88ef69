//! The report of a batch: a result for each line, and the counts.

use std::time::Duration;

use reel_protocol::{BatchId, Digest, Source, TaskId};
use serde::Serialize;

use super::{Item, other::PICTURE};
use crate::{
    failure::{ErrorBody, Failure},
    units, waiting,
};

/// The hold reason of a task whose provider may have been paid.
const OUTCOME_UNKNOWN: &str = reel_protocol::HoldReason::OutcomeUnknown.name();

/// Most ids that a hint names.
const NAMED_IDS: usize = 20;

/// Most files that one note names.
const SHOWN_FILES: usize = 5;

/// The outcome of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The file was made for this batch.
    Made,
    /// The file was written from the daemon's cache.
    Cached,
    /// The file existed already and was kept.
    Kept,
    /// No file was written, because the task is held until the user decides.
    Held,
    /// No file was written, because of an error.
    Failed,
}

/// The result of one line.
#[derive(Debug, Clone, Serialize)]
pub struct LineResult {
    line: usize,
    file: String,
    state: State,
    task: Option<TaskId>,
    source: Option<Source>,
    provider: Option<String>,
    digest: Option<Digest>,
    error: Option<ErrorBody>,
}

impl LineResult {
    /// The result for a file that was written.
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

    /// The result for a file that existed already.
    pub fn kept(item: &Item, file: String, digest: Option<Digest>) -> Self {
        Self { file, digest, ..Self::bare(item, State::Kept) }
    }

    /// The result for a line without a file.
    pub fn failed(item: &Item, task: Option<TaskId>, failure: Failure) -> Self {
        Self { task, error: Some(failure.error), ..Self::bare(item, State::Failed) }
    }

    /// The result for a line whose task is held.
    pub fn held(item: &Item, task: TaskId, mut failure: Failure) -> Self {
        // The report prints one hint for all held tasks at its end.
        failure.error.hint = None;
        Self { state: State::Held, ..Self::failed(item, Some(task), failure) }
    }

    /// Whether the embedded provider drew the picture.
    pub fn is_draft(&self) -> bool {
        self.provider.as_deref() == Some(reel_client::DRAFT)
    }

    /// Returns the line that is printed for a result if there are no bars. Errors are printed by [`Report::failures`].
    pub fn line(&self) -> String {
        let how = match self.state {
            State::Made | State::Kept => "made",
            State::Cached => "from cache",
            State::Held => "held",
            State::Failed => "failed",
        };
        format!("{} {how}", self.file)
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

/// The results and counts of a whole batch.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pictures: usize,
    made: usize,
    from_cache: usize,
    kept: usize,
    /// Number of tasks that are held until the user decides.
    held: usize,
    failed: usize,
    elapsed_ms: u64,
    /// The daemon's batch with the tasks of this run; None if no task was needed.
    batch: Option<BatchId>,
    directory: String,
    /// Number of files that were renamed because their line moved.
    renamed: usize,
    /// Files of earlier runs of the same lines that no line asks for now.
    unasked: Vec<String>,
    lines: Vec<LineResult>,
    /// Whether some results are no pictures.
    #[serde(skip)]
    is_mixed: bool,
}

impl Report {
    /// Counts the results, which must be in line order.
    pub fn new(lines: Vec<LineResult>, directory: String, elapsed: Duration) -> Self {
        let count = |state| lines.iter().filter(|line| line.state == state).count();
        Self {
            pictures: lines.len(),
            made: count(State::Made),
            from_cache: count(State::Cached),
            kept: count(State::Kept),
            held: count(State::Held),
            failed: count(State::Failed),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            batch: None,
            directory,
            renamed: 0,
            unasked: Vec::new(),
            lines,
            is_mixed: false,
        }
    }

    /// Sets from the kinds of the lines whether there are other results than pictures.
    #[must_use]
    pub fn of_kinds<'a>(mut self, kinds: impl IntoIterator<Item = &'a str>) -> Self {
        self.is_mixed = kinds.into_iter().any(|kind| kind != PICTURE);
        self
    }

    /// Sets the daemon's batch.
    #[must_use]
    pub fn of_batch(mut self, batch: Option<BatchId>) -> Self {
        self.batch = batch;
        self
    }

    /// Adds what was found about files of earlier runs.
    #[must_use]
    pub fn with_earlier(mut self, renamed: usize, unasked: Vec<String>) -> Self {
        (self.renamed, self.unasked) = (renamed, unasked);
        self
    }

    /// Returns the notes about files of earlier runs.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.renamed {
            0 => {}
            1 => notes.push("renamed 1 file whose line has another number now".to_owned()),
            renamed => notes.push(format!("renamed {renamed} files whose lines have other numbers now")),
        }
        if !self.unasked.is_empty() {
            let names: Vec<&str> = self.unasked.iter().take(SHOWN_FILES).map(String::as_str).collect();
            let more = if self.unasked.len() > names.len() { ", and others" } else { "" };
            let count = self.unasked.len();
            let (files, belong) =
                if count == 1 { ("1 file", "belongs") } else { (&*format!("{count} files"), "belong") };
            notes.push(format!(
                "{files} of an earlier run {belong} to no line any more: {}{more}",
                names.join(", ")
            ));
        }
        notes
    }

    /// Whether any line has no file.
    pub fn has_failures(&self) -> bool {
        self.failed + self.held > 0
    }

    /// Returns the counts in one line for people.
    pub fn summary(&self) -> String {
        let Self { pictures, made, from_cache, kept, held, failed, .. } = self;
        let noun = match (self.is_mixed, *pictures) {
            (false, 1) => "picture",
            (false, _) => "pictures",
            (true, 1) => "result",
            (true, _) => "results",
        };
        let time = units::span(Duration::from_millis(self.elapsed_ms));
        let held = if *held > 0 { format!("{held} held, ") } else { String::new() };
        format!(
            "{pictures} {noun}: {made} made, {from_cache} from cache, {kept} kept, {held}{failed} failed in {time}"
        )
    }

    /// Returns one line about what to do with the held tasks; None if there are none.
    pub fn held_hint(&self) -> Option<String> {
        let held = || self.lines.iter().filter(|line| line.state == State::Held);
        let ids: Vec<TaskId> = held().filter_map(|line| line.task).collect();
        let may_pay =
            held().any(|line| line.error.as_ref().is_some_and(|error| error.code == OUTCOME_UNKNOWN));
        let again = if may_pay { "asks again (may pay again)" } else { "continues them" };
        let cancels = if ids.len() == 1 { "cancels it" } else { "cancels them" };
        if ids.len() > NAMED_IDS {
            return Some(format!("{} tasks are held; reel ls --state held lists them", ids.len()));
        }
        let ids = Some(waiting::join(&ids)).filter(|ids| !ids.is_empty())?;
        Some(format!("reel release {ids} {again}, reel cancel {ids} {cancels}"))
    }

    /// Describes each failed line for people: line number, file, message, code and hint.
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

    /// Returns the files that exist now, in line order.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| line.error.is_none()).map(|line| line.file.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{Defaults, Input, Reading, plan},
        exit::Exit,
    };

    #[test]
    fn the_summary_counts_every_line_once() {
        let items =
            plan(Input::read(b"a\nb\nc\nd", &Defaults::default(), &Reading::Guarded).unwrap().lines, None)
                .unwrap();
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
        assert!(report.lines[0].is_draft() && !report.lines[1].is_draft());
        assert_eq!(report.summary(), "4 pictures: 1 made, 1 from cache, 1 kept, 1 failed in 3.2 s");
        assert_eq!(report.failures(), ["line 4, 004-d.png: it exists (output_exists)\n  hint: --force"]);
        assert_eq!(report.files().collect::<Vec<_>>(), ["001-a.jpg", "002-b.png", "003-c.png"]);
        assert!(report.notes().is_empty() && report.held_hint().is_none());
        let notes = report.with_earlier(2, vec!["009-x.png".to_owned()]).notes();
        assert_eq!(notes[0], "renamed 2 files whose lines have other numbers now");
        assert_eq!(notes[1], "1 file of an earlier run belongs to no line any more: 009-x.png");
    }

    #[test]
    fn held_tasks_are_counted_apart_and_named_in_one_line() {
        let items =
            plan(Input::read(b"a\nb", &Defaults::default(), &Reading::Guarded).unwrap().lines, None).unwrap();
        for (code, again) in [(OUTCOME_UNKNOWN, "asks again (may pay again)"), ("user", "continues them")] {
            let held = |place: usize, id| {
                let failure = Failure::new(Exit::WorkFailed, code, "it is held").hint("for one");
                LineResult::held(&items[place], TaskId(id), failure)
            };
            let report = Report::new(vec![held(0, 58), held(1, 59)], "out".to_owned(), Duration::ZERO);
            assert!(report.has_failures());
            assert_eq!(
                report.summary(),
                "2 pictures: 0 made, 0 from cache, 0 kept, 2 held, 0 failed in 0 ms"
            );
            assert_eq!(report.failures()[1], format!("line 2, 002-b.png: it is held ({code})"));
            let hint = format!("reel release 58 59 {again}, reel cancel 58 59 cancels them");
            assert_eq!(report.held_hint(), Some(hint));
        }
    }
}
