//! Reads, checks and edits the configuration file for the client. `reeld --check-config` checks the text, and an edit replaces the whole file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reel_client::daemon_program;
use toml_edit::DocumentMut;

use crate::{exit::Exit, failure::Failure, save, table};

/// The text of a new configuration file. It sets nothing, and explains in comments how to begin.
const TEMPLATE: &str = include_str!("config_file/template.toml");

/// Most symbolic links that are followed one after another. Linux has the same limit.
const LINKS: usize = 40;

/// Returns the file's text; None if the file does not exist.
pub fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(&format!("cannot read {}", table::path(path)), &error)),
    }
}

/// Has `reeld --check-config` check the file, because only `reeld` knows every key. Returns its warnings. A missing file is valid.
pub fn check(path: &Path) -> Result<Vec<String>, Failure> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let program = daemon_program().ok_or_else(|| {
        let message = "the program reeld is neither in the directory of reel nor on PATH";
        Failure::new(Exit::NoDaemon, "no_daemon_program", message).hint("install reeld beside reel")
    })?;
    let checked = Command::new(&program).arg("--check-config").arg(path).stdin(Stdio::null()).output();
    let checked =
        checked.map_err(|error| Failure::io(&format!("cannot run {}", program.display()), &error))?;
    let words = String::from_utf8_lossy(&checked.stderr);
    let words = words.trim();
    let plain = |line: &str| line.strip_prefix("reeld: ").unwrap_or(line).to_owned();
    if checked.status.success() {
        return Ok(words.lines().map(plain).collect());
    }
    let words = if words.is_empty() { format!("reeld ended with {}", checked.status) } else { plain(words) };
    Err(Failure::new(Exit::Config, "config_invalid", words).hint("reel config edit opens the file"))
}

/// Creates the configuration file from the template if it does not exist.
pub fn create_if_absent(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let path = behind_links(path)?;
    create_directory_of(&path)?;
    save::replace(&path, TEMPLATE.as_bytes())
}

/// Edits the file atomically. `reeld` checks the new text before it replaces the old one. Comments, order and permissions stay as they were. Returns
/// the warnings about the new text.
pub fn edit(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), Failure>,
) -> Result<Vec<String>, Failure> {
    let target = behind_links(path)?;
    create_directory_of(&target)?;
    // The lock is held until the end, because two concurrent commands could overwrite each other's change. On a file system without locks this
    // protection is missing.
    let _lock = target.parent().and_then(|directory| {
        let directory = fs::File::open(directory).ok()?;
        directory.lock().ok().map(|()| directory)
    });
    check(&target)?;
    let before = read(&target)?;
    let mut document: DocumentMut = before.as_deref().unwrap_or_default().parse().map_err(|_| {
        Failure::new(Exit::Config, "config_invalid", format!("{} is no TOML", table::path(path)))
            .hint("reel config check says where")
    })?;
    change(&mut document)?;
    let mut temporary = save::temporary_beside(&target)?;
    let cannot_write = |error: &io::Error| save::cannot_write(&target, error);
    io::Write::write_all(&mut temporary, document.to_string().as_bytes())
        .map_err(|error| cannot_write(&error))?;
    if let Ok(metadata) = fs::metadata(&target) {
        fs::set_permissions(temporary.path(), metadata.permissions())
            .map_err(|error| cannot_write(&error))?;
    }
    let warnings = check(temporary.path()).map_err(|failure| without_place(failure, temporary.path()))?;
    if read(&target)? != before {
        let message = format!(
            "{} was changed by another program meanwhile, so reel did not write it",
            table::path(path)
        );
        return Err(Failure::new(Exit::TryLater, "config_changed", message).hint("run the command again"));
    }
    save::place(temporary, &target, save::Existing::Replace)?;
    Ok(warnings)
}

/// Strips the path, line and column from the errors of `reeld`, because the checked text is in a temporary file that the user never sees.
fn without_place(mut failure: Failure, path: &Path) -> Failure {
    if failure.error.code != "config_invalid" {
        return failure;
    }
    let file = format!("{}:", path.display());
    let plain = |line: &str| match line.strip_prefix(&file) {
        Some(rest) => rest.splitn(3, ':').last().unwrap_or(rest).trim().to_owned(),
        None => line.to_owned(),
    };
    let lines: Vec<_> = failure.error.message.lines().map(plain).collect();
    failure.error.message = lines.join("\n");
    failure.error.hint = Some("the file was not changed".to_owned());
    failure
}

fn create_directory_of(path: &Path) -> Result<(), Failure> {
    let Some(directory) = path.parent() else { return Ok(()) };
    fs::create_dir_all(directory)
        .map_err(|error| Failure::cannot_create(format!("cannot create {}: {error}", table::path(directory))))
}

/// Returns the file at the end of a chain of symbolic links. The caller writes to that file, so that the links stay.
fn behind_links(path: &Path) -> Result<PathBuf, Failure> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        // A relative target is relative to the link's directory. An absolute one replaces the whole path.
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    Err(Failure::cannot_create(format!("{} is a link that leads to itself", table::path(&path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_text_in_no_file_has_no_place() {
        let message = "/c/.reel-x:3:1: unknown key a: b\n/c/.reel-x:4:2: more";
        let failure = Failure::new(Exit::Config, "config_invalid", message);
        let said = without_place(failure, Path::new("/c/.reel-x")).error.message;
        assert_eq!(said, "unknown key a: b\nmore");
    }
}
