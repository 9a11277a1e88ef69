//! Shows the progress of a film. On a terminal there is a bar for each part of the work and one for the whole, elsewhere a line from time to time.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reel_protocol::TaskState;

use super::stages::{Estimate, Lane, Stages, left_words};
use crate::{output::Output, steps::WaitingStep, table};

/// Steps of a full bar.
const PARTS: u64 = 1000;
/// Least time between two lines without a terminal. A line is also printed when a part of the work is done.
const BETWEEN_LINES: Duration = Duration::from_secs(15);
/// Most failures that are printed when they happen.
const SAID_FAILURES: usize = 3;
/// Without a terminal, a run that ends within this time prints no progress.
const PATIENCE: Duration = Duration::from_secs(3);

const LANE_STYLE: &str = "  {prefix:10} [{bar:24}] {wide_msg}";
const WHOLE_STYLE: &str = "{spinner} {prefix:10} [{bar:24}] {percent:>3} %  {elapsed_precise}  {wide_msg}";

/// The progress display of a film.
#[derive(Debug)]
pub struct Screen {
    output: Output,
    stages: Stages,
    estimate: Estimate,
    begun: Instant,
    fraction: f64,
    message: String,
    /// The line that says why the work waits; None if it does not.
    waiting: Option<String>,
    /// The causes of waiting that were printed.
    explained: HashSet<String>,
    bars: Option<Bars>,
    /// The last line that was printed, and when.
    said: (String, Instant),
    /// The steps that have failed or are held.
    failures: HashSet<String>,
    /// The parts of the work that were complete when last checked, with their numbers of steps.
    done: BTreeMap<Lane, u64>,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    lanes: BTreeMap<Lane, ProgressBar>,
    whole: ProgressBar,
}

impl Screen {
    /// Starts a display without progress.
    pub fn new(output: Output, stages: Stages) -> Self {
        let begun = Instant::now();
        // A terminal that cannot move its cursor gets lines instead of bars.
        let can_draw = !output.is_json && !ProgressDrawTarget::stderr().is_hidden();
        let bars = output.rows().filter(|_| can_draw).map(|_| Bars::new(&stages));
        Self {
            output,
            stages,
            estimate: Estimate::default(),
            begun,
            fraction: 0.0,
            message: String::new(),
            waiting: None,
            explained: HashSet::new(),
            bars,
            said: (String::new(), begun),
            failures: HashSet::new(),
            done: BTreeMap::new(),
        }
    }

    /// Updates the progress of the whole film.
    pub fn see(&mut self, fraction: f64, message: &str) {
        self.fraction = fraction.clamp(0.0, 1.0);
        if !self.stages.see_counts(message) {
            message.clone_into(&mut self.message);
        }
        self.estimate.see(self.begun.elapsed().as_secs_f64(), self.fraction);
    }

    /// Updates the progress of a step.
    pub fn see_step(&mut self, step: &str, state: TaskState, fraction: f64) {
        self.stages.see(step, state, fraction);
    }

    /// Sets why the work waits. Without a terminal, each cause is printed once, although its remaining time changes.
    pub fn explain(&mut self, waiting: &[WaitingStep]) {
        for WaitingStep { line, cause } in waiting {
            if self.bars.is_none() && !self.output.is_json && self.explained.insert(cause.clone()) {
                self.output.note(line);
            }
        }
        self.waiting = waiting.first().map(|waiting| waiting.line.clone());
    }

    /// Draws the bars, or prints a line if it is time for one.
    pub fn draw(&mut self) {
        let left = self.estimate.left(self.begun.elapsed().as_secs_f64()).map(left_words);
        let Some(bars) = &mut self.bars else { return self.say(left.as_deref()) };
        for (lane, done, total) in self.stages.lanes() {
            let bar = bars.lanes.entry(lane).or_insert_with(|| lane_bar(&bars.all, &bars.whole, lane));
            if total == 0 {
                bar.set_position(PARTS);
                bar.set_message("made before");
                continue;
            }
            bar.set_position((done / total as f64 * PARTS as f64) as u64);
            bar.set_message(format!("{}/{total}", done as u64));
        }
        bars.whole.set_position((self.fraction * PARTS as f64) as u64);
        let now = self.waiting.as_ref().unwrap_or(&self.message).as_str();
        let words: Vec<&str> =
            left.iter().map(String::as_str).chain([now]).filter(|text| !text.is_empty()).collect();
        bars.whole.set_message(table::one_line(&words.join(" · ")));
    }

    /// Prints at once that a step failed or is held. Each step is printed once, and only the first few, because the summary names all.
    pub fn note_failure(&mut self, step: &str, verb: &str, message: &str) {
        if !self.failures.insert(step.to_owned()) {
            return;
        }
        match self.failures.len() {
            1..=SAID_FAILURES => self.note(&format!("{step} {verb}: {message}")),
            failures if failures == SAID_FAILURES + 1 => {
                self.note("more steps failed; all are named at the end");
            }
            _ => {}
        }
    }

    /// Prints a note above the bars.
    pub fn note(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.all.suspend(|| self.output.note(line)),
            None => self.output.note(line),
        }
    }

    /// Removes the bars.
    pub fn clear(&mut self) {
        if let Some(bars) = self.bars.take() {
            // Errors are ignored, because the terminal may be gone.
            let _ = bars.all.clear();
            // A spinner's ticker that runs at this moment must not draw again below the next output.
            bars.all.set_draw_target(ProgressDrawTarget::hidden());
            bars.lanes.values().chain([&bars.whole]).for_each(ProgressBar::finish_and_clear);
        }
    }

    /// Prints a line if a part of the work is done, or if something changed and the last line is [`BETWEEN_LINES`] old.
    fn say(&mut self, left: Option<&str>) {
        if self.output.is_json || self.begun.elapsed() < PATIENCE {
            return;
        }
        let mut is_any_done = false;
        for (lane, done, total) in self.stages.lanes() {
            if total > 0 && done >= total as f64 && self.done.insert(lane, total) != Some(total) {
                is_any_done = true;
            }
        }
        let words = self.stages.words();
        let line = format!("{words}; {:.0} %", self.fraction * 100.0);
        let is_news = line != self.said.0 && (is_any_done || self.said.1.elapsed() >= BETWEEN_LINES);
        if is_news && self.fraction < 0.99 {
            let left = left.map(|left| format!(", {left}")).unwrap_or_default();
            self.output.note(&format!("{line}{left}"));
            self.said = (line, Instant::now());
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Bars {
    fn new(stages: &Stages) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let whole = all.add(ProgressBar::new(PARTS));
        whole.set_style(style(WHOLE_STYLE));
        whole.set_prefix("the film");
        whole.enable_steady_tick(Duration::from_millis(120));
        let lanes = stages.lanes().map(|(lane, ..)| (lane, lane_bar(&all, &whole, lane))).collect();
        Self { all, lanes, whole }
    }
}

fn lane_bar(all: &MultiProgress, whole: &ProgressBar, lane: Lane) -> ProgressBar {
    let bar = all.insert_before(whole, ProgressBar::new(PARTS));
    bar.set_style(style(LANE_STYLE));
    bar.set_prefix(lane.name());
    bar
}

fn style(template: &str) -> ProgressStyle {
    let plain = ProgressStyle::default_bar().progress_chars("━╸ ").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ");
    // The templates are constants and valid. If one were not, the bar would be drawn without its style.
    plain.clone().template(template).unwrap_or(plain)
}
