//! What a task made: its bytes, and how to save them.

use std::{io, path::Path, sync::Arc};

use reel_protocol::{Digest, Output, TaskView};
use tempfile::NamedTempFile;

use crate::{ClientError, Session};

/// A result of a task. The bytes stay in the daemon's store until they are asked for.
#[derive(Debug, Clone)]
pub struct Artifact {
    session: Arc<Session>,
    task: Arc<TaskView>,
    output: Output,
}

impl Artifact {
    /// Takes the first output of a task that has succeeded.
    pub(crate) fn of_task(session: Arc<Session>, task: TaskView) -> Result<Self, ClientError> {
        let output = task.outputs.first().cloned();
        let output = output.ok_or_else(|| ClientError::protocol(format!("task {} made nothing", task.id)))?;
        Ok(Self { session, task: Arc::new(task), output })
    }

    /// Writes the bytes to the file, which is replaced if it exists. It has the old content or the new one at any time, also after a crash. The
    /// format is [`Self::media_type`], whatever the path's extension is.
    pub async fn save(&self, path: impl AsRef<Path>) -> Result<(), ClientError> {
        let path = path.as_ref().to_owned();
        let cannot = |source| ClientError::io(format!("cannot write {}", path.display()), source);
        let temporary = temporary_beside(&path).map_err(cannot)?;
        let file = temporary.as_file().try_clone().map_err(cannot)?;
        self.session.fetch(&self.output, file).await?;
        let target = path.clone();
        let placed = tokio::task::spawn_blocking(move || {
            temporary.as_file().sync_all()?;
            temporary.persist(&target).map(drop).map_err(|failed| failed.error)
        });
        placed.await.unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked"))).map_err(cannot)
    }

    /// Returns the bytes. They are checked against their digest.
    pub async fn bytes(&self) -> Result<Vec<u8>, ClientError> {
        self.session.read(&self.output).await
    }

    /// Returns the text of an answer.
    pub async fn text(&self) -> Result<String, ClientError> {
        self.session.read_text(&self.output).await
    }

    /// Returns the media type, such as `image/png`.
    pub fn media_type(&self) -> &str {
        &self.output.media_type
    }

    /// Returns the digest, by which other requests name this result.
    pub fn digest(&self) -> Digest {
        self.output.digest
    }

    /// Returns the size, the duration and the path in the daemon's store.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Returns the task, which says who made it, what it cost, and what there is to note about it.
    pub fn task(&self) -> &TaskView {
        &self.task
    }
}

/// Creates a temporary file in the directory of `path`, with the permissions of any new file.
fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".reel-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    // The error of `tempfile` names the temporary file, which nobody knows.
    builder.tempfile_in(directory.unwrap_or(Path::new("."))).map_err(|error| error.kind().into())
}
