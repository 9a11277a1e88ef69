//! The state file `.x.reel-state.json`, which `reel make` saves between runs of a story. If it is lost, the results are found again, but not which
//! files may be replaced.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use reel_protocol::{Digest, TaskId};
use reel_story::{
    SplitStory,
    project::{Project, Shot},
};
use serde::{Deserialize, Serialize};

use super::stale::Inputs;
use crate::{failure::Failure, save, table};

/// The version of the file format.
const VERSION: u32 = 1;

/// The saved state of a story.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The version of the file format, 1.
    pub version: u32,
    /// The task that was submitted last, until its results are written.
    pub running: Option<Running>,
    /// The cost of the storyboard that a model made in the run which makes the film, in US dollars. It counts in the budget of this run, until the
    /// results of `running` are written.
    pub storyboard_usd: f64,
    /// The film that was written last.
    pub film: Option<FilmRecord>,
    /// The records of each shot, by its id.
    pub shots: BTreeMap<String, ShotRecord>,
    /// The digests of the bytes that were written under each name. While a file is being replaced, it has the old or the new bytes, so both digests
    /// are listed.
    pub files: BTreeMap<String, Vec<Digest>>,
    /// The shots of the last split of the story.
    pub split: Option<FormerSplit>,
    /// What `--review` showed last.
    pub reviewed: Option<Reviewed>,
    /// The directory of the story, with all symbolic links resolved.
    #[serde(skip)]
    directory: PathBuf,
}

/// A task whose results are not written yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The request id of the submit. Submitting again with the same id returns the same task.
    pub request_id: String,
    /// The digest of the task's params.
    pub params: Digest,
    /// The task's id; None until the daemon has answered.
    pub task: Option<TaskId>,
}

/// The film that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilmRecord {
    /// The path of the film, for people.
    pub path: String,
    /// The digest of the file as it was written.
    pub digest: Digest,
    /// The length of the film, in seconds.
    pub duration_s: f64,
    /// The task that made it.
    pub task: Option<TaskId>,
}

/// The records of a shot's stages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ShotRecord {
    /// The voice of the shot; None if none was made yet.
    pub voice: Option<StageRecord>,
    /// The picture of the shot; None if none was made yet.
    pub picture: Option<StageRecord>,
    /// The animated clip of the shot; None if none was made yet.
    pub clip: Option<StageRecord>,
    /// Its rendered video.
    pub render: Option<StageRecord>,
    /// The duration of the shot, in seconds.
    pub duration_s: f64,
    /// The length of its voice, in seconds; None if an earlier version wrote the record.
    pub speech_s: Option<f64>,
}

/// The result of a stage of a shot, and its inputs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StageRecord {
    /// The digest of the result; None if the stage failed.
    pub digest: Option<Digest>,
    /// The task that made it.
    pub task: Option<TaskId>,
    /// The provider that made it.
    pub provider: Option<String>,
    /// The digest of each input.
    pub inputs: Inputs,
}

/// The last split of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerSplit {
    /// The digest of the story.
    pub digest: String,
    /// The texts of the shots.
    pub texts: Vec<String>,
    /// The headings of the scenes. An earlier version did not store them.
    #[serde(default)]
    pub titles: Vec<String>,
}

/// What `--review` showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The digest of the project file that was shown.
    pub project: Digest,
    /// Whether the pictures were shown, or only the storyboard.
    pub has_pictures: bool,
}

impl FormerSplit {
    /// Makes the record of a story that was just split.
    pub fn of(digest: &str, split: &SplitStory) -> Self {
        Self {
            digest: digest.to_owned(),
            texts: split.shots().map(|shot| shot.text.clone()).collect(),
            titles: split.scenes.iter().filter_map(|scene| scene.title.clone()).collect(),
        }
    }

    /// Makes the record of a story whose project was just made.
    pub fn of_project(digest: &str, project: &Project) -> Self {
        Self {
            digest: digest.to_owned(),
            texts: project.shots.iter().map(|shot| shot.text.clone()).collect(),
            titles: project.scenes.iter().map(|scene| scene.title.clone()).collect(),
        }
    }
}

impl State {
    /// Reads the state. A file that cannot be parsed counts as missing, and a warning is returned.
    pub fn load(path: &Path) -> Result<(Self, Option<String>), Failure> {
        let directory = real_directory(path);
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self { directory, ..Self::default() }, None));
            }
            Err(error) => return Err(Failure::io(&format!("cannot read {}", table::path(path)), &error)),
        };
        let why = match serde_json::from_slice::<Self>(&bytes) {
            Ok(state) if state.version <= VERSION => return Ok((Self { directory, ..state }, None)),
            Ok(_) => "it is of a newer version of reel".to_owned(),
            Err(error) => error.to_string(),
        };
        let said = format!("{} cannot be read and is written anew: {why}", table::path(path));
        Ok((Self { directory, ..Self::default() }, Some(said)))
    }

    /// Writes the state atomically.
    pub fn save(&mut self, path: &Path) -> Result<(), Failure> {
        self.version = VERSION;
        let json = serde_json::to_vec_pretty(self).map_err(|error| {
            Failure::new(crate::exit::Exit::Internal, "internal", format!("cannot write JSON: {error}"))
        })?;
        save::replace(path, &json)
    }

    /// Whether an earlier run made the pictures of all shots that have no picture or clip of their own.
    pub fn has_all_pictures(&self, project: &Project) -> bool {
        let is_made = |shot: &Shot| {
            let record = self.shots.get(&shot.id).and_then(|record| record.picture.as_ref());
            record.is_some_and(|picture| picture.digest.is_some())
        };
        let mut to_make = project
            .shots
            .iter()
            .filter(|shot| shot.picture_file.is_empty() && shot.clip_file.is_empty())
            .peekable();
        to_make.peek().is_some() && to_make.all(is_made)
    }

    /// Whether `reel make` wrote the file and nobody has changed it since.
    pub fn is_ours(&self, path: &Path) -> bool {
        let Some(digests) = self.files.get(&self.name(path)) else { return false };
        digest_of(path).is_some_and(|digest| digests.contains(&digest))
    }

    /// Records that a file will be written with these bytes. The state must be saved before the file is written.
    pub fn announce(&mut self, path: &Path, digest: Digest) {
        let digests = self.files.entry(self.name(path)).or_default();
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    }

    /// Records that a file has these bytes.
    pub fn wrote(&mut self, path: &Path, digest: Digest) {
        self.files.insert(self.name(path), vec![digest]);
    }

    /// Removes the record of a file that was removed.
    pub fn forget(&mut self, path: &Path) {
        self.files.remove(&self.name(path));
    }

    /// Returns the name of a file in the state: its path relative to the story's directory, which may be moved, or its whole path if it is elsewhere.
    fn name(&self, path: &Path) -> String {
        let directory = real_directory(path);
        let directory = directory.strip_prefix(&self.directory).unwrap_or(&directory);
        table::path(&directory.join(path.file_name().unwrap_or_default()))
    }
}

/// Returns the directory of a file, with symbolic links resolved.
fn real_directory(path: &Path) -> PathBuf {
    let directory = crate::creatable::or_current(path.parent().unwrap_or(Path::new("")));
    fs::canonicalize(&directory).unwrap_or(directory)
}

/// Returns the digest of a file's bytes; None if it cannot be read.
pub fn digest_of(path: &Path) -> Option<Digest> {
    let mut file = fs::File::open(path).ok()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file).ok()?;
    Some(Digest::from_bytes(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_and_left_alone_is_ours() {
        let directory = tempfile::tempdir().unwrap();
        let (path, film) = (directory.path().join(".x.reel-state.json"), directory.path().join("x.mp4"));
        let digest = |bytes: &[u8]| Digest::from_bytes(*blake3::hash(bytes).as_bytes());
        let (mut state, _) = State::load(&path).unwrap();
        fs::write(&film, "theirs").unwrap();
        assert!(!state.is_ours(&film));
        state.announce(&film, digest(b"one"));
        state.save(&path).unwrap();
        assert!(!state.is_ours(&film));
        fs::write(&film, "one").unwrap();
        let (mut state, said) = State::load(&path).unwrap();
        assert_eq!(said, None);
        assert!(state.is_ours(&film));
        assert_eq!(state.files.keys().collect::<Vec<_>>(), ["x.mp4"]);
        // Until the new film is written, the old one is recognised as well.
        state.announce(&film, digest(b"two"));
        assert!(state.is_ours(&film));
        state.wrote(&film, digest(b"two"));
        assert!(!state.is_ours(&film));
    }

    #[test]
    fn a_damaged_or_newer_file_is_said_and_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".x.reel-state.json");
        let empty = || State { directory: real_directory(&path), ..State::default() };
        assert_eq!(State::load(&path).unwrap(), (empty(), None));
        for text in ["", "{", "{\"version\": 99}", "{\"version\": 1, \"shots\": 3}"] {
            fs::write(&path, text).unwrap();
            let (state, said) = State::load(&path).unwrap();
            assert_eq!(state, empty(), "{text}");
            assert!(said.is_some_and(|said| said.contains("written anew")), "{text}");
        }
        fs::write(&path, "{\"version\": 1, \"of tomorrow\": 3}").unwrap();
        assert_eq!(State::load(&path).unwrap().1, None);
    }
}
