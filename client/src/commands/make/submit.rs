//! Submits the task that works on a story, or returns to the task that does so already.

use reel_client::{ClientError, Session, new_request_id};
use reel_protocol::{
    Digest, ErrorCode, JsonText, StoryMakeParams, TaskId, TaskSpec, TaskState,
    limits::LINE_BYTES,
    methods::{TaskGet, TaskIdParams},
};

use super::{
    Args,
    args::SubtitleForm,
    state::{Running, State},
    story_paths::StoryPaths,
};
use crate::{exit::Exit, failure::Failure};

/// The task that works on the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The task's id.
    pub id: TaskId,
    /// Whether an earlier run of the same command submitted it.
    pub is_earlier: bool,
    /// An earlier task that still works on a former version of the story.
    pub former: Option<TaskId>,
}

/// Returns the params of `story.make`. `project` must name its media by their digests.
pub fn params(
    args: &Args,
    project: &reel_story::project::Project,
    until: Option<super::args::Stage>,
) -> Result<StoryMakeParams, Failure> {
    let internal = |error: String| Failure::new(Exit::Internal, "internal", error);
    Ok(StoryMakeParams {
        project: JsonText::from_value(project).map_err(|error| internal(error.to_string()))?,
        language: Some(project.video.language.clone()).filter(|language| !language.is_empty()),
        until: until.map(super::args::Stage::on_the_wire),
        only: Some(args.only.clone()).filter(|only| !only.is_empty()),
        redo: args.redo.clone(),
        allow_missing: args.allow_missing,
        budget_usd: args.budget,
        // A user who asked for burnt subtitles explicitly wants no film without them.
        allow_unburnt: args.subtitles != Some(SubtitleForm::Burn),
    })
}

/// Submits the task. The request id is saved to disk before the request is sent. So after a crash, the same command finds the same task.
pub async fn submit(
    session: &Session,
    params: &StoryMakeParams,
    paths: &StoryPaths,
    state: &mut State,
) -> Result<Submitted, Failure> {
    let internal = |error: String| Failure::new(Exit::Internal, "internal", error);
    let json = JsonText::from_value(params).map_err(|error| internal(error.to_string()))?;
    let digest = Digest::from_bytes(*blake3::hash(json.as_str().as_bytes()).as_bytes());
    let name = paths.film.file_name().map(|name| name.to_string_lossy().into_owned());
    let spec = |request_id: &str| TaskSpec {
        kind: "story.make".to_owned(),
        params: json.clone(),
        request_id: Some(request_id.to_owned()),
        name: name.clone(),
        metadata: JsonText::from_value(&paths.named()).ok(),
        ..TaskSpec::default()
    };
    let mut former = None;
    if let Some(running) = state.running.clone() {
        if running.params == digest {
            if let Some(id) = resume_earlier_task(session, &spec(&running.request_id), &running).await? {
                state.running = Some(Running { task: Some(id), ..running.clone() });
                state.save(&paths.state)?;
                return Ok(Submitted { id, is_earlier: running.task.is_some(), former: None });
            }
        } else if let Some(id) = running.task {
            former = is_unfinished(session, id).await?.then_some(id);
        }
    }
    let request_id = new_request_id();
    state.running = Some(Running { request_id: request_id.clone(), params: digest, task: None });
    state.save(&paths.state)?;
    let id = session.submit(&spec(&request_id)).await.map_err(too_long)?.id;
    state.running = Some(Running { request_id, params: digest, task: Some(id) });
    state.save(&paths.state)?;
    Ok(Submitted { id, is_earlier: false, former })
}

/// Fails if the params do not fit into one request, which happens for stories that take hours to tell.
pub fn fits(params: &StoryMakeParams) -> Result<(), Failure> {
    let json = JsonText::from_value(params)
        .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
    if json.as_str().len() <= LINE_BYTES { Ok(()) } else { Err(too_large()) }
}

/// Converts a refusal because of the request's size to the failure for a story with too many shots.
fn too_long(error: ClientError) -> Failure {
    if error.is(ErrorCode::RequestTooLarge) { too_large() } else { error.into() }
}

fn too_large() -> Failure {
    let message = "the story has more shots than one film may have: its project is larger than 1 MiB as JSON";
    Failure::new(Exit::BadData, "request_too_large", message)
        .hint("split the story into several files, such as one for each chapter")
}

/// Returns the task that was submitted before. None if it failed or was cancelled, because a new task may succeed.
async fn resume_earlier_task(
    session: &Session,
    spec: &TaskSpec,
    running: &Running,
) -> Result<Option<TaskId>, Failure> {
    let id = match session.submit(spec).await {
        Ok(submitted) => submitted.id,
        // Another version of the client serialised the same params differently.
        Err(error) if error.is(ErrorCode::RequestIdConflict) => return Ok(None),
        Err(error) => return Err(too_long(error)),
    };
    if running.task != Some(id) {
        return Ok(Some(id));
    }
    let view = session.call::<TaskGet>(&TaskIdParams { id }).await?;
    Ok((!matches!(view.state, TaskState::Failed | TaskState::Cancelled)).then_some(id))
}

async fn is_unfinished(session: &Session, id: TaskId) -> Result<bool, Failure> {
    match session.call::<TaskGet>(&TaskIdParams { id }).await {
        Ok(view) => Ok(!view.state.is_finished()),
        Err(error) if error.is(ErrorCode::TaskNotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
