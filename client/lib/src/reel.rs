//! The calls that a tool author wants first: a picture, speech, an answer, and many pictures at once.

use std::{collections::HashMap, path::Path, sync::Arc};

use reel_protocol::{
    Digest, Progress, TaskId, TaskSpec, TaskState, TaskView,
    methods::{ArtifactPut, ArtifactPutParams, SubmitBatchParams, TaskGet, TaskIdParams},
};

use crate::{
    Artifact, ChatRequest, ClientError, ConnectOptions, Follow, Followed, ImageRequest, Session,
    SpeechRequest,
};

/// The client name of a program whose own name is unknown.
const UNNAMED: &str = "reel-client";

/// A connection to the daemon with one call for each thing to make. Clones share the connection.
///
/// Each call submits a task, waits for it, and returns what it made. Waiting has no time limit; drop the future to stop waiting. The daemon then
/// still finishes the task, and an equal call later returns its result from the cache.
///
/// ```no_run
/// use reel_client::{ImageRequest, Reel};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let reel = Reel::connect().await?.on_progress(|update| eprintln!("{update}"));
/// let pier = reel.image(ImageRequest::new("a pier").size(1280, 720).style("watercolor")).await?;
/// pier.save("pier.png").await?;
/// for (number, shot) in reel.images(["the pier at dawn", "the pier at night"]).await?.into_iter().enumerate() {
///     shot?.save(format!("shot-{number}.png")).await?;
/// }
/// println!("{}", reel.ask("Why is the sea salt?").await?.text().await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Reel {
    session: Arc<Session>,
    on_progress: Option<Arc<OnProgress>>,
}

type OnProgress = dyn Fn(&Update) + Send + Sync;

/// The progress of one task, as the callback of [`Reel::on_progress`] gets it. As a text it is a line for a person.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Update {
    /// The index of the request in the call of [`Reel::images`]; 0 in other calls.
    pub index: usize,
    /// The number of requests in the call.
    pub total: usize,
    /// The id of the task, which `reel show` takes.
    pub task: TaskId,
    /// The state of the task.
    pub state: TaskState,
    /// How much of it is done, from 0 to 1.
    pub fraction: f64,
    /// What is being done, for a person; empty if nothing is known.
    pub message: String,
}

impl std::fmt::Display for Update {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.total > 1 {
            write!(f, "[{}/{}] ", self.index + 1, self.total)?;
        }
        write!(f, "{} {:.0} %", self.state.name(), self.fraction.clamp(0.0, 1.0) * 100.0)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, " {}", self.message) }
    }
}

impl std::fmt::Debug for Reel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reel").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Reel {
    /// Finds the daemon, or starts it as the command line does. The name of the program is the client name: tasks are listed with it and scheduled
    /// fairly between names. Needs a tokio runtime.
    pub async fn connect() -> Result<Self, ClientError> {
        Self::connect_with(ConnectOptions::from_env(program_name())?).await
    }

    /// Like [`Self::connect`], with options.
    pub async fn connect_with(options: ConnectOptions) -> Result<Self, ClientError> {
        Ok(Self { session: Arc::new(Session::connect(options).await?), on_progress: None })
    }

    /// Sets the function that is called when a task changes. It runs between two reads of the connection, so it should return soon.
    #[must_use]
    pub fn on_progress(mut self, report: impl Fn(&Update) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(report));
        self
    }

    /// Returns the session below, for all other requests.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Makes one picture, from a prompt or from an [`ImageRequest`]. Equal requests are answered from the cache. Without a configured provider it is
    /// a sketch.
    pub async fn image(&self, request: impl Into<ImageRequest>) -> Result<Artifact, ClientError> {
        self.make(request.into().into_spec()?).await
    }

    /// Makes many pictures at once, and returns them in the order of the requests. A picture that cannot be made is an error in its place; the others
    /// are made all the same. The call itself fails, and nothing is made, if one of the requests is invalid.
    pub async fn images<R: Into<ImageRequest>>(
        &self,
        requests: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Result<Artifact, ClientError>>, ClientError> {
        let specs =
            requests.into_iter().map(|request| request.into().into_spec()).collect::<Result<_, _>>()?;
        self.make_all(specs).await
    }

    /// Makes speech, from a text or from a [`SpeechRequest`]. Fails with [`ClientError::NoSpeaker`] if no provider speaks and the request names none.
    pub async fn speak(&self, request: impl Into<SpeechRequest>) -> Result<Artifact, ClientError> {
        let request = request.into();
        if request.names_no_provider() && self.session.has_only_draft("voice").await? {
            return Err(ClientError::NoSpeaker);
        }
        self.make(request.into_spec()?).await
    }

    /// Asks a language model, with a prompt or a [`ChatRequest`]. [`Artifact::text`] returns the answer.
    pub async fn ask(&self, request: impl Into<ChatRequest>) -> Result<Artifact, ClientError> {
        self.make(request.into().into_spec()?).await
    }

    /// Copies a file into the daemon's store, for a task to start from. Returns the digest that a request names it by.
    pub async fn put(&self, path: impl AsRef<Path>) -> Result<Digest, ClientError> {
        let shown = path.as_ref().display().to_string();
        let unreadable = |source| ClientError::io(format!("cannot read {shown}"), source);
        // The daemon follows no symbolic links and has another working directory.
        let file = std::fs::canonicalize(&path).map_err(unreadable)?;
        let file = file.into_os_string().into_string().map_err(|_| {
            unreadable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "its path is not UTF-8"))
        })?;
        let params = ArtifactPutParams { path: Some(file), ..ArtifactPutParams::default() };
        let stored = self.session.call::<ArtifactPut>(&params).await?;
        stored.digest.ok_or_else(|| ClientError::protocol(format!("a part of {shown} only was stored")))
    }

    async fn make(&self, spec: TaskSpec) -> Result<Artifact, ClientError> {
        let submitted = self.session.submit(&spec).await?;
        let id = submitted.id;
        if !submitted.state.is_settled() {
            self.watch(Follow::tasks(&self.session, vec![id]), &HashMap::from([(id, 0)])).await?;
        }
        self.result_of(id).await
    }

    async fn make_all(
        &self,
        tasks: Vec<TaskSpec>,
    ) -> Result<Vec<Result<Artifact, ClientError>>, ClientError> {
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let batch = SubmitBatchParams { tasks, ..SubmitBatchParams::default() };
        let submitted = self.session.submit_batch(&batch).await?;
        let indexes = submitted.ids.iter().enumerate().map(|(index, id)| (*id, index)).collect();
        let follow = Follow::batch(&self.session, submitted.batch, submitted.ids.iter().copied());
        self.watch(follow, &indexes).await?;
        let mut results = Vec::with_capacity(submitted.ids.len());
        for id in submitted.ids {
            match self.result_of(id).await {
                // What concerns the connection and not this task ends the call.
                Err(error) if !matches!(error, ClientError::NotMade(_) | ClientError::Rpc(_)) => {
                    return Err(error);
                }
                result => results.push(result),
            }
        }
        Ok(results)
    }

    /// Reports the progress of the tasks until all of them are settled. `indexes` has the index of each task in the call.
    async fn watch(
        &self,
        mut follow: Follow<'_>,
        indexes: &HashMap<TaskId, usize>,
    ) -> Result<(), ClientError> {
        while !follow.is_settled() {
            let (task, state, progress) = match follow.next().await? {
                Followed::Task(task) => (task.id, task.state, task.progress),
                Followed::Event(event) => match event.task {
                    Some(task) => (task.id, task.state, task.progress),
                    None => continue,
                },
                _ => continue,
            };
            if let (Some(report), Some(index)) = (&self.on_progress, indexes.get(&task)) {
                let Progress { fraction, message } = progress;
                report(&Update { index: *index, total: indexes.len(), task, state, fraction, message });
            }
        }
        Ok(())
    }

    async fn result_of(&self, id: TaskId) -> Result<Artifact, ClientError> {
        let task: TaskView = self.session.call::<TaskGet>(&TaskIdParams { id }).await?;
        if task.state != TaskState::Succeeded {
            return Err(ClientError::NotMade(Box::new(task)));
        }
        Artifact::of_task(Arc::clone(&self.session), task)
    }
}

/// Returns the name of this program's file, within the limit of client names.
fn program_name() -> String {
    let name = std::env::current_exe().ok();
    let name = name.as_deref().and_then(Path::file_stem).and_then(|name| name.to_str());
    let is_allowed = |name: &&str| !name.is_empty() && name.len() <= reel_protocol::limits::NAME_BYTES;
    name.filter(is_allowed).unwrap_or(UNNAMED).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only if the future can be spawned on a runtime with several threads.
    fn can_be_spawned<T: Future + Send>(_: impl FnOnce(Reel) -> T) {}

    #[test]
    fn each_call_can_be_spawned_on_a_runtime_with_several_threads() {
        can_be_spawned(|reel| async move { reel.image("a pier").await?.save("pier.png").await });
        can_be_spawned(|reel| async move { reel.images(["a pier"]).await });
        can_be_spawned(|reel| async move { reel.speak("Hello.").await?.bytes().await });
        can_be_spawned(|reel| async move { reel.ask("Why?").await?.text().await });
        can_be_spawned(|reel| async move { reel.put("pier.png").await });
    }

    #[test]
    fn an_update_is_a_line_for_a_person() {
        let one = Update {
            index: 0,
            total: 1,
            task: TaskId(7),
            state: TaskState::Running,
            fraction: 0.5,
            message: "drawing".to_owned(),
        };
        assert_eq!(one.to_string(), "running 50 % drawing");
        let third = Update { index: 2, total: 12, message: String::new(), ..one };
        assert_eq!(third.to_string(), "[3/12] running 50 %");
        assert!(!program_name().is_empty());
    }
}
