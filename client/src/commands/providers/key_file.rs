//! The files in which reel itself stores API keys: one for each provider, in the directory `keys` beside the configuration. Files that the user chose are
//! only named, never written or removed.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::section;
use crate::{config_file, exit::Exit, failure::Failure, output::Output, save, table};

/// Largest key that is read from stdin, in bytes.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// Makes the path of a key file absolute, because the daemon has another working directory. A path that starts with `~` is kept.
pub fn absolute(file: &Path) -> Result<String, Failure> {
    if file.starts_with("~") {
        return Ok(file.to_string_lossy().into_owned());
    }
    let path = std::path::absolute(file).map_err(|error| Failure::io("cannot find the key file", &error))?;
    path.into_os_string().into_string().map_err(|_| Failure::usage("the key file's path is not UTF-8"))
}

/// Returns the path of the file that a given key is stored in, in `keys` next to the configuration.
pub fn key_path(config: &Path, name: &str) -> PathBuf {
    let directory = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    directory.with_file_name("keys").join(name)
}

/// Reads a key from stdin.
pub fn read_key() -> Result<String, Failure> {
    let mut key = String::new();
    let read = io::stdin().take(MAX_KEY_BYTES).read_to_string(&mut key);
    read.map_err(|error| Failure::io("cannot read the key from stdin", &error))?;
    let key = key.trim().to_owned();
    if key.is_empty() {
        return Err(Failure::new(Exit::BadData, "bad_data", "stdin holds no key"));
    }
    Ok(key)
}

/// A key in a temporary file that only the user can read, beside the file that it belongs in.
pub struct NewKey<'a> {
    temporary: tempfile::NamedTempFile,
    file: &'a Path,
    /// Whether the file exists and is replaced.
    pub is_replacement: bool,
}

impl<'a> NewKey<'a> {
    /// Writes a key to a temporary file beside `file`. Fails if `file` exists and may not be replaced.
    pub fn write(key: &str, file: &'a Path, may_replace: bool) -> Result<Self, Failure> {
        let is_replacement = save::is_taken(file);
        if is_replacement && !may_replace {
            return Err(Failure::exists(file));
        }
        let directory = file.parent().unwrap_or(Path::new(""));
        let cannot = |error: &io::Error| save::cannot_write(file, error);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(|error| cannot(&error))?;
        // A temporary file is readable only by its user.
        let mut temporary = tempfile::NamedTempFile::new_in(directory).map_err(|error| cannot(&error))?;
        temporary.write_all(format!("{key}\n").as_bytes()).map_err(|error| cannot(&error))?;
        Ok(Self { temporary, file, is_replacement })
    }

    /// Moves the key to its file, and returns the file's path.
    pub fn place(self) -> Result<&'a Path, Failure> {
        let existing = if self.is_replacement { save::Existing::Replace } else { save::Existing::Keep };
        save::place(self.temporary, self.file, existing)?;
        Ok(self.file)
    }
}

/// Returns the key file that reel has written for a provider, if the provider's section names it. None for a file that the user chose.
pub fn named_in(config: &Path, name: &str) -> Result<Option<PathBuf>, Failure> {
    let own = key_path(config, name);
    let text = config_file::read(config)?.unwrap_or_default();
    let Ok(document) = text.parse() else { return Ok(None) };
    Ok(section::key_file(&document, name).filter(|file| Path::new(file) == own).map(PathBuf::from))
}

/// Removes the key file that reel has written for a provider whose section does not name it any more. It is kept if another section names it.
/// Returns whether it is removed.
pub fn remove_if_unused(output: Output, config: &Path, name: &str, file: &Path) -> Result<bool, Failure> {
    let text = config_file::read(config)?.unwrap_or_default();
    let document = text.parse().map_err(|_| {
        Failure::new(Exit::Config, "config_invalid", format!("{} is no TOML", table::path(config)))
    })?;
    let users = section::users_of_key_file(&document, file);
    if let Some(user) = users.iter().find(|user| *user != name) {
        output.note(&format!("kept the key file {}, which [providers.{user}] names", table::path(file)));
        return Ok(false);
    }
    match fs::remove_file(file) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            let what = format!("cannot remove the key file {}", table::path(file));
            return Err(Failure::io(&what, &error).hint("it holds the key: remove it by hand"));
        }
    }
    // The directory is removed with its last file. It fails if there are others.
    let _ = file.parent().map(fs::remove_dir);
    Ok(true)
}
