//! Shows the shots of a story with estimated start times and lengths, as a table and as JSON.

use reel_story::{
    project::{Project, Scene, Shot},
    speaking_time,
    timeline::{Timeline, f64_samples, samples_at},
};
use serde::Serialize;

use super::{stale::known_speech_s, state::State, story_paths::StoryPaths, storyboard::Storyboard};
use crate::{exit::Exit, failure::Failure, output::Output, table};

/// The shots of a story with estimated times.
#[derive(Debug, Serialize)]
pub struct Outline<'a> {
    project: String,
    /// Whether this run wrote the project file.
    is_written: bool,
    /// Whether the story has changed since the project was split from it.
    is_story_changed: bool,
    shots: Vec<ShotOutline<'a>>,
    scenes: &'a [Scene],
    duration_s: f64,
    frames: u64,
    spoken_characters: usize,
    pictures: usize,
    #[serde(skip)]
    clip_seconds: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct ShotOutline<'a> {
    start_s: f64,
    duration_s: f64,
    /// Estimated duration of the speech, in seconds.
    speech_s: f64,
    #[serde(flatten)]
    shot: &'a Shot,
}

impl<'a> Outline<'a> {
    /// Estimates the times of all shots. The lengths of voices that an earlier run made are known.
    pub fn of(
        storyboard: &'a Storyboard,
        paths: &StoryPaths,
        state: &State,
        is_written: bool,
    ) -> Result<Self, Failure> {
        let project = &storyboard.project;
        let (speech, timeline) = place(project, state, storyboard.language())?;
        let seconds = |samples: u64| samples as f64 / f64_samples(1.0) as f64;
        let shots = project.shots.iter().zip(&timeline.shots).zip(&speech);
        let shots: Vec<ShotOutline<'_>> = shots
            .map(|((shot, placed), speech)| ShotOutline {
                start_s: seconds(samples_at(placed.start_frame, timeline.fps)),
                duration_s: placed.frames as f64 / f64::from(timeline.fps),
                speech_s: seconds(*speech),
                shot,
            })
            .collect();
        let is_made = |shot: &&Shot| shot.picture_file.is_empty() && shot.clip_file.is_empty();
        let is_spoken = |shot: &&Shot| shot.voice_file.is_empty();
        Ok(Self {
            project: table::path(&paths.project),
            is_written,
            is_story_changed: storyboard.is_story_changed,
            scenes: &project.scenes,
            duration_s: seconds(timeline.samples),
            frames: timeline.frames,
            spoken_characters: project
                .shots
                .iter()
                .filter(is_spoken)
                .map(|shot| shot.narration().chars().count())
                .sum(),
            pictures: project.shots.iter().filter(is_made).count(),
            clip_seconds: timeline
                .shots
                .iter()
                .map(|placed| placed.untitled_frames as f64 / f64::from(timeline.fps))
                .collect(),
            shots,
        })
    }

    /// Returns the start and the duration of each shot, in seconds.
    pub fn placed(&self) -> Vec<(f64, f64)> {
        self.shots.iter().map(|shot| (shot.start_s, shot.duration_s)).collect()
    }

    /// Returns the length of a clip for each shot, in seconds.
    pub fn clip_seconds(&self) -> &[f64] {
        &self.clip_seconds
    }

    /// Prints the table and the totals.
    pub fn show(&self, output: Output, project: &Project) -> Result<(), Failure> {
        let rows: Vec<[String; 4]> = self
            .shots
            .iter()
            .map(|found| {
                let text = if found.shot.text.is_empty() { "(silent)" } else { &found.shot.text };
                [
                    found.shot.id.clone(),
                    clock(found.start_s),
                    format!("{:.1} s", found.duration_s),
                    text.to_owned(),
                ]
            })
            .collect();
        output.data(&table::columns(["SHOT", "AT", "TAKES", "TEXT"], &rows, output.width()))?;
        output.note(&format!(
            "{} in {}, about {} at {} and {} frames a second; {} to speak, {}",
            count(rows.len(), "shot"),
            count(project.scenes.len(), "scene"),
            clock(self.duration_s),
            project.video.size,
            project.video.fps,
            count(self.spoken_characters, "character"),
            count(self.pictures, "picture"),
        ));
        Ok(())
    }
}

/// Formats a number with its noun, such as `1 shot` or `2 shots`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Formats a time within the film as minutes and seconds, such as `0:58`.
pub fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    format!("{}:{:02}", whole / 60, whole % 60)
}

/// Returns the speech of each shot in samples, known or estimated, and places the shots on the timeline.
fn place(project: &Project, state: &State, language: Option<&str>) -> Result<(Vec<u64>, Timeline), Failure> {
    let spoken = |shot: &Shot| {
        if !shot.is_spoken() {
            return 0;
        }
        let known = state.shots.get(&shot.id).and_then(|record| known_speech_s(project, shot, record));
        f64_samples(known.unwrap_or_else(|| speaking_time(shot.narration(), language).as_secs_f64()))
    };
    let speech: Vec<u64> = project.shots.iter().map(spoken).collect();
    let timeline = project
        .timeline(&speech)
        .map_err(|error| Failure::new(Exit::BadData, "bad_data", error.to_string()))?;
    Ok((speech, timeline))
}
