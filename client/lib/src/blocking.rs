//! A [`Session`] for programs without tokio. Each call blocks its thread until the response arrives.
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

/// A connection that survives the daemon behind it, like [`crate::Session`]. Its methods panic inside a tokio runtime.
#[derive(Debug)]
pub struct Session {
    session: crate::Session,
    runtime: Runtime,
}

impl Session {
    /// Connects to the daemon; see [`crate::Session::connect`].
    pub fn connect(options: ConnectOptions) -> Result<Self, ClientError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| ClientError::io("cannot start", source))?;
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
