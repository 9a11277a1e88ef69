//! Derives the paths of a story's files.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{failure::Failure, table};

/// The extension of project files.
const PROJECT: &str = ".reel.toml";

/// The paths of a story's files: those that the user edits, and those that are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryPaths {
    /// The story; None if it comes from stdin, or if the project file was named.
    pub story: Option<PathBuf>,
    /// The project file.
    pub project: PathBuf,
    /// The state that `reel make` saves between runs.
    pub state: PathBuf,
    /// The directory of the copies of pictures, voices and clips.
    pub copies: PathBuf,
    /// The film (`-o`).
    pub film: PathBuf,
    /// The subtitles next to the film.
    pub subtitles: PathBuf,
}

/// The paths that are stored with the task of a film, so that `reel show` can name them.
#[derive(Debug, Serialize)]
pub struct NamedPaths {
    story: String,
    film: String,
    command: String,
}

/// Whether the story is read from stdin.
pub fn is_stdin(story: &Path) -> bool {
    story == Path::new("-")
}

impl StoryPaths {
    /// Derives the paths. `DIR/x.txt` has its project in `DIR/x.reel.toml` and its film in `DIR/x.mp4`. For a story from stdin, all files are next to
    /// the film.
    pub fn of(story: &Path, output: Option<&Path>) -> Result<Self, Failure> {
        let output = output.map(|output| checked_output(story, output)).transpose()?;
        let named = match (&output, is_stdin(story)) {
            (Some(output), true) => output.as_path(),
            (None, true) => {
                return Err(Failure::usage(
                    "a story from standard input needs -o FILM.mp4, which names its files",
                ));
            }
            (_, false) => story,
        };
        let is_project = is_project(story);
        let stem = stem(named);
        if stem.is_empty() {
            return Err(Failure::usage(format!(
                "{} has no name for the files beside it",
                table::path(story)
            )));
        }
        let beside = |before: &str, after: &str| {
            let mut name = OsString::from(before);
            name.push(&stem);
            name.push(after);
            named.with_file_name(name)
        };
        let film = output.clone().unwrap_or_else(|| beside("", ".mp4"));
        if !is_stdin(story) && [&film, &film.with_extension("srt")].contains(&&story.to_path_buf()) {
            return Err(Failure::usage(format!(
                "the film and its subtitles would be written over {}: name the film with -o FILM.mp4",
                table::path(story)
            )));
        }
        Ok(Self {
            story: (!is_project && !is_stdin(story)).then(|| story.to_owned()),
            project: if is_project { story.to_owned() } else { beside("", PROJECT) },
            state: beside(".", ".reel-state.json"),
            copies: beside("", ".reel"),
            subtitles: film.with_extension("srt"),
            film,
        })
    }

    /// Returns the absolute paths of the story and the film, and the command that continues the film from any directory.
    pub fn named(&self) -> NamedPaths {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let whole = Self {
            story: self.story.as_deref().map(absolute),
            project: absolute(&self.project),
            film: absolute(&self.film),
            ..self.clone()
        };
        let story = whole.story.as_ref().unwrap_or(&whole.project);
        NamedPaths { story: table::path(story), film: table::path(&whole.film), command: whole.command() }
    }

    /// Returns the command that continues the film. It can be pasted into a shell.
    pub fn command(&self) -> String {
        let story = self.story.as_ref().unwrap_or(&self.project);
        let is_beside = self.film == self.project.with_file_name(film_beside(&self.project));
        let output = if is_beside { String::new() } else { format!(" -o {}", table::word(&self.film)) };
        format!("reel make {}{output}", table::word(story))
    }

    /// Returns the directory of the project file. Paths in that file are relative to it.
    pub fn directory(&self) -> &Path {
        self.project.parent().unwrap_or(Path::new(""))
    }
}

/// Returns the name of the film that a story has without `-o`.
fn film_beside(project: &Path) -> OsString {
    let mut name = stem(project);
    name.push(".mp4");
    name
}

fn is_project(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(PROJECT.as_bytes()))
}

/// Returns the name without its extension: `x` for `x.txt` and for `x.reel.toml`.
fn stem(path: &Path) -> OsString {
    let stem = path.file_stem().unwrap_or_default();
    if is_project(path) {
        Path::new(stem).file_stem().unwrap_or_default().to_owned()
    } else {
        stem.to_owned()
    }
}

/// Checks `-o`, which names a file ending in `.mp4`, or a directory in which the film gets the story's name.
fn checked_output(story: &Path, output: &Path) -> Result<PathBuf, Failure> {
    if is_stdin(output) {
        return Err(Failure::usage("a film is written to a file: -o FILM.mp4"));
    }
    if output.is_dir() && !is_stdin(story) {
        let mut name = stem(story);
        name.push(".mp4");
        return Ok(output.join(name));
    }
    if output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mp4")) {
        return Ok(output.to_owned());
    }
    Err(Failure::usage(format!("{} does not end in .mp4, the form of the film", table::path(output))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_beside_the_story_or_where_it_was_asked_for() {
        for (story, output, expected) in [
            ("a/x.txt", None, ["a/x.reel.toml", "a/.x.reel-state.json", "a/x.reel", "a/x.mp4", "a/x.srt"]),
            ("x", None, ["x.reel.toml", ".x.reel-state.json", "x.reel", "x.mp4", "x.srt"]),
            (
                "a/x.reel.toml",
                None,
                ["a/x.reel.toml", "a/.x.reel-state.json", "a/x.reel", "a/x.mp4", "a/x.srt"],
            ),
            (
                "it's 50%.v2.md",
                Some("out/f.MP4"),
                [
                    "it's 50%.v2.reel.toml",
                    ".it's 50%.v2.reel-state.json",
                    "it's 50%.v2.reel",
                    "out/f.MP4",
                    "out/f.srt",
                ],
            ),
            (
                "-",
                Some("f/g.mp4"),
                ["f/g.reel.toml", "f/.g.reel-state.json", "f/g.reel", "f/g.mp4", "f/g.srt"],
            ),
        ] {
            let paths = StoryPaths::of(Path::new(story), output.map(Path::new)).unwrap();
            let found = [paths.project, paths.state, paths.copies, paths.film, paths.subtitles];
            assert_eq!(found, expected.map(PathBuf::from), "{story}");
        }
    }

    #[test]
    fn what_names_no_film_is_refused() {
        for (story, output) in [("-", None), ("x.txt", Some("x.avi")), ("x.txt", Some("-")), ("..", None)] {
            let failure = StoryPaths::of(Path::new(story), output.map(Path::new)).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage, "{story} {output:?}");
        }
    }
}
