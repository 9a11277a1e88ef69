//! Writes result files: a temporary file in the same directory, synced, then renamed; nothing is replaced unless that was asked for.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use reel_client::Session;
use reel_protocol::Output;
use tempfile::NamedTempFile;

use crate::failure::Failure;

/// Whether a file that stands in the way is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is kept, and the new one fails.
    Keep,
    /// It is replaced.
    Replace,
}

/// Fails where `path` could not be written later, before anything is asked or paid for.
pub fn check_creatable(path: &Path, existing: Existing) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::cannot_create(format!("{} is a directory", path.display())));
    }
    if existing == Existing::Keep && is_taken(path) {
        return Err(Failure::exists(path));
    }
    temporary_beside(path).map(drop)
}

/// Fails where no file can be created in `directory`; the empty path is the current one.
pub fn check_directory(directory: &Path) -> Result<(), Failure> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    tempfile::tempfile_in(directory).map(drop).map_err(|error| {
        let shown = directory.display();
        Failure::cannot_create(format!("cannot write to {shown}: {}", cause_of(&error)))
    })
}

/// Whether something has the name already, be it a link to nowhere.
pub fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Fetches an output into `path`.
pub async fn save(
    session: &Session,
    output: &Output,
    path: &Path,
    existing: Existing,
) -> Result<(), Failure> {
    let temporary = temporary_beside(path)?;
    fetch_into(session, output, &temporary).await?;
    let path = path.to_owned();
    let placed = tokio::task::spawn_blocking(move || place(temporary, &path, existing)).await;
    placed.unwrap_or_else(|_| {
        Err(Failure::new(crate::exit::Exit::Internal, "internal", "the writing thread panicked"))
    })
}

/// Fetches an output into a file without a name, to be read from its begin.
pub async fn fetch_unnamed(session: &Session, output: &Output) -> Result<std::fs::File, Failure> {
    let file = NamedTempFile::new().map_err(|error| Failure::io("cannot create a temporary file", &error))?;
    fetch_into(session, output, &file).await?;
    Ok(file.into_file())
}

async fn fetch_into(session: &Session, output: &Output, file: &NamedTempFile) -> Result<(), Failure> {
    loop {
        let client = session.client();
        let handle = file
            .as_file()
            .try_clone()
            .map_err(|error| Failure::io("cannot open a temporary file again", &error))?;
        match client.fetch(output, handle).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_interruption() => session.reconnect(&client, error).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Replaces `path` by `bytes`, whole or not at all.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut temporary = temporary_beside(path)?;
    temporary.write_all(bytes).map_err(|error| cannot_write(path, &error))?;
    place(temporary, path, Existing::Replace)
}

fn temporary_beside(path: &Path) -> Result<NamedTempFile, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".reel-");
    // As any new file of the user: what the umask leaves.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory_of(path)).map_err(|error| cannot_write(path, &error))
}

fn place(temporary: NamedTempFile, path: &Path, existing: Existing) -> Result<(), Failure> {
    temporary.as_file().sync_all().map_err(|error| cannot_write(path, &error))?;
    let placed = match existing {
        Existing::Keep => temporary.persist_noclobber(path),
        Existing::Replace => temporary.persist(path),
    };
    match placed {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::exists(path)),
        Err(failed) => Err(cannot_write(path, &failed.error)),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::cannot_create(format!("cannot write {}: {}", path.display(), cause_of(error)))
}

/// tempfile's errors go on with the temporary file's path; what stands before it is what a person can act on.
fn cause_of(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path \"").next().unwrap_or_default().to_owned()
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn what_cannot_be_written_later_is_refused_now() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("there.png");
        std::fs::write(&there, "mine").unwrap();
        assert_eq!(check_creatable(&there, Existing::Keep).unwrap_err().error.code, "output_exists");
        check_creatable(&there, Existing::Replace).unwrap();
        check_creatable(&dir.path().join("new.png"), Existing::Keep).unwrap();
        for bad in [dir.path().to_owned(), dir.path().join("no/such/new.png"), there.join("below.png")] {
            assert_eq!(
                check_creatable(&bad, Existing::Replace).unwrap_err().exit,
                Exit::CannotCreate,
                "{bad:?}"
            );
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_came_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let temporary = temporary_beside(&path).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert_eq!(place(temporary, &path, Existing::Keep).unwrap_err().error.code, "output_exists");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
        replace(&path, b"ours").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ours");
    }
}
