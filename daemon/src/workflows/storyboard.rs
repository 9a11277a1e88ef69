//! The workflow of `story.storyboard`: asks a language model step by step, and makes a project of its answers. Pure.

use std::collections::BTreeMap;

use reel_protocol::{
    ChatParams, Cost, ErrorCode, JsonText, StepState, StoryboardChunk, StoryboardParams, StoryboardReport,
    TaskError, TaskSpec,
};
use reel_story::director::{Answer, Message, Next, Request, Storyboard};
use serde_json::json;

use super::{
    run::task_error,
    step::{File, Outcome, Step, StepEnd, StepEnds, Workflow},
};
use crate::service::StoryboardSpec;

/// The largest share of progress before the work is complete. The number of requests is an estimate.
const MOST_PROGRESS: f64 = 0.95;

/// A storyboard that is being made.
#[derive(Debug)]
pub(super) struct StoryboardWork {
    spec: StoryboardSpec,
    /// The number of requests that are expected.
    expected: usize,
}

impl StoryboardWork {
    pub(super) fn new(spec: StoryboardSpec) -> Self {
        let expected = spec.director.expected_requests();
        Self { spec, expected }
    }

    /// Returns a chat with the provider that makes the storyboard, to find out whether one answers.
    pub(super) fn plain_chat(spec: &StoryboardSpec) -> TaskSpec {
        let mut step = Step::new("story".to_owned(), "text.chat", &ChatParams::new("a storyboard"));
        step.spec.provider.clone_from(&spec.params.provider);
        step.spec
    }

    fn next(&self, ends: &StepEnds) -> Next {
        self.spec.director.next(&|name| ends.get(name).map(answer))
    }

    fn step(&self, request: Request) -> Step {
        let Request { name, system, messages, schema, attempt } = request;
        let messages: Vec<_> = messages
            .iter()
            .map(|message| match message {
                Message::User(text) => json!({ "role": "user", "content": text }),
                Message::Assistant(text) => json!({ "role": "assistant", "content": text }),
            })
            .collect();
        let params = ChatParams {
            messages: JsonText::from_value(&messages).ok(),
            system: Some(system),
            schema: schema.and_then(|schema| JsonText::from_value(&schema).ok()),
            sample: attempt,
            ..ChatParams::default()
        };
        let mut step = Step::new(name, "text.chat", &params);
        step.spec.provider.clone_from(&self.spec.params.provider);
        step
    }

    fn report(storyboard: &Storyboard, ends: &StepEnds) -> StoryboardReport {
        let chunks = storyboard.report.chunks.iter().map(|chunk| StoryboardChunk {
            from: chunk.from as u64,
            to: chunk.to as u64,
            requests: chunk.requests as u64,
            is_by_rule: chunk.is_by_rule,
            errors: chunk.errors.clone(),
        });
        StoryboardReport {
            chunks: chunks.collect(),
            cast_errors: storyboard.report.cast_errors.clone(),
            genders: storyboard
                .report
                .genders
                .iter()
                .map(|(id, gender)| (id.clone(), gender.name().to_owned()))
                .collect(),
            provider: most_frequent(ends.values().filter_map(|end| end.provider.as_ref())),
            cost: cost(ends),
        }
    }

    fn files(&self, storyboard: Storyboard, ends: &StepEnds) -> Vec<File> {
        let json = |value: serde_json::Result<Vec<u8>>| File {
            media_type: "application/json",
            extension: "json",
            // The values are the daemon's own, which JSON can represent.
            bytes: value.unwrap_or_default(),
        };
        let report = json(serde_json::to_vec(&Self::report(&storyboard, ends)));
        let Storyboard { mut project, story, .. } = storyboard;
        if let Some(style) = &self.spec.params.style {
            project.video.style.clone_from(style);
        }
        if let Some(language) = &self.spec.params.language {
            project.video.language.clone_from(language);
        }
        let story =
            story.map(|story| File { media_type: "text/plain", extension: "txt", bytes: story.into_bytes() });
        [json(serde_json::to_vec(&project)), report].into_iter().chain(story).collect()
    }
}

/// Returns what the model answered in a step, or why it did not.
fn answer(end: &StepEnd) -> Answer {
    if let Some(output) = &end.output {
        // An answer of more than 64 KiB has no text here. No request asks for that much.
        return Answer::Text(output.text.clone().unwrap_or_default());
    }
    let Some(error) = &end.error else { return Answer::Failed };
    let is = |code: ErrorCode| error.code == code.name();
    if is(ErrorCode::ProviderFailed) && end.state == StepState::Failed {
        // The provider answered, and there is nothing usable in it. The model may answer better with other words.
        Answer::Text(String::new())
    } else if is(ErrorCode::Moderated) {
        Answer::Declined(error.message.clone())
    } else if is(ErrorCode::ProviderRefused) || is(ErrorCode::InvalidParams) {
        Answer::Refused(error.message.clone())
    } else {
        Answer::Failed
    }
}

/// Returns the name that is there most often.
fn most_frequent<'a>(names: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut counts = BTreeMap::<&String, usize>::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone())
}

/// Returns the cost of all steps that were made now, and the known cost of others. None if the cost of one is unknown.
fn cost(ends: &StepEnds) -> Option<Cost> {
    if ends.values().any(|end| end.state == StepState::Made && end.cost.is_none()) {
        return None;
    }
    let costs: Vec<Cost> = ends.values().filter_map(|end| end.cost.clone()).collect();
    Some(Cost {
        // A sum of nothing would be -0.0.
        amount: costs.iter().fold(0.0, |sum, cost| sum + cost.amount),
        currency: "USD".to_owned(),
        is_estimate: costs.iter().any(|cost| cost.is_estimate),
    })
}

impl Workflow for StoryboardWork {
    fn ready(&self, ends: &StepEnds, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        match self.next(ends) {
            Next::Request(request) if !is_known(&request.name) => vec![self.step(*request)],
            _ => Vec::new(),
        }
    }

    fn progress(&self, ends: &StepEnds, _: &dyn Fn(&str) -> bool) -> (f64, String) {
        let expected = self.expected.max(ends.len() + 1);
        let share = (ends.len() as f64 / expected as f64).min(MOST_PROGRESS);
        (share, format!("request {} of about {expected}", ends.len() + 1))
    }

    fn outcome(&self, ends: &StepEnds) -> Outcome {
        let flaw = match self.next(ends) {
            Next::Done(storyboard) => {
                return Outcome { outputs: Vec::new(), files: self.files(*storyboard, ends), flaw: None };
            }
            Next::NoStory(why) => {
                task_error(StoryboardParams::NO_STORY, why, "send another story or theme", false)
            }
            Next::Failed(name) => match ends.get(&name).and_then(|end| end.error.as_ref()) {
                Some(error) => TaskError { message: format!("{name}: {}", error.message), ..error.clone() },
                None => unfinished(&name),
            },
            Next::Request(request) => unfinished(&request.name),
        };
        Outcome { outputs: Vec::new(), files: Vec::new(), flaw: Some(flaw) }
    }
}

fn unfinished(name: &str) -> TaskError {
    task_error(
        ErrorCode::Internal.name(),
        format!("{name} has no answer"),
        "reel daemon logs shows the cause",
        true,
    )
}
