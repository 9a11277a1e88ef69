//! The results of a story: the film, its subtitles, and a report that says what each shot is made of and what it lacks.

use reel_protocol::{
    Cost, Digest, Output, ShotReport, StepReport, StepState, StoryMakeParams, StoryReport, StoryStage,
    TaskError,
};
use reel_story::{
    project::{Shot, Subtitles},
    timeline::samples_at,
};

use super::{
    Story,
    material::{Visual, Voice},
    place::Placement,
};
use crate::workflows::{
    run::task_error,
    step::{File, Outcome, StepEnds, params_of},
};

/// The most shots that an error names.
const NAMED: usize = 5;

impl Story {
    pub(super) fn outcome_of(&self, ends: &StepEnds) -> Outcome {
        let Some(placement) = self.place(ends) else {
            let message = "the shots make no film: a voice lasts more than an hour".to_owned();
            let flaw = task_error("invalid_params", message, "split the shot into several", false);
            return Outcome { flaw: Some(flaw), ..Outcome::default() };
        };
        let report = self.report(&placement, ends);
        let film = ends.get("join").and_then(|end| end.output.clone());
        let mut files = Vec::new();
        let srt = self.srt(&placement);
        if self.has_subtitle_file()
            && placement.is_exact()
            && !srt.is_empty()
            && self.until() > StoryStage::Storyboard
        {
            files.push(File {
                media_type: "application/x-subrip",
                extension: "srt",
                bytes: srt.into_bytes(),
            });
        }
        let flaw = self.flaw(film.as_ref(), ends);
        let bytes = serde_json::to_vec(&report).unwrap_or_default();
        files.push(File { media_type: "application/json", extension: "json", bytes });
        Outcome { outputs: film.into_iter().collect(), files, flaw }
    }

    /// Whether the subtitles are a file beside the film: the project says so, or the film cannot have them in the form that it says.
    pub(super) fn has_subtitle_file(&self) -> bool {
        let forms = &self.spec.project.video.subtitles;
        let is_in_film = self.abilities.can_render
            && (self.abilities.burns_subtitles || forms.contains(&Subtitles::Track));
        forms.contains(&Subtitles::Srt) || (!forms.is_empty() && !is_in_film)
    }

    fn report(&self, placement: &Placement, ends: &StepEnds) -> StoryReport {
        let fps = placement.timeline.fps;
        let seconds = |samples: u64| (samples as f64 / 48.0).round() / 1000.0;
        let shots = self.spec.project.shots.iter().zip(&placement.timeline.shots).map(|(shot, placed)| {
            let speech = if shot.is_spoken() || !shot.voice_file.is_empty() { placed.speech } else { 0 };
            ShotReport {
                id: shot.id.clone(),
                start_s: seconds(samples_at(placed.start_frame, fps)),
                duration_s: seconds(samples_at(placed.frames, fps)),
                speech_start_s: seconds(placed.speech_start),
                speech_s: seconds(speech),
                voice: self.voice_report(shot, ends),
                picture: self.picture_report(shot, ends),
                clip: self.clip_report(shot, ends),
                render: self.frames_report(format!("render/{}", shot.id), ends),
            }
        });
        let film_steps = self.spec.project.shots.iter().map(|shot| format!("transition/{}", shot.id));
        let film_steps = film_steps.chain(["mix".to_owned(), "join".to_owned()]);
        StoryReport {
            project: params_of(&self.spec.project),
            shots: shots.collect(),
            steps: self
                .sheet_reports(ends)
                .into_iter()
                .chain(film_steps.filter_map(|name| Some(ends.get(&name)?.report(&name))))
                .collect(),
            frames: placement.timeline.frames,
            duration_s: seconds(placement.timeline.samples),
            is_estimate: !placement.is_exact(),
            downgrades: self.abilities.downgrades.iter().cloned().chain(self.missing_sheets(ends)).collect(),
            cost: cost(ends),
        }
    }

    fn voice_report(&self, shot: &Shot, ends: &StepEnds) -> Option<StepReport> {
        let name = format!("voice/{}", shot.id);
        match (self.supplied(&shot.voice_file), shot.is_spoken()) {
            (Some(own), _) => Some(supplied(name, own)),
            (None, true) => Some(step_report(name, ends, self.is_requested(shot, StoryStage::Voices))),
            (None, false) => None,
        }
    }

    fn picture_report(&self, shot: &Shot, ends: &StepEnds) -> Option<StepReport> {
        let name = format!("picture/{}", shot.id);
        match self.supplied(&shot.picture_file) {
            Some(own) => Some(supplied(name, own)),
            None if !shot.clip_file.is_empty() => None,
            None => Some(step_report(name, ends, self.is_requested(shot, StoryStage::Pictures))),
        }
    }

    fn clip_report(&self, shot: &Shot, ends: &StepEnds) -> Option<StepReport> {
        let name = format!("clip/{}", shot.id);
        match self.supplied(&shot.clip_file) {
            Some(own) => Some(supplied(name, own)),
            None => self.makes_clip(shot).then(|| step_report(name, ends, true)),
        }
    }

    /// Whether this stage of a shot was requested.
    fn is_requested(&self, shot: &Shot, stage: StoryStage) -> bool {
        self.until() >= stage && self.is_selected(&shot.id)
    }

    fn frames_report(&self, name: String, ends: &StepEnds) -> Option<StepReport> {
        match ends.get(&name) {
            Some(end) => Some(end.report(&name)),
            None => self.makes_film().then(|| bare(name, StepState::Blocked, None)),
        }
    }

    /// Returns the error of the task. None if it succeeds.
    fn flaw(&self, film: Option<&Output>, ends: &StepEnds) -> Option<TaskError> {
        if film.is_some() {
            return None;
        }
        let is_over = |error: &&TaskError| error.code == StoryMakeParams::OVER_BUDGET;
        if let Some(error) = ends.values().filter_map(|end| end.error.as_ref()).find(is_over) {
            return Some(error.clone());
        }
        let missing: Vec<String> = self
            .spec
            .project
            .shots
            .iter()
            .filter(|shot| self.is_selected(&shot.id))
            .filter_map(|shot| self.lack(shot, ends))
            .collect();
        if !missing.is_empty() {
            return Some(shots_missing(&missing, self.until()));
        }
        if self.until() < StoryStage::Film || self.spec.params.only.is_some() {
            return None;
        }
        if !self.abilities.can_render {
            let message = "everything is made but the film: ffmpeg is not installed".to_owned();
            let hint =
                "apt install ffmpeg, or brew install ffmpeg; then make it again: nothing is made twice";
            return Some(task_error(StoryMakeParams::NO_RENDERER, message, hint, true));
        }
        let is_of_film = |name: &str| {
            ["render/", "transition/", "mix", "join"].iter().any(|stage| name.starts_with(stage))
        };
        let mut of_film = ends.iter().filter(|(name, _)| is_of_film(name));
        Some(match of_film.find_map(|(name, end)| Some((name, end.error.as_ref()?))) {
            Some((name, error)) => {
                TaskError { message: format!("{name} failed: {}", error.message), ..error.clone() }
            }
            None => task_error(
                "internal",
                "the film has no parts".to_owned(),
                "reel daemon logs shows the cause",
                true,
            ),
        })
    }

    /// Describes what a shot lacks. None if it has everything that was requested.
    fn lack(&self, shot: &Shot, ends: &StepEnds) -> Option<String> {
        let until = self.until();
        let voice = until >= StoryStage::Voices && matches!(self.voice(shot, ends), Voice::Missing);
        let visual = until >= StoryStage::Pictures
            && matches!(self.visual(shot, ends), Visual::Missing | Visual::Pending);
        let names = ["voice", "picture", "card", "clip", "render", "transition"];
        let ended = names.iter().filter_map(|stage| ends.get(&format!("{stage}/{}", shot.id)));
        let error = ended.filter(|end| end.output.is_none()).find_map(|end| Some((end, end.error.as_ref()?)));
        match error {
            Some((end, error)) => {
                let is_left =
                    self.spec.params.allow_missing && !voice && !visual && end.state != StepState::Held;
                let held = if end.state == StepState::Held { "held: " } else { "" };
                (!is_left).then(|| format!("{}: {held}{}", shot.id, error.message))
            }
            None if voice => Some(format!("{}: its voice has no length", shot.id)),
            None if visual => Some(match self.held_sheet(shot, ends) {
                Some((sheet, end)) => {
                    let why =
                        end.error.as_ref().map(|error| format!(" ({})", error.message)).unwrap_or_default();
                    format!(
                        "{}: its picture waits for the sheet of {}, which is held{why}",
                        shot.id,
                        sheet.id()
                    )
                }
                None => format!("{}: it has no picture", shot.id),
            }),
            None => None,
        }
    }
}

/// Returns the report of a step of a shot. A step that was requested and not submitted is blocked, because its inputs are missing.
fn step_report(name: String, ends: &StepEnds, is_requested: bool) -> StepReport {
    if let Some(end) = ends.get(&name) {
        return end.report(&name);
    }
    let state = if is_requested { StepState::Blocked } else { StepState::Skipped };
    bare(name, state, None)
}

/// Returns the error of a film that lacks shots.
fn shots_missing(missing: &[String], until: StoryStage) -> TaskError {
    let count = match missing.len() {
        1 => "1 shot is".to_owned(),
        count => format!("{count} shots are"),
    };
    let named = missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    let more = if missing.len() > NAMED { "; …" } else { "" };
    let film = if until == StoryStage::Film { ", so no film was joined" } else { "" };
    let message = format!("{count} not complete{film}: {named}{more}");
    let hint = "make it again: what is there is kept, and only what is missing is made";
    task_error(StoryMakeParams::SHOTS_MISSING, message, hint, true)
}

fn supplied(step: String, own: &Output) -> StepReport {
    bare(step, StepState::Supplied, Some(own))
}

fn bare(step: String, state: StepState, output: Option<&Output>) -> StepReport {
    StepReport {
        step,
        state,
        task: None,
        digest: output.map(|output| -> Digest { output.digest }),
        media_type: output.map(|output| output.media_type.clone()),
        path: output.map(|output| output.path.clone()),
        provider: None,
        error: None,
        cost: None,
    }
}

/// Returns the cost of all steps together. None if the cost of a result is unknown. Cached results cost nothing, and a failed step costs what its
/// attempts are known to have cost.
fn cost(ends: &StepEnds) -> Option<Cost> {
    let mut total = Cost { amount: 0.0, currency: "USD".to_owned(), is_estimate: false };
    for end in ends.values() {
        match &end.cost {
            Some(cost) => {
                total.amount += cost.amount;
                total.is_estimate |= cost.is_estimate;
            }
            None if end.state == StepState::Made => return None,
            None => {}
        }
    }
    Some(total)
}
