//! Converts a sound to the format that its file's extension names, with the program `ffmpeg`.

use std::{
    env,
    ffi::OsString,
    io::{self, Read as _},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{naming, unfinished};

/// The extensions of sound files that can be written.
const ENDINGS: [&str; 2] = ["wav", "mp3"];

/// Whether `ffmpeg` is installed.
pub fn has_converter() -> bool {
    let directories = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&directories)
        .any(|directory| directory.join(format!("ffmpeg{}", env::consts::EXE_SUFFIX)).is_file())
}

/// Whether a sound of this media type must be converted for the path, and can be.
pub fn needs_conversion(path: &Path, media_type: &str) -> bool {
    media_type.starts_with("audio/") && !naming::fits(path, media_type) && format_of(path).is_some()
}

/// Converts the sound in `source` and writes it to `target`, in the format that the extension of `named` asks for. Blocks. An error says why not.
pub fn convert(source: &Path, target: &Path, named: &Path) -> Result<(), String> {
    let format = format_of(named).ok_or("its extension names no sound")?;
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(as_file(source)).args(["-f", format]);
    let done = run(command.arg(as_file(target)));
    let (status, words) = done.map_err(|error| format!("ffmpeg does not start: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&words);
    Err(words.lines().last().unwrap_or("ffmpeg failed").trim().to_owned())
}

/// Runs a program to its end, or until the command is interrupted. Returns how it ended and what it wrote to stderr.
fn run(command: &mut Command) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take();
    let child = Arc::new(Mutex::new(child));
    unfinished::add_program(&child);
    let mut words = Vec::new();
    stderr.map_or(Ok(0), |mut stderr| stderr.read_to_end(&mut words))?;
    let status = child.lock().unwrap_or_else(PoisonError::into_inner).wait()?;
    Ok((status, words))
}

fn format_of(path: &Path) -> Option<&'static str> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    ENDINGS.into_iter().find(|known| *known == ending)
}

/// Returns the path as a file name for ffmpeg, which otherwise takes a path with a colon for a protocol.
fn as_file(path: &Path) -> OsString {
    let mut name = OsString::from("file:");
    name.push(path);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sounds_are_converted_and_only_to_other_formats() {
        for (path, media_type, expected) in [
            ("a.mp3", "audio/wav", true),
            ("a.MP3", "audio/mpeg", false),
            ("a.wav", "audio/mpeg", true),
            ("a.ogg", "audio/wav", false),
            ("a.mp3", "video/mp4", false),
        ] {
            assert_eq!(needs_conversion(Path::new(path), media_type), expected, "{path} {media_type}");
        }
    }
}
