//! Writes result files: to a temporary file in the same directory, which is synced and renamed. Existing files are replaced only if the user asked
//! for it.

use std::{
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use reel_client::{ClientError, Session};
use reel_protocol::{
    Digest, Output,
    methods::{ArtifactRead, ArtifactReadParams},
};
use tempfile::NamedTempFile;

use crate::{
    convert::{ConvertError, convert},
    creatable,
    exit::Exit,
    failure::Failure,
    naming, output,
    picture_format::PictureFormat,
    sound, table, unfinished,
};

/// Bytes that one request reads over the socket.
const PART_BYTES: u64 = 1024 * 1024;

/// What happens to an existing file at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is kept, and the write fails.
    Keep,
    /// It is replaced.
    Replace,
}

/// A file that was written.
#[derive(Debug)]
pub struct Saved {
    /// The path of the file. It differs from the path that was asked for if the picture could not be converted.
    pub path: PathBuf,
    /// The digest of the file's bytes.
    pub digest: Digest,
    /// A message for the user about the file, if there is one.
    pub note: Option<String>,
}

/// Whether the path exists. A dangling symbolic link counts.
pub fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Fetches an output to `path`, and converts it to the format of the path's extension. A picture that cannot be converted is written next to it, with
/// the extension of its own format and under a free name.
pub async fn save(
    session: &Session,
    output: &Output,
    path: &Path,
    existing: Existing,
) -> Result<Saved, Failure> {
    let temporary = temporary_beside(path)?;
    fetch_into(session, output, &temporary, path).await?;
    let (path, media_type, digest) = (path.to_owned(), output.media_type.clone(), output.digest);
    let finished =
        tokio::task::spawn_blocking(move || finish(temporary, &media_type, digest, path, existing)).await;
    finished.unwrap_or_else(|_| Err(Failure::new(Exit::Internal, "internal", "the writing thread panicked")))
}

/// Writes the bytes of an output to stdout without conversion. It reads the daemon's file directly if possible, otherwise over the socket.
pub async fn to_stdout(session: &Session, output: &Output, stdout: output::Output) -> Result<(), Failure> {
    let (path, digest) = (output.path.clone(), output.digest);
    let stored =
        tokio::task::spawn_blocking(move || open_stored(Path::new(&path), digest).ok().flatten()).await;
    if let Some(mut file) = stored.ok().flatten() {
        return stdout.file(&mut file);
    }
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    loop {
        let params = ArtifactReadParams::new(digest, offset, PART_BYTES);
        let part = session.call::<ArtifactRead>(&params).await?;
        hasher.update(&part.data.0);
        stdout.bytes(&part.data.0)?;
        offset += part.data.0.len() as u64;
        if part.data.0.is_empty() || offset >= part.size_bytes {
            break;
        }
    }
    if hasher.finalize().as_bytes() == digest.as_bytes() {
        Ok(())
    } else {
        Err(ClientError::Damaged { digest }.into())
    }
}

/// Opens the daemon's own file, positioned at its start. None if its bytes do not match the digest.
fn open_stored(path: &Path, digest: Digest) -> io::Result<Option<std::fs::File>> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file)?;
    file.rewind()?;
    Ok((hasher.finalize().as_bytes() == digest.as_bytes()).then_some(file))
}

async fn fetch_into(
    session: &Session,
    output: &Output,
    file: &NamedTempFile,
    path: &Path,
) -> Result<(), Failure> {
    let handle = file.as_file().try_clone().map_err(|error| cannot_write(path, &error))?;
    match session.fetch(output, handle).await {
        Ok(_) => Ok(()),
        Err(ClientError::Io { source, .. }) => {
            Err(Failure::io(&format!("cannot write {}", table::path(path)), &source))
        }
        Err(error) => Err(error.into()),
    }
}

/// Converts the fetched bytes if the path asks for another format, and moves them to the path.
fn finish(
    temporary: NamedTempFile,
    media_type: &str,
    digest: Digest,
    path: PathBuf,
    existing: Existing,
) -> Result<Saved, Failure> {
    if sound::needs_conversion(&path, media_type) {
        return finish_sound(&temporary, path, existing);
    }
    let wanted = PictureFormat::of_path(&path);
    let found = PictureFormat::of_media_type(media_type);
    let (Some(wanted), true) = (wanted, wanted != found) else {
        place(temporary, &path, existing)?;
        return Ok(Saved { path, digest, note: None });
    };
    let Some(found) = found else {
        return place_beside(temporary, media_type, digest, &path, "which cannot be converted");
    };
    let converted = temporary_beside(&path)?;
    let source = temporary.reopen().map_err(|error| cannot_write(&path, &error))?;
    match convert(source, found, converted.as_file(), wanted) {
        Ok(()) => {
            let digest = digest_of(&converted).map_err(|error| cannot_write(&path, &error))?;
            place(converted, &path, existing)?;
            Ok(Saved { path, digest, note: None })
        }
        Err(ConvertError::Picture(reason)) => {
            let why = format!("which could not be converted ({reason})");
            place_beside(temporary, media_type, digest, &path, &why)
        }
        Err(ConvertError::Write(error)) => {
            Err(Failure::io(&format!("cannot write {}", table::path(&path)), &error))
        }
    }
}

/// Converts a fetched sound to the format that the path asks for, and moves it to the path.
fn finish_sound(temporary: &NamedTempFile, path: PathBuf, existing: Existing) -> Result<Saved, Failure> {
    let converted = temporary_beside(&path)?;
    sound::convert(temporary.path(), converted.path(), &path).map_err(|why| {
        Failure::new(Exit::Io, "io", format!("cannot convert the sound to {}: {why}", table::path(&path)))
    })?;
    let digest = digest_of(&converted).map_err(|error| cannot_write(&path, &error))?;
    place(converted, &path, existing)?;
    Ok(Saved { path, digest, note: None })
}

/// Keeps the fetched bytes unconverted, under the first free name with the extension of their own format.
fn place_beside(
    mut temporary: NamedTempFile,
    media_type: &str,
    digest: Digest,
    wanted: &Path,
    why: &str,
) -> Result<Saved, Failure> {
    let plain = wanted.with_extension(naming::extension(media_type));
    sync(&temporary, &plain)?;
    let names = std::iter::once(plain.clone()).chain((2..).map(|number| naming::numbered(&plain, number)));
    for path in names {
        let own = temporary.path().to_owned();
        let placed = unfinished::rename(&own, || temporary.persist_noclobber(&path));
        match placed.map_err(|error| cannot_write(&path, &error))? {
            Ok(_) => {
                let note =
                    format!("the picture is {media_type}, {why}: it is kept as {}", table::path(&path));
                return Ok(Saved { path, digest, note: Some(note) });
            }
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => temporary = failed.file,
            Err(failed) => return Err(cannot_write(&path, &failed.error)),
        }
    }
    Err(Failure::cannot_create(format!("every name like {} is taken", table::path(&plain))))
}

fn digest_of(file: &NamedTempFile) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.reopen()?)?;
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

/// Replaces the content of `path` by `bytes` atomically. This also works after an interruption, because what the command remembers of the files that it
/// wrote must be true.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut temporary = created_beside(path).map_err(|error| cannot_write(path, &error))?;
    temporary.write_all(bytes).map_err(|error| cannot_write(path, &error))?;
    sync(&temporary, path)?;
    temporary.persist(path).map(drop).map_err(|failed| cannot_write(path, &failed.error))
}

fn created_beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".reel-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(creatable::or_current(path.parent().unwrap_or(Path::new(""))))
}

/// Creates a temporary file in the directory of `path`. Its permissions are 0666 minus the umask, like those of any new file. Fails after an interruption.
pub fn temporary_beside(path: &Path) -> Result<NamedTempFile, Failure> {
    let created = created_beside(path);
    let added = created.and_then(|temporary| unfinished::add_file(temporary.path()).map(|()| temporary));
    added.map_err(|error| {
        let directory = creatable::or_current(path.parent().unwrap_or(Path::new("")));
        let failure = cannot_write(path, &error);
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint(format!("mkdir -p {}", table::path(&directory))),
            _ => failure,
        }
    })
}

/// Syncs the temporary file and renames it to `path`.
pub fn place(temporary: NamedTempFile, path: &Path, existing: Existing) -> Result<(), Failure> {
    sync(&temporary, path)?;
    let own = temporary.path().to_owned();
    let placed = unfinished::rename(&own, || match existing {
        Existing::Keep => temporary.persist_noclobber(path),
        Existing::Replace => temporary.persist(path),
    });
    match placed.map_err(|error| cannot_write(path, &error))? {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::exists(path)),
        Err(failed) => Err(cannot_write(path, &failed.error)),
    }
}

fn sync(temporary: &NamedTempFile, path: &Path) -> Result<(), Failure> {
    temporary.as_file().sync_all().map_err(|error| cannot_write(path, &error))
}

/// The failure for a file that the system does not allow to be written.
pub fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::cannot_create(format!("cannot write {}: {}", table::path(path), cause_of(error)))
}

/// Returns the system's reason without the temporary file's path, which the crate `tempfile` appends to it.
fn cause_of(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" at path \"").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_cannot_be_converted_is_kept_beside_under_a_free_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let digest = Digest::from_bytes([0; 32]);
        std::fs::write(dir.path().join("a.jpg"), "mine").unwrap();
        for (media_type, name) in
            [("image/jpeg", "a-2.jpg"), ("image/avif", "a.avif"), ("application/octet-stream", "a.bin")]
        {
            let mut temporary = temporary_beside(&path).unwrap();
            temporary.write_all(b"not what it says").unwrap();
            let saved = finish(temporary, media_type, digest, path.clone(), Existing::Replace).unwrap();
            assert_eq!(saved.path, dir.path().join(name));
            assert!(saved.note.unwrap().contains(name));
            assert_eq!(std::fs::read(saved.path).unwrap(), b"not what it says");
        }
        assert_eq!(std::fs::read(dir.path().join("a.jpg")).unwrap(), b"mine");
        assert!(!path.exists());
    }
}
