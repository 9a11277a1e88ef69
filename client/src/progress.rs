//! Live progress on stderr: bars on a terminal, lines elsewhere.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reel_protocol::{
    Progress as Fraction, TaskId, TaskState, TaskView, Timestamp, WaitReason,
    methods::{DaemonStatusResult, PartialEvent},
};

use crate::{
    failure::Failure,
    output::Output,
    table,
    why::{self, Said, Why},
};

/// A tenth of the terminal's rows at most, so that what was there before stays in sight.
const ROWS_PER_BAR: usize = 10;

/// The parts of a full bar.
const STEPS: u64 = 1000;

/// Off a terminal, what is over before is not worth a line but that of its result.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Between two turns of the spinner.
const TURN: Duration = Duration::from_millis(120);

const TASK_STYLE: &str = "{spinner} {prefix} [{bar:20}] {percent:>3} % {wide_msg}";
const OVERALL_STYLE: &str = "{spinner} {pos}/{len} [{bar:20}] {elapsed_precise} {wide_msg}";

/// The tasks under way, as they are shown.
#[derive(Debug)]
pub struct Progress {
    output: Output,
    screen: Option<Screen>,
    /// Of many tasks only those that run have a bar, and only the results are said.
    is_of_many: bool,
    /// When the waiting began.
    begun: Instant,
    /// What is said of states once the waiting has lasted for a moment.
    pending: Vec<String>,
    /// The states that were said of a task, off a terminal: a task that is tried again and again would fill the screen.
    said: HashSet<(TaskId, TaskState)>,
    /// Why each task waits, as it was said last.
    explained: HashMap<TaskId, Said>,
    /// Why the tasks of a batch wait, for each reason and provider.
    explained_of_many: HashMap<(&'static str, Option<String>), Said>,
}

#[derive(Debug)]
struct Screen {
    bars: MultiProgress,
    most_bars: usize,
    tasks: HashMap<TaskId, ProgressBar>,
    overall: Option<ProgressBar>,
}

impl Progress {
    /// Bars where stderr is a terminal; with `total`, one over all as well.
    pub fn new(output: Output, total: Option<usize>) -> Self {
        let screen = output.rows().map(|rows| {
            let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let overall = total.map(|total| {
                let bar = bars.add(ProgressBar::new(total as u64));
                bar.set_style(style(OVERALL_STYLE));
                bar.enable_steady_tick(TURN);
                bar
            });
            Screen { bars, most_bars: (rows / ROWS_PER_BAR).max(1), tasks: HashMap::new(), overall }
        });
        Self {
            output,
            screen,
            is_of_many: total.is_some(),
            begun: Instant::now(),
            pending: Vec::new(),
            said: HashSet::new(),
            explained: HashMap::new(),
            explained_of_many: HashMap::new(),
        }
    }

    /// Bars of running tasks beside lines on stdout, where both are a terminal; elsewhere nothing is drawn or said.
    pub fn beside_lines(output: Output) -> Self {
        let mut progress = Self::new(output, None);
        if output.width().is_none() || output.is_json {
            progress.clear();
        }
        progress.is_of_many = true;
        progress
    }

    /// Whether there is a terminal to draw on.
    pub fn is_drawn(&self) -> bool {
        self.screen.is_some()
    }

    /// Shows where a task stands.
    pub fn show(&mut self, id: TaskId, title: &str, state: TaskState, progress: &Fraction) {
        let Some(screen) = &mut self.screen else { return self.say(id, state, progress) };
        if state.is_settled() {
            if let Some(bar) = screen.tasks.remove(&id) {
                bar.finish_and_clear();
                screen.bars.remove(&bar);
            }
            return;
        }
        let is_shown = screen.tasks.contains_key(&id);
        // Of many, those that run are shown; a single one is shown from the begin.
        let has_room =
            screen.tasks.len() < screen.most_bars && (!self.is_of_many || state == TaskState::Running);
        if !is_shown && !has_room {
            return;
        }
        let bar = screen.tasks.entry(id).or_insert_with(|| {
            let bar = match &screen.overall {
                Some(overall) => screen.bars.insert_before(overall, ProgressBar::new(STEPS)),
                None => screen.bars.add(ProgressBar::new(STEPS)),
            };
            bar.set_style(style(TASK_STYLE));
            bar.set_prefix(id.to_string());
            bar.enable_steady_tick(TURN);
            bar
        });
        bar.set_position((progress.fraction.clamp(0.0, 1.0) * STEPS as f64) as u64);
        let step = if progress.message.is_empty() { state.name() } else { &progress.message };
        bar.set_message(table::one_line(&if title.is_empty() {
            step.to_owned()
        } else {
            format!("{step} · {title}")
        }));
    }

    /// Says where a picture is that is not finished. A bar shows it with the progress of its task.
    pub fn preview(&self, partial: &PartialEvent) {
        let Some(path) = &partial.preview_path else { return };
        if self.screen.is_none() && !self.output.is_json {
            self.note(&format!(
                "task {}: preview {} is {}",
                partial.id,
                partial.offset + 1,
                table::one_line(path)
            ));
        }
    }

    /// Says why a task waits, once for each reason and again when it takes long; a bar shows it all the time.
    pub fn explain(&mut self, task: &TaskView, status: Option<&DaemonStatusResult>) {
        let Some(why) = Why::of(task, status, Timestamp::now()) else { return };
        let words = why.line(&format!("task {}", task.id));
        if let Some(bar) = self.screen.as_ref().and_then(|screen| screen.tasks.get(&task.id)) {
            return bar.set_message(table::one_line(&words));
        }
        let ending = self.explained.entry(task.id).or_default().ending(&why);
        self.say_why(&words, ending);
    }

    /// Says why tasks of a batch wait: once for each reason and provider, and not for each task. The overall bar shows it all the time.
    pub fn explain_batch(&mut self, tasks: &[TaskView], status: Option<&DaemonStatusResult>) {
        let now = Timestamp::now();
        let mut shown = String::new();
        let mut reasons = HashSet::new();
        let waiting = tasks.iter().filter(|task| task.wait_reason.is_some_and(why::may_last));
        // Those that were tried say more.
        let (tried, untried): (Vec<_>, Vec<_>) = waiting.partition(|task| task.error.is_some());
        for task in tried.into_iter().chain(untried) {
            let Some(mut why) = Why::of(task, status, now) else { continue };
            let key = (why.reason().text(), task.provider.clone());
            if !reasons.insert(key.clone()) {
                continue;
            }
            // One failure after another is no news in a batch.
            if why.reason() != WaitReason::EqualRequest {
                why.forget_code();
            }
            let words = why.line("the batch");
            let ending = self.explained_of_many.entry(key).or_default().ending(&why);
            self.say_why(&words, ending);
            if shown.is_empty() {
                shown = words;
            }
        }
        if let Some(overall) = self.screen.as_ref().and_then(|screen| screen.overall.as_ref()) {
            overall.set_message(table::one_line(&shown));
        }
    }

    /// Off a terminal, as a line of its own.
    fn say_why(&self, words: &str, ending: Option<&str>) {
        if let Some(ending) = ending.filter(|_| self.screen.is_none() && !self.output.is_json) {
            self.output.note(&format!("{words}{ending}"));
        }
    }

    /// One more of all is done; `line` says what, off a terminal.
    pub fn advance(&mut self, done: usize, line: &str) {
        match self.screen.as_ref().and_then(|screen| screen.overall.as_ref()) {
            Some(overall) => overall.set_position(done as u64),
            None if self.output.is_json => {}
            None => self.note(line),
        }
    }

    /// A line of data above the bars.
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        match &self.screen {
            Some(screen) => screen.bars.suspend(|| self.output.line(line)),
            None => self.output.line(line),
        }
    }

    /// A line above the bars.
    pub fn note(&self, line: &str) {
        if !self.output.is_quiet {
            self.warn(line);
        }
    }

    /// The same, with `--quiet` too.
    pub fn warn(&self, line: &str) {
        match &self.screen {
            Some(screen) => screen.bars.suspend(|| self.output.warn(line)),
            None => self.output.warn(line),
        }
    }

    /// Takes the bars away.
    pub fn clear(&mut self) {
        if let Some(screen) = self.screen.take() {
            // All at once: bars that are finished one by one leave lines behind. Nothing can be done about a terminal that is gone.
            let _ = screen.bars.clear();
            // A ticker that is just at work must not draw once more below what is printed next.
            screen.bars.set_draw_target(ProgressDrawTarget::hidden());
            for bar in screen.tasks.values().chain(&screen.overall) {
                bar.finish_and_clear();
            }
        }
    }

    fn say(&mut self, id: TaskId, state: TaskState, progress: &Fraction) {
        // Results say the rest; a document on stdout is often read together with stderr.
        if self.output.is_json || self.is_of_many || state.is_settled() || !self.said.insert((id, state)) {
            return;
        }
        let message =
            if progress.message.is_empty() { String::new() } else { format!(": {}", progress.message) };
        self.pending.push(format!("task {id} is {}{message}", state.name()));
        self.say_pending();
    }

    /// Whether something is to be said once the waiting has lasted for a moment.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Says what came up in the first moment, where that is over.
    pub fn say_pending(&mut self) {
        if self.begun.elapsed() >= PATIENCE {
            self.pending.drain(..).for_each(|line| self.output.note(&line));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let plain = ProgressStyle::default_bar().progress_chars("━╸ ").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ");
    // The templates are ours and hold; a bar without its style is still a bar.
    plain.clone().template(template).unwrap_or(plain)
}
