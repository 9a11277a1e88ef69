//! The private directory of one run: the program's working directory, and what the daemon notes about the run beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::identity::GroupIdentity;

/// The program's process group.
const GROUP: &str = "group.json";
/// The bytes of the program's standard input.
const STDIN: &str = "stdin";
/// Why the launcher could not execute the program.
const LAUNCH_ERROR: &str = "launch-error";
/// The program's working directory.
const WORK: &str = "work";

/// A directory below `runs/` of the home; dropping it removes it with all that is in it.
#[derive(Debug)]
pub struct RunDirectory {
    directory: TempDir,
    name: String,
}

impl RunDirectory {
    /// Makes a new directory, which only this user can read, below `runs`. Blocks.
    pub fn create(runs: &Path) -> io::Result<Self> {
        fs::create_dir_all(runs)?;
        let directory = tempfile::Builder::new().prefix("run-").tempdir_in(runs)?;
        let name = directory.path().file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if runs.to_str().is_none() {
            // The paths below it are arguments of programs.
            return Err(io::Error::other("the path of the home is not UTF-8"));
        }
        fs::create_dir(directory.path().join(WORK))?;
        Ok(Self { directory, name })
    }

    /// Its name, which the processes of the run have in their environment.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The directory in which the program runs and writes.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join(WORK)
    }

    /// Notes the program's process group. It is not synced: only a daemon that died needs it, not a system that lost its power.
    pub(super) fn note_group(&self, group: &GroupIdentity) -> io::Result<()> {
        fs::write(self.directory.path().join(GROUP), serde_json::to_vec(group)?)
    }

    /// Writes the bytes of the program's standard input, and returns the file's path.
    pub(super) fn write_stdin(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.directory.path().join(STDIN);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Where the launcher says why it could not execute the program.
    pub(super) fn launch_error_path(&self) -> PathBuf {
        self.directory.path().join(LAUNCH_ERROR)
    }
}

/// The group that was noted in a directory that a former daemon left; `None` where nothing was executed.
pub(super) fn noted_group(directory: &Path) -> Option<GroupIdentity> {
    // A note that was cut short belongs to a launcher that was never told to go on.
    serde_json::from_slice(&fs::read(directory.join(GROUP)).ok()?).ok()
}
