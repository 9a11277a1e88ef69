//! Hands the work on a story in, or comes back to the task that is at work on it already.

use reel_client::{ClientError, Session, new_request_id};
use reel_protocol::{
    Digest, ErrorCode, JsonText, StoryMakeParams, TaskId, TaskSpec, TaskState,
    limits::LINE_BYTES,
    methods::{TaskGet, TaskIdParams},
};

use super::{
    Args,
    args::SubtitleForm,
    places::Places,
    state::{Running, State},
};
use crate::{exit::Exit, failure::Failure};

/// A task that works on the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// Its number.
    pub id: TaskId,
    /// Whether an earlier run of the same command had handed it in.
    pub is_earlier: bool,
    /// A task of an earlier run that still works on the story as it was.
    pub former: Option<TaskId>,
}

/// The params of `story.make`. `project` names its media by their digests.
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
        // Whoever asked for burnt subtitles by name wants no film without them.
        allow_unburnt: args.subtitles != Some(SubtitleForm::Burn),
    })
}

/// Submits the work. The request's id is on disk before the request leaves, so that whatever happens to this process, the same command run again
/// finds the same task.
pub async fn submit(
    session: &Session,
    params: &StoryMakeParams,
    places: &Places,
    state: &mut State,
) -> Result<Submitted, Failure> {
    let internal = |error: String| Failure::new(Exit::Internal, "internal", error);
    let json = JsonText::from_value(params).map_err(|error| internal(error.to_string()))?;
    let digest = Digest::from_bytes(*blake3::hash(json.as_str().as_bytes()).as_bytes());
    let name = places.film.file_name().map(|name| name.to_string_lossy().into_owned());
    let spec = |request_id: &str| TaskSpec {
        kind: "story.make".to_owned(),
        params: json.clone(),
        request_id: Some(request_id.to_owned()),
        name: name.clone(),
        ..TaskSpec::default()
    };
    let mut former = None;
    if let Some(running) = state.running.clone() {
        if running.params == digest {
            if let Some(id) = come_back(session, &spec(&running.request_id), &running).await? {
                state.running = Some(Running { task: Some(id), ..running.clone() });
                state.save(&places.state)?;
                return Ok(Submitted { id, is_earlier: running.task.is_some(), former: None });
            }
        } else if let Some(id) = running.task {
            former = is_unfinished(session, id).await?.then_some(id);
        }
    }
    let request_id = new_request_id();
    state.running = Some(Running { request_id: request_id.clone(), params: digest, task: None });
    state.save(&places.state)?;
    let id = session.submit(&spec(&request_id)).await.map_err(too_long)?.id;
    state.running = Some(Running { request_id, params: digest, task: Some(id) });
    state.save(&places.state)?;
    Ok(Submitted { id, is_earlier: false, former })
}

/// Fails where the params do not fit into one request, as those of a story do not that takes hours to be told.
pub fn fits(params: &StoryMakeParams) -> Result<(), Failure> {
    let json = JsonText::from_value(params)
        .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
    if json.as_str().len() <= LINE_BYTES { Ok(()) } else { Err(too_large()) }
}

/// A request that the daemon finds too large is a story with too many shots.
fn too_long(error: ClientError) -> Failure {
    match &error {
        ClientError::Rpc(rpc) if rpc.known() == Some(ErrorCode::RequestTooLarge) => too_large(),
        _ => error.into(),
    }
}

fn too_large() -> Failure {
    let message = "the story has more shots than one film may have: its project is larger than 1 MiB as JSON";
    Failure::new(Exit::BadData, "request_too_large", message)
        .hint("split the story into several files, such as one for each chapter")
}

/// The task that was submitted before, unless it is over without its results, when another one may do better.
async fn come_back(session: &Session, spec: &TaskSpec, running: &Running) -> Result<Option<TaskId>, Failure> {
    let id = match session.submit(spec).await {
        Ok(submitted) => submitted.id,
        // A client of another version wrote the same params in another way.
        Err(ClientError::Rpc(error)) if error.known() == Some(ErrorCode::RequestIdConflict) => {
            return Ok(None);
        }
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
        Err(ClientError::Rpc(error)) if error.known() == Some(ErrorCode::TaskNotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
