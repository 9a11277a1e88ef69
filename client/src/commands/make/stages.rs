//! Counts the steps of each part of a film that are done, and estimates how long the rest will take. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use reel_protocol::TaskState;
use reel_story::project::{Project, Shot, ShotTransition, Transition};

use super::{args::Stage as Until, outline::count};

/// A part of the work, which has its own bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Speaking the voices.
    Voices,
    /// Making the pictures.
    Pictures,
    /// Making clips from pictures.
    Clips,
    /// Rendering and joining shots, transitions and sound.
    Rendering,
}

impl Lane {
    /// Returns the name on the bar.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Voices => "voices",
            Self::Pictures => "pictures",
            Self::Clips => "clips",
            Self::Rendering => "rendering",
        }
    }

    /// Returns the lane of a step, by the step's name.
    fn of(step: &str) -> Self {
        match step.split('/').next().unwrap_or_default() {
            "voice" => Self::Voices,
            "picture" | "card" | "sheet" | "place" => Self::Pictures,
            "clip" => Self::Clips,
            _ => Self::Rendering,
        }
    }
}

/// The step counts of all lanes.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    /// Number of finished steps and of all steps, by lane.
    counts: BTreeMap<Lane, (u64, u64)>,
    /// The progress of running steps, from 0 to 1.
    running: HashMap<String, f64>,
}

impl Stages {
    /// Counts the steps that these shots need.
    pub fn of(project: &Project, only: &[String], until: Option<Until>) -> Self {
        let shots: Vec<&Shot> =
            project.shots.iter().filter(|shot| only.is_empty() || only.contains(&shot.id)).collect();
        let number =
            |is_counted: &dyn Fn(&Shot) -> bool| shots.iter().filter(|shot| is_counted(shot)).count() as u64;
        let has_own_clip = |shot: &Shot| !shot.clip_file.is_empty();
        let mut totals = BTreeMap::new();
        let is_spoken = |shot: &Shot| shot.voice_file.is_empty() && shot.is_spoken();
        totals.insert(Lane::Voices, number(&is_spoken));
        if until != Some(Until::Voices) {
            let is_drawn = |shot: &Shot| shot.picture_file.is_empty() && !has_own_clip(shot);
            totals.insert(Lane::Pictures, number(&is_drawn));
        }
        if matches!(until, None | Some(Until::Clips)) {
            totals.insert(Lane::Clips, number(&|shot| shot.clip && !has_own_clip(shot)));
        }
        if until.is_none() && only.is_empty() {
            let dissolves = project.shots.iter().skip(1).filter(|shot| is_dissolve(project, shot)).count();
            totals.insert(Lane::Rendering, number(&|_| true) + dissolves as u64 + 2);
        }
        totals.retain(|_, total| *total > 0);
        let counts = totals.into_iter().map(|(lane, total)| (lane, (0, total))).collect();
        Self { counts, running: HashMap::new() }
    }

    /// Updates the counts from a progress message such as `voices 12/28, frames 0/57`, which counts what is made in this run. Returns false for any
    /// other message.
    pub fn see_counts(&mut self, message: &str) -> bool {
        let counts: Option<Vec<(Lane, (u64, u64))>> = message.split(", ").map(count_of).collect();
        let Some(counts) = counts else { return false };
        // A part of the work that is not named has nothing to be made.
        self.counts.values_mut().for_each(|count| *count = (0, 0));
        self.counts.extend(counts);
        true
    }

    /// Updates the progress of a step.
    pub fn see(&mut self, step: &str, state: TaskState, fraction: f64) {
        if state.is_settled() {
            self.running.remove(step);
        } else {
            self.running.insert(step.to_owned(), fraction.clamp(0.0, 0.99));
        }
    }

    /// Returns the lanes that have steps. Each has the number of finished steps, including fractions of running ones, and the number of all steps.
    pub fn lanes(&self) -> impl Iterator<Item = (Lane, f64, u64)> {
        self.counts.iter().map(|(lane, (done, total))| {
            let running = self.running.iter().filter(|(step, _)| Lane::of(step) == *lane);
            let parts: f64 = running.map(|(_, fraction)| fraction).sum();
            (*lane, (*done as f64 + parts).min(*total as f64), *total)
        })
    }

    /// Describes all lanes, such as `voices 12/28, pictures 3/28, rendering 0/57`.
    pub fn words(&self) -> String {
        let words: Vec<String> = self
            .lanes()
            .filter(|(_, _, total)| *total > 0)
            .map(|(lane, done, total)| format!("{} {}/{total}", lane.name(), done as u64))
            .collect();
        words.join(", ")
    }
}

/// Parses a lane and its counts, such as `voices 12/28`.
fn count_of(words: &str) -> Option<(Lane, (u64, u64))> {
    let (name, numbers) = words.split_once(' ')?;
    let (done, total) = numbers.split_once('/')?;
    let lane = match name {
        "voices" => Lane::Voices,
        "pictures" => Lane::Pictures,
        "clips" => Lane::Clips,
        "frames" => Lane::Rendering,
        _ => return None,
    };
    Some((lane, (done.parse().ok()?, total.parse().ok()?)))
}

/// Whether the film dissolves into this shot.
fn is_dissolve(project: &Project, shot: &Shot) -> bool {
    match shot.transition {
        ShotTransition::Cut => false,
        ShotTransition::Dissolve => true,
        ShotTransition::Usual => project.video.transition == Transition::Dissolve,
    }
}

/// The period over which speed is measured, in seconds. It is long, so that a single slow step does not double the estimate.
const WINDOW: f64 = 45.0;
/// Least time and least progress that an estimate needs.
const LEAST_S: f64 = 4.0;
const LEAST_FRACTION: f64 = 0.02;

/// Estimates how long the rest will take from how fast the whole progressed recently.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    /// The progress from 0 to 1 at times in seconds, oldest first.
    seen: Vec<(f64, f64)>,
}

impl Estimate {
    /// Adds the progress at a time in seconds.
    pub fn see(&mut self, seconds: f64, fraction: f64) {
        self.seen.push((seconds, fraction));
        // One sample older than the window is kept, so that the samples always cover the window.
        let old = self.seen.iter().take_while(|(at, _)| seconds - at > WINDOW).count();
        self.seen.drain(..old.saturating_sub(1));
    }

    /// Returns the time left at a time in seconds; None while an estimate is not possible.
    pub fn left(&self, seconds: f64) -> Option<Duration> {
        let (first, last) = (self.seen.first()?, self.seen.last()?);
        let (span, grown) = (seconds - first.0, last.1 - first.1);
        if span < LEAST_S || grown < LEAST_FRACTION || last.1 >= 1.0 {
            return None;
        }
        let rest = (1.0 - last.1) * span / grown - (seconds - last.0);
        Duration::try_from_secs_f64(rest.max(1.0)).ok()
    }
}

/// Formats the time left with rough precision, such as `about 40 s left` or `about 3 minutes left`.
pub fn left_words(left: Duration) -> String {
    match left.as_secs() {
        0..10 => "a few seconds left".to_owned(),
        seconds @ 10..100 => format!("about {} s left", seconds.div_ceil(5) * 5),
        seconds @ 100..5400 => format!("about {} left", count(seconds.div_ceil(60) as usize, "minute")),
        seconds => format!("about {} left", count(seconds.div_ceil(3600) as usize, "hour")),
    }
}

#[cfg(test)]
mod tests {
    use reel_story::project::read_toml;

    use super::*;

    const PROJECT: &str = "version = 1\n[[shots]]\nid = \"a1\"\ntext = \"One.\"\n\
        [[shots]]\nid = \"a2\"\ntext = \"\"\nclip = true\n\
        [[shots]]\nid = \"a3\"\ntext = \"Three.\"\nvoice_file = \"v.wav\"\npicture_file = \"p.png\"\ntransition = \"cut\"\n";

    #[test]
    fn every_step_that_is_to_come_is_counted_before_it_is_there() {
        let project = read_toml(PROJECT).unwrap();
        let only = ["a2".to_owned()];
        for (only, until, expected) in [
            (&[][..], None, "voices 0/1, pictures 0/2, clips 0/1, rendering 0/6"),
            (&[], Some(Until::Pictures), "voices 0/1, pictures 0/2"),
            (&[], Some(Until::Voices), "voices 0/1"),
            (&only, None, "pictures 0/1, clips 0/1"),
        ] {
            assert_eq!(Stages::of(&project, only, until).words(), expected);
        }
        let mut stages = Stages::of(&project, &[], None);
        assert!(!stages.see_counts("looks at the project"));
        assert!(stages.see_counts("voices 1/1, pictures 1/2, clips 0/1, frames 0/6"));
        stages.see("picture/a1", TaskState::Running, 0.5);
        stages.see("picture/a2", TaskState::Running, 0.5);
        stages.see("picture/a2", TaskState::Failed, 0.0);
        stages.see("transition/a2", TaskState::Queued, 0.0);
        assert_eq!(stages.words(), "voices 1/1, pictures 1/2, clips 0/1, rendering 0/6");
        let pictures = stages.lanes().find(|(lane, ..)| *lane == Lane::Pictures).unwrap();
        assert!((pictures.1 - 1.5).abs() < 1e-9, "{pictures:?}");
        assert!(stages.see_counts("frames 1/3"));
        assert_eq!(stages.words(), "rendering 1/3", "the rest was made before");
    }

    #[test]
    fn the_rest_is_told_by_how_fast_it_went_lately() {
        let mut estimate = Estimate::default();
        assert_eq!(estimate.left(0.0), None);
        estimate.see(0.0, 0.0);
        estimate.see(1.0, 0.3);
        assert_eq!(estimate.left(1.0), None, "too soon");
        // The first third came from the cache at once. The rest is slow.
        for second in 2..=100 {
            estimate.see(f64::from(second), 0.3 + f64::from(second) / 1000.0);
        }
        let left = estimate.left(100.0).unwrap().as_secs_f64();
        assert!((550.0..650.0).contains(&left), "{left}");
        // Without further progress, the estimate grows.
        assert!(estimate.left(110.0).unwrap().as_secs_f64() > left);
    }

    #[test]
    fn what_is_left_is_rounded_as_an_estimate_is() {
        for (seconds, words) in [
            (3, "a few seconds left"),
            (41, "about 45 s left"),
            (130, "about 3 minutes left"),
            (7000, "about 2 hours left"),
        ] {
            assert_eq!(left_words(Duration::from_secs(seconds)), words);
        }
    }
}
