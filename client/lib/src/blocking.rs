//! The same for programs without tokio: each call blocks its thread until the answer is there.
//!
//! ```no_run
//! use std::fs::File;
//!
//! use reel_client::{ConnectOptions, blocking::Session, protocol::ImageParams};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let session = Session::connect(ConnectOptions::from_env("my-tool")?)?;
//!     let task = session.generate(&ImageParams::new("a lighthouse at dusk"))?;
//!     for (output, name) in task.outputs.iter().zip(["lighthouse.png"]) {
//!         session.fetch(output, File::create(name)?)?;
//!     }
//!     Ok(())
//! }
//! ```

use std::{fs::File, time::Duration};

use reel_protocol::{
    ImageParams, Output, TaskId, TaskSpec, TaskView,
    methods::{SubmitBatchParams, SubmitBatchResult, SubmitResult, TaskWaitResult},
};
use tokio::runtime::{Builder, Runtime};

use crate::{ClientError, ConnectOptions, Repeatable};

/// A connection that outlives the daemon behind it, as [`crate::Session`] is. It panics where a tokio runtime runs already.
#[derive(Debug)]
pub struct Session {
    session: crate::Session,
    runtime: Runtime,
}

impl Session {
    /// Connects for the first time.
    pub fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| ClientError::io("cannot start", source))?;
        let session = runtime.block_on(crate::Session::connect(options))?;
        Ok(Self { session, runtime })
    }

    /// Asks what may be asked again after a lost connection.
    pub fn call<M: Repeatable>(&self, params: &M::Params) -> Result<M::Result, ClientError> {
        self.runtime.block_on(self.session.call::<M>(params))
    }

    /// Has pictures made, and waits however long that takes; see [`crate::Session::generate`].
    pub fn generate(&self, params: &ImageParams) -> Result<TaskView, ClientError> {
        self.runtime.block_on(self.session.generate(params))
    }

    /// Submits one task.
    pub fn submit(&self, spec: &TaskSpec) -> Result<SubmitResult, ClientError> {
        self.runtime.block_on(self.session.submit(spec))
    }

    /// Submits many tasks, all or none.
    pub fn submit_batch(&self, batch: &SubmitBatchParams) -> Result<SubmitBatchResult, ClientError> {
        self.runtime.block_on(self.session.submit_batch(batch))
    }

    /// Waits until all the tasks are over or held, or until the timeout, which is an answer too (`timed_out`).
    pub fn wait(&self, ids: &[TaskId], timeout: Option<Duration>) -> Result<TaskWaitResult, ClientError> {
        self.runtime.block_on(self.session.wait(ids, timeout))
    }

    /// Fills `file`, which is empty, with the output's bytes and gives it back at its begin; their digest is checked.
    pub fn fetch(&self, output: &Output, file: File) -> Result<File, ClientError> {
        self.runtime.block_on(self.session.fetch(output, file))
    }
}
