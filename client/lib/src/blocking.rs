//! [`Reel`] and [`Session`] for programs without tokio. Each call blocks its thread until the response is here. Calls panic inside a tokio runtime.
//!
//! ```no_run
//! use reel_client::blocking::Reel;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let reel = Reel::connect()?.on_progress(|update| eprintln!("{update}"));
//!     reel.image("a lighthouse at dusk")?.save("lighthouse.png")?;
//!     Ok(())
//! }
//! ```

use std::{fs::File, path::Path, sync::Arc, time::Duration};

use reel_protocol::{
    Digest, ImageParams, Output, TaskId, TaskSpec, TaskView,
    methods::{SubmitBatchParams, SubmitBatchResult, SubmitResult, TaskWaitResult},
};
use tokio::runtime::{Builder, Runtime};

use crate::{ChatRequest, ClientError, ConnectOptions, ImageRequest, Repeatable, SpeechRequest, Update};

/// A connection to the daemon with one call for each thing to make, like [`crate::Reel`]. Clones share the connection, and several threads may use it
/// at once.
#[derive(Debug, Clone)]
pub struct Reel {
    reel: crate::Reel,
    runtime: Arc<Runtime>,
}

/// A result of a task, like [`crate::Artifact`]. The bytes stay in the daemon's store until they are asked for.
#[derive(Debug, Clone)]
pub struct Artifact {
    artifact: crate::Artifact,
    runtime: Arc<Runtime>,
}

impl Reel {
    /// Finds the daemon, or starts it as the command line does; see [`crate::Reel::connect`].
    pub fn connect() -> Result<Self, ClientError> {
        let runtime = runtime()?;
        Ok(Self { reel: runtime.block_on(crate::Reel::connect())?, runtime: Arc::new(runtime) })
    }

    /// Like [`Self::connect`], with options.
    pub fn connect_with(options: ConnectOptions) -> Result<Self, ClientError> {
        let runtime = runtime()?;
        Ok(Self { reel: runtime.block_on(crate::Reel::connect_with(options))?, runtime: Arc::new(runtime) })
    }

    /// Sets the function that is called when a task changes, while a call waits for it.
    #[must_use]
    pub fn on_progress(self, report: impl Fn(&Update) + Send + Sync + 'static) -> Self {
        Self { reel: self.reel.on_progress(report), ..self }
    }

    /// Makes one picture; see [`crate::Reel::image`].
    pub fn image(&self, request: impl Into<ImageRequest>) -> Result<Artifact, ClientError> {
        self.runtime.block_on(self.reel.image(request)).map(|artifact| self.own(artifact))
    }

    /// Makes many pictures at once; see [`crate::Reel::images`].
    pub fn images<R: Into<ImageRequest>>(
        &self,
        requests: impl IntoIterator<Item = R>,
    ) -> Result<Vec<Result<Artifact, ClientError>>, ClientError> {
        let results = self.runtime.block_on(self.reel.images(requests))?;
        Ok(results.into_iter().map(|result| result.map(|artifact| self.own(artifact))).collect())
    }

    /// Makes speech; see [`crate::Reel::speak`].
    pub fn speak(&self, request: impl Into<SpeechRequest>) -> Result<Artifact, ClientError> {
        self.runtime.block_on(self.reel.speak(request)).map(|artifact| self.own(artifact))
    }

    /// Asks a language model; see [`crate::Reel::ask`].
    pub fn ask(&self, request: impl Into<ChatRequest>) -> Result<Artifact, ClientError> {
        self.runtime.block_on(self.reel.ask(request)).map(|artifact| self.own(artifact))
    }

    /// Copies a file into the daemon's store, for a task to start from; see [`crate::Reel::put`].
    pub fn put(&self, path: impl AsRef<Path>) -> Result<Digest, ClientError> {
        self.runtime.block_on(self.reel.put(path))
    }

    /// Sends any other request; see [`crate::Session::call`].
    pub fn call<M: Repeatable>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        self.runtime.block_on(self.reel.session().call::<M>(params))
    }

    fn own(&self, artifact: crate::Artifact) -> Artifact {
        Artifact { artifact, runtime: Arc::clone(&self.runtime) }
    }
}

impl Artifact {
    /// Writes the bytes to the file, which is replaced if it exists; see [`crate::Artifact::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ClientError> {
        self.runtime.block_on(self.artifact.save(path))
    }

    /// Returns the bytes. They are checked against their digest.
    pub fn bytes(&self) -> Result<Vec<u8>, ClientError> {
        self.runtime.block_on(self.artifact.bytes())
    }

    /// Returns the text of an answer.
    pub fn text(&self) -> Result<String, ClientError> {
        self.runtime.block_on(self.artifact.text())
    }

    /// Returns the media type, such as `image/png`.
    pub fn media_type(&self) -> &str {
        self.artifact.media_type()
    }

    /// Returns the digest, by which other requests name this result.
    pub fn digest(&self) -> Digest {
        self.artifact.digest()
    }

    /// Returns the size, the duration and the path in the daemon's store.
    pub fn output(&self) -> &Output {
        self.artifact.output()
    }

    /// Returns the task, which says who made it, what it cost, and what there is to note about it.
    pub fn task(&self) -> &TaskView {
        self.artifact.task()
    }
}

fn runtime() -> Result<Runtime, ClientError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| ClientError::io("cannot start a runtime", source))
}

/// A connection that survives the daemon behind it, like [`crate::Session`].
#[derive(Debug)]
pub struct Session {
    session: crate::Session,
    runtime: Runtime,
}

impl Session {
    /// Connects to the daemon; see [`crate::Session::connect`].
    pub fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let runtime = runtime()?;
        let session = runtime.block_on(crate::Session::connect(options))?;
        Ok(Self { session, runtime })
    }

    /// Sends a request and waits for the response; see [`crate::Session::call`].
    pub fn call<M: Repeatable>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        self.runtime.block_on(self.session.call::<M>(params))
    }

    /// Submits an image task and waits for it without a time limit; see [`crate::Session::generate`].
    pub fn generate(&self, params: &ImageParams) -> Result<TaskView, ClientError> {
        self.runtime.block_on(self.session.generate(params))
    }

    /// Submits one task; see [`crate::Session::submit`].
    pub fn submit(&self, spec: &TaskSpec) -> Result<SubmitResult, ClientError> {
        self.runtime.block_on(self.session.submit(spec))
    }

    /// Submits many tasks, all or none; see [`crate::Session::submit_batch`].
    pub fn submit_batch(&self, batch: &SubmitBatchParams) -> Result<SubmitBatchResult, ClientError> {
        self.runtime.block_on(self.session.submit_batch(batch))
    }

    /// Waits until all tasks are finished or held. A timeout is not an error: the result then has `timed_out` set.
    pub fn wait(&self, ids: &[TaskId], timeout: Option<Duration>) -> Result<TaskWaitResult, ClientError> {
        self.runtime.block_on(self.session.wait(ids, timeout))
    }

    /// Writes the output's bytes into `file`, which must be empty, and checks their digest. Returns the file, positioned at its start.
    pub fn fetch(&self, output: &Output, file: File) -> Result<File, ClientError> {
        self.runtime.block_on(self.session.fetch(output, file))
    }
}
