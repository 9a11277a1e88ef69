//! The private directory of one run: the program's working directory, and beside it the daemon's records of the run.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::identity::GroupIdentity;

/// The file with the program's process group.
const GROUP: &str = "group.json";
/// The file with the bytes of the program's standard input.
const STDIN: &str = "stdin";
/// The file with the reason why the launcher could not execute the program.
const LAUNCH_ERROR: &str = "launch-error";
/// The program's working directory.
const WORK: &str = "work";

/// A directory below `runs/` of the home. Dropping it removes it with its content.
#[derive(Debug)]
pub struct RunDirectory {
    directory: TempDir,
    name: String,
}

impl RunDirectory {
    /// Creates a new directory below `runs` that only this user can read. Blocks.
    pub fn create(runs: &Path) -> io::Result<Self> {
        fs::create_dir_all(runs)?;
        let directory = tempfile::Builder::new().prefix("run-").tempdir_in(runs)?;
        let name = directory.path().file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if runs.to_str().is_none() {
            // The paths below it become arguments of programs.
            return Err(io::Error::other("the path of the home is not UTF-8"));
        }
        fs::create_dir(directory.path().join(WORK))?;
        Ok(Self { directory, name })
    }

    /// Returns the directory's name, which the processes of the run have in their environment.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the directory in which the program runs and writes.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join(WORK)
    }

    /// Records the program's process group. The file is not synced, because it is needed after a death of the daemon but not after a power loss.
    pub(super) fn note_group(&self, group: &GroupIdentity) -> io::Result<()> {
        fs::write(self.directory.path().join(GROUP), serde_json::to_vec(group)?)
    }

    /// Writes the bytes of the program's standard input. Returns the file's path.
    pub(super) fn write_stdin(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.directory.path().join(STDIN);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Returns the path where the launcher writes why it could not execute the program.
    pub(super) fn launch_error_path(&self) -> PathBuf {
        self.directory.path().join(LAUNCH_ERROR)
    }
}

/// Returns the group that is recorded in a directory of a former daemon. `None` if nothing was executed.
pub(super) fn noted_group(directory: &Path) -> Option<GroupIdentity> {
    // An incomplete record means that the launcher never got its plan.
    serde_json::from_slice(&fs::read(directory.join(GROUP)).ok()?).ok()
}
