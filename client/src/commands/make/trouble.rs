//! Collects the steps that failed or are held, each with its error and a hint. Pure.

use reel_protocol::{ShotReport, StepReport, StepState, StoryReport, TaskId};
use reel_story::project::is_sheet_step;
use serde::Serialize;

use super::{outline::count, stale::stages, summary::named};

/// A step that failed, or that is held until the user decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The shot's id, or `the film` for a step that belongs to no shot.
    pub shot: String,
    /// The result's name: `voice`, `picture`, `clip` or `frames`. For a step of the film, it is the step's name.
    pub stage: String,
    /// Whether the step is held. Otherwise it failed.
    pub is_held: bool,
    /// Whether the same request would fail again.
    #[serde(skip)]
    pub is_lasting: bool,
    /// The stable name of the error.
    pub code: Option<String>,
    /// What went wrong.
    pub message: String,
    /// What the user can do next.
    pub hint: Option<String>,
    /// The id of the task that failed or is held.
    pub task: Option<u64>,
}

impl Trouble {
    fn of(shot: &str, stage: &str, step: &StepReport, followers: &[TaskId]) -> Option<Self> {
        let is_held = match step.state {
            StepState::Failed => false,
            StepState::Held => true,
            _ => return None,
        };
        let error = step.error.as_ref();
        let hint = match (is_held, step.task) {
            (true, Some(id)) if !followers.contains(&id) => Some(format!(
                "it may have been paid for: reel release {id} continues it and may pay again, reel cancel {id} cancels it"
            )),
            _ => error.and_then(|error| error.hint.clone()),
        };
        Some(Self {
            shot: shot.to_owned(),
            stage: stage.to_owned(),
            is_held,
            is_lasting: !is_held && error.is_some_and(|error| !error.retryable),
            code: error.map(|error| error.code.clone()),
            message: error.map_or_else(|| "no reason is known".to_owned(), |error| error.message.clone()),
            hint,
            task: step.task.map(|id| id.0),
        })
    }
}

/// Returns a line such as `a3: picture failed: it is moderated`, followed by a line with the hint. Shots with the same trouble share their lines.
pub fn trouble_lines(troubles: &[Trouble]) -> Vec<String> {
    // Messages about a full disk differ only in the file that could not be written.
    let is_full = |trouble: &Trouble| trouble.code.as_deref() == Some("storage_full");
    let alike = |left: &Trouble, right: &Trouble| {
        (&left.stage, left.is_held, &left.hint) == (&right.stage, right.is_held, &right.hint)
            && (left.message == right.message || is_full(left) && is_full(right))
    };
    let mut groups: Vec<(&Trouble, Vec<&str>)> = Vec::new();
    for trouble in troubles {
        match groups.iter_mut().find(|(first, _)| alike(first, trouble)) {
            Some((_, shots)) => shots.push(&trouble.shot),
            None => groups.push((trouble, vec![&trouble.shot])),
        }
    }
    let mut lines = Vec::new();
    for (trouble, shots) in groups {
        let verb = if trouble.is_held { "is held" } else { "failed" };
        lines.push(format!("{}: {} {verb}: {}", named(&shots), trouble.stage, trouble.message));
        lines.extend(trouble.hint.as_ref().map(|hint| format!("  hint: {hint}")));
    }
    lines
}

/// Returns every step that failed or is held, in the film's order. `followers` are tasks that are held only because another task is held. Their
/// errors name that task.
pub fn troubles(report: &StoryReport, followers: &[TaskId]) -> Vec<Trouble> {
    let of_shots = report.shots.iter().flat_map(|shot| {
        stages(shot).filter_map(|(_, word, step)| Trouble::of(&shot.id, word, step, followers))
    });
    let mut found: Vec<Trouble> = of_shots.collect();
    let of_film = report.steps.iter().filter_map(|step| Trouble::of("the film", &step.step, step, followers));
    // The dissolve of a shot that cannot be rendered fails with the same message as the shot.
    let is_new = |trouble: &Trouble| found.iter().all(|known| known.message != trouble.message);
    let of_film: Vec<Trouble> = of_film.filter(is_new).collect();
    found.extend(of_film);
    found
}

/// Describes how many shots are missing, such as `2 of 28 shots are missing`.
pub fn missing_words(troubles: &[Trouble], report: &StoryReport) -> String {
    let is_missing = |shot: &&ShotReport| {
        let parts = [&shot.voice, &shot.picture, &shot.clip];
        troubles.iter().any(|trouble| trouble.shot == shot.id)
            || parts.into_iter().flatten().any(|step| step.state == StepState::Blocked)
    };
    let missing = report.shots.iter().filter(is_missing).count();
    let verb = if missing == 1 { "is" } else { "are" };
    format!("{missing} of {} {verb} missing", count(report.shots.len(), "shot"))
}

/// Describes what waits if all troubles are held, such as `2 pictures wait for your decision about the sheet of giant`. None if something failed, or if
/// nothing else waits for what is held.
pub fn decision_words(troubles: &[Trouble], report: &StoryReport) -> Option<String> {
    let sheet = |trouble: &Trouble| {
        let (_, id) = trouble.stage.split_once('/').filter(|_| is_sheet_step(&trouble.stage))?;
        trouble.is_held.then(|| id.to_owned())
    };
    let sheets: Vec<String> = troubles.iter().map(sheet).collect::<Option<_>>()?;
    let pictures = report.shots.iter().filter_map(|shot| shot.picture.as_ref());
    let waiting = pictures.filter(|step| step.state == StepState::Blocked).count();
    if sheets.is_empty() || waiting == 0 {
        return None;
    }
    let noun = if sheets.len() == 1 { "sheet" } else { "sheets" };
    let verb = if waiting == 1 { "waits" } else { "wait" };
    let ids: Vec<&str> = sheets.iter().map(String::as_str).collect();
    Some(format!(
        "{} {verb} for your decision about the {noun} of {}",
        count(waiting, "picture"),
        named(&ids)
    ))
}

#[cfg(test)]
mod tests {
    use reel_protocol::{JsonText, ShotReport, TaskError};

    use super::*;

    fn step(state: StepState, error: Option<(&str, Option<&str>)>) -> StepReport {
        StepReport {
            cost: None,
            step: "transition/a2".to_owned(),
            state,
            task: Some(TaskId(17)),
            digest: None,
            media_type: None,
            path: None,
            provider: None,
            error: error.map(|(message, hint)| TaskError {
                code: "moderated".to_owned(),
                message: message.to_owned(),
                hint: hint.map(str::to_owned),
                retryable: false,
                provider_status: None,
            }),
        }
    }

    fn shot(id: &str, voice: Option<StepReport>, picture: Option<StepReport>) -> ShotReport {
        ShotReport {
            id: id.to_owned(),
            start_s: 0.0,
            duration_s: 2.0,
            speech_start_s: 0.0,
            speech_s: 0.0,
            voice,
            picture,
            clip: None,
            render: Some(step(StepState::Blocked, None)),
        }
    }

    #[test]
    fn each_shot_is_named_with_what_to_do() {
        let report = StoryReport {
            project: JsonText::empty_object(),
            shots: vec![
                shot("a1", Some(step(StepState::Made, None)), Some(step(StepState::Cached, None))),
                shot(
                    "a2",
                    None,
                    Some(step(StepState::Failed, Some(("it is moderated", Some("change the prompt"))))),
                ),
                shot(
                    "a4",
                    None,
                    Some(step(StepState::Failed, Some(("it is moderated", Some("change the prompt"))))),
                ),
                shot("a3", Some(step(StepState::Held, Some(("the answer was lost", None)))), None),
            ],
            steps: vec![
                step(StepState::Failed, Some(("it is moderated", None))),
                step(StepState::Failed, Some(("ffmpeg died", None))),
            ],
            frames: 0,
            duration_s: 0.0,
            is_estimate: true,
            downgrades: Vec::new(),
            cost: None,
        };
        let found = troubles(&report, &[]);
        assert_eq!(
            trouble_lines(&found),
            [
                "a2, a4: picture failed: it is moderated",
                "  hint: change the prompt",
                "a3: voice is held: the answer was lost",
                "  hint: it may have been paid for: reel release 17 continues it and may pay again, reel cancel 17 cancels it",
                "the film: transition/a2 failed: ffmpeg died",
            ]
        );
        assert_eq!(missing_words(&found, &report), "3 of 4 shots are missing");
    }
}
