//! Shows progress on stderr: bars on a terminal, lines elsewhere.

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
    steps::{FailedStep, Obstacles, WaitingStep},
    table,
    why::{self, LastReportedReason, Why},
};

/// Rows of the terminal for each bar. So bars take at most a tenth of the rows, and earlier output stays visible.
const ROWS_PER_BAR: usize = 10;

/// Steps of a full bar.
const STEPS: u64 = 1000;

/// Without a terminal, tasks that end within this time print only their result and no progress.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Interval between two frames of the spinner.
const TURN: Duration = Duration::from_millis(120);

const TASK_STYLE: &str = "{spinner} {prefix} [{bar:20}] {percent:>3} % {wide_msg}";
const OVERALL_STYLE: &str = "{spinner} {pos}/{len} [{bar:20}] {elapsed} elapsed {wide_msg}";

/// The progress display of the tasks that a command waits for.
#[derive(Debug)]
pub struct Progress {
    output: Output,
    screen: Option<Screen>,
    /// Whether there are many tasks. Then only running ones get a bar, and states are not printed as lines.
    is_of_many: bool,
    /// When the wait began.
    begun: Instant,
    /// Lines about states that are printed once the wait has lasted for [`PATIENCE`].
    pending: Vec<String>,
    /// States that were printed as lines, by task. Each is printed once, because a task that is retried often would fill the screen.
    said: HashSet<(TaskId, TaskState)>,
    /// What was printed last about why each task waits.
    explained: HashMap<TaskId, LastReportedReason>,
    /// The causes for which steps of workflows failed or wait, as far as they were printed.
    explained_steps: HashSet<(TaskId, String)>,
    /// What was printed last about why tasks of a batch wait, by reason and provider.
    explained_of_many: HashMap<(&'static str, Option<String>), LastReportedReason>,
}

#[derive(Debug)]
struct Screen {
    bars: MultiProgress,
    most_bars: usize,
    tasks: HashMap<TaskId, ProgressBar>,
    overall: Option<ProgressBar>,
}

impl Progress {
    /// Draws bars if stderr is a terminal. With `total`, there is also an overall bar.
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
            explained_steps: HashSet::new(),
            explained_of_many: HashMap::new(),
        }
    }

    /// Draws bars of running tasks below the lines on stdout, if both streams are terminals. Otherwise it draws and prints nothing.
    pub fn beside_lines(output: Output) -> Self {
        let mut progress = Self::new(output, None);
        if output.width().is_none() || output.is_json {
            progress.clear();
        }
        progress.is_of_many = true;
        progress
    }

    /// Whether bars are drawn.
    pub fn is_drawn(&self) -> bool {
        self.screen.is_some()
    }

    /// Updates the bar of a task, or prints its state as a line if no bars are drawn.
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
        // If there are many tasks, only running ones get a bar. A single task gets one from the start.
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
            bar.set_prefix(format!("task {id}"));
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

    /// Prints the path of a task's preview picture, if no bars are drawn. A bar shows progress instead.
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

    /// Reports why a task waits. A bar shows it all the time. A line is printed once for each reason, and again if the wait becomes long.
    pub fn explain(&mut self, task: &TaskView, status: Option<&DaemonStatusResult>) {
        let Some(why) = Why::of(task, status, Timestamp::now()) else { return };
        let words = why.line(&format!("task {}", task.id));
        if let Some(bar) = self.screen.as_ref().and_then(|screen| screen.tasks.get(&task.id)) {
            return bar.set_message(table::one_line(&words));
        }
        let ending = self.explained.entry(task.id).or_default().ending(&why);
        self.say_why(&words, ending);
    }

    /// Reports which steps of a workflow failed because of a key or a quota, and why others wait. A bar shows the first that waits. Each cause is printed once as a line.
    pub fn explain_steps(&mut self, workflow: TaskId, obstacles: &Obstacles) {
        for FailedStep { step, message, .. } in obstacles.failed.iter().filter(|step| step.is_refusal) {
            if self.explained_steps.insert((workflow, message.clone())) && !self.output.is_json {
                self.note(&format!("{step} failed: {message}"));
            }
        }
        let bar = self.screen.as_ref().and_then(|screen| screen.tasks.get(&workflow));
        if let (Some(bar), Some(first)) = (bar, obstacles.waiting.first()) {
            return bar.set_message(table::one_line(&first.line));
        }
        for WaitingStep { line, cause } in &obstacles.waiting {
            let is_new = self.explained_steps.insert((workflow, cause.clone()));
            self.say_why(line, is_new.then_some(""));
        }
    }

    /// Reports why tasks of a batch wait. The overall bar shows it all the time. A line is printed once for each reason and provider, not for each
    /// task.
    pub fn explain_batch(&mut self, tasks: &[TaskView], status: Option<&DaemonStatusResult>) {
        let now = Timestamp::now();
        let mut shown = String::new();
        let mut reasons = HashSet::new();
        let waiting = tasks.iter().filter(|task| task.wait_reason.is_some_and(why::may_last));
        // Tasks that were tried come first, because their errors say more.
        let (tried, untried): (Vec<_>, Vec<_>) = waiting.partition(|task| task.error.is_some());
        for task in tried.into_iter().chain(untried) {
            let Some(mut why) = Why::of(task, status, now) else { continue };
            let key = (why.reason().text(), task.provider.clone());
            if !reasons.insert(key.clone()) {
                continue;
            }
            // In a batch, another error for the same reason is not reported again.
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

    /// Prints the reason as a line if no bars are drawn. `ending` is None if it was printed before.
    fn say_why(&self, words: &str, ending: Option<&str>) {
        if let Some(ending) = ending.filter(|_| self.screen.is_none() && !self.output.is_json) {
            self.output.note(&format!("{words}{ending}"));
        }
    }

    /// Sets the number of finished tasks on the overall bar, or prints `line` if there is none.
    pub fn advance(&mut self, done: usize, line: &str) {
        match self.screen.as_ref().and_then(|screen| screen.overall.as_ref()) {
            Some(overall) => overall.set_position(done as u64),
            None if self.output.is_json => {}
            None => self.note(line),
        }
    }

    /// Prints a line of data to stdout, above the bars.
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        match &self.screen {
            Some(screen) => screen.bars.suspend(|| self.output.line(line)),
            None => self.output.line(line),
        }
    }

    /// Prints a note to stderr, above the bars. With `--quiet` it prints nothing.
    pub fn note(&self, line: &str) {
        if !self.output.is_quiet {
            self.warn(line);
        }
    }

    /// Prints a warning to stderr, above the bars, also with `--quiet`.
    pub fn warn(&self, line: &str) {
        match &self.screen {
            Some(screen) => screen.bars.suspend(|| self.output.warn(line)),
            None => self.output.warn(line),
        }
    }

    /// Removes the bars.
    pub fn clear(&mut self) {
        if let Some(screen) = self.screen.take() {
            // All bars are cleared at once, because clearing one by one leaves lines behind. Errors are ignored: the terminal may be gone.
            let _ = screen.bars.clear();
            // A spinner's ticker that runs at this moment must not draw again below the next output.
            screen.bars.set_draw_target(ProgressDrawTarget::hidden());
            for bar in screen.tasks.values().chain(&screen.overall) {
                bar.finish_and_clear();
            }
        }
    }

    fn say(&mut self, id: TaskId, state: TaskState, progress: &Fraction) {
        // Results are printed elsewhere. With `--json`, stderr is often read together with the document on stdout, so nothing is printed.
        if self.output.is_json || self.is_of_many || state.is_settled() || !self.said.insert((id, state)) {
            return;
        }
        let message =
            if progress.message.is_empty() { String::new() } else { format!(": {}", progress.message) };
        self.pending.push(format!("task {id} is {}{message}", state.name()));
        self.say_pending();
    }

    /// Prints the waiting lines if the wait has lasted for [`PATIENCE`].
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
    // The templates are constants and valid. If one were not, the bar would be drawn without its style.
    plain.clone().template(template).unwrap_or(plain)
}
