//! The project of a story: reads the project file or splits the story, applies the options, and writes the project file.

use std::{ops::Range, path::Path};

use reel_protocol::Digest;
use reel_story::{
    SplitScene, SplitShot, SplitStory, StoryError,
    project::{
        Project, ProjectError, ProjectFile, Resplit, Setting, SettingChange, ShotSetting, StoryFile, Video,
        new_file,
    },
    split_bytes,
};

use super::{
    Args,
    read_file::{missing, read_bytes, read_project, read_stdin},
    shot_flags,
    state::{FormerSplit, State},
    story_paths::{StoryPaths, is_stdin},
};
use crate::{
    exit::Exit,
    failure::Failure,
    save::{self, Existing},
    table,
};

/// The project of a story.
#[derive(Debug)]
pub struct Storyboard {
    /// The project, with ids for all shots.
    pub project: Project,
    /// The text that the project file should have.
    text: String,
    /// The text that the project file has; None if it does not exist.
    former: Option<String>,
    /// Number of shots that were given an id.
    pub assigned: usize,
    /// Whether the story has changed since the project was split from it.
    pub is_story_changed: bool,
    /// The changes that the options made to an existing project.
    pub edits: Vec<SettingChange>,
    /// The changes that the options made to single shots, each as a message without the name of the file.
    pub shot_edits: Vec<String>,
    /// The result of `--resplit`, if it was given.
    pub resplit: Option<Resplit>,
    /// The result of the split, if this run split the story.
    pub split: Option<FormerSplit>,
    /// Whether somebody described the pictures of most shots, before this run split the story again.
    pub was_described: bool,
    /// The story as `--resplit` split it.
    anew: Option<SplitStory>,
}

/// A story that was read.
struct Story {
    bytes: Vec<u8>,
    file: StoryFile,
}

impl Storyboard {
    /// Reads the project file. If there is none, uses the project that a model made, or else splits the story. Writes nothing.
    pub fn open(
        args: &Args,
        paths: &StoryPaths,
        state: &State,
        directed: Option<Project>,
    ) -> Result<Self, Failure> {
        let former = read_project(&paths.project)?;
        let Some(former) = former else {
            let story = read_story(args, paths)?
                .ok_or_else(|| missing(&paths.project, &rustix::io::Errno::NOENT.into()))?;
            return Self::of_story(args, paths, &story, directed);
        };
        let shown = table::path(&paths.project);
        let bad = |message: String| Failure::new(Exit::BadData, "bad_data", format!("{shown}: {message}"));
        let mut file = ProjectFile::parse(&former).map_err(|error| bad(error.to_string()))?;
        let assigned = file.assign_ids();
        let story = if args.resplit { Some(story_of(args, paths, &file)?) } else { read_story(args, paths)? };
        let split_from = file.project().story.as_ref().map(|story| story.digest.clone());
        let mut is_story_changed = story
            .as_ref()
            .is_some_and(|story| split_from.as_ref().is_some_and(|digest| *digest != story.file.digest));
        let was_described = is_described(file.project());
        let (mut resplit, mut split, mut split_anew) = (None, None, None);
        if let Some(story) = story.filter(|_| args.resplit) {
            let anew =
                split_bytes(&story.bytes, language(args, &file)).map_err(|error| bad_story(args, &error))?;
            let base = state.split.as_ref().filter(|base| Some(&base.digest) == split_from.as_ref());
            let base = base.map(former_story);
            let anew = file.regrouped(&anew, base.as_ref(), language(args, &file));
            split = Some(FormerSplit::of(&story.file.digest, &anew));
            resplit = Some(file.resplit(&anew, base.as_ref(), story.file));
            split_anew = Some(anew);
            is_story_changed = false;
        }
        let edits = settings(args, paths)?.iter().filter_map(|setting| file.set(setting)).collect();
        let text = file.to_string();
        // The options may contradict other settings of the file.
        let project = ProjectFile::parse(&text).map_err(|error| bad(error.to_string()))?.project().clone();
        Ok(Self {
            project,
            text,
            former: Some(former),
            assigned,
            is_story_changed,
            edits,
            shot_edits: Vec::new(),
            resplit,
            split,
            was_described,
            anew: split_anew,
        })
    }

    fn of_story(
        args: &Args,
        paths: &StoryPaths,
        story: &Story,
        directed: Option<Project>,
    ) -> Result<Self, Failure> {
        let project = if let Some(project) = directed {
            Project { story: Some(story.file.clone()), ..project }
        } else {
            let split = split_bytes(&story.bytes, args.language.as_deref())
                .map_err(|error| bad_story(args, &error))?;
            Project::of_story(&split, story.file.clone(), Video::default())
        };
        let split = FormerSplit::of_project(&story.file.digest, &project);
        let broken = |error| {
            Failure::new(Exit::Internal, "internal", format!("the new project does not hold: {error}"))
        };
        let mut file = ProjectFile::parse(&new_file(&project)).map_err(broken)?;
        for setting in settings(args, paths)? {
            file.set(&setting);
        }
        Ok(Self {
            project: file.project().clone(),
            text: file.to_string(),
            former: None,
            assigned: 0,
            is_story_changed: false,
            edits: Vec::new(),
            shot_edits: Vec::new(),
            resplit: None,
            split: Some(split),
            was_described: false,
            anew: None,
        })
    }

    /// Returns the part of the story that new shots tell, with an empty line between paragraphs. The shots follow each other.
    pub fn story_of(&self, ids: &[String]) -> String {
        let shots: Vec<&SplitShot> = self.anew.iter().flat_map(SplitStory::shots).collect();
        let part = self.places_of(ids).and_then(|range| {
            let shots = shots.get(range)?;
            Some(shots.first()?.range.start..shots.last()?.range.end)
        });
        let text = self.anew.as_ref().map(|story| story.text.as_str()).unwrap_or_default();
        // Each line of a split text is a paragraph.
        part.and_then(|part| text.get(part)).unwrap_or_default().replace('\n', "\n\n")
    }

    /// Returns the places of new shots among the shots of the story. They follow each other.
    fn places_of(&self, ids: &[String]) -> Option<Range<usize>> {
        let places = &self.resplit.as_ref()?.added_at;
        let (first, last) = (*places.get(ids.first()?)?, *places.get(ids.last()?)?);
        (last + 1 == first + ids.len()).then_some(first..last + 1)
    }

    /// Replaces shots that follow each other by those that a model made of their text. Returns the ids that they have now. None if the model's shots have
    /// another text; nothing is then changed. New shots behind these must have been replaced before, because their places change.
    pub fn replace_shots(&mut self, ids: &[String], made: &Project) -> Option<Vec<String>> {
        let mut file = ProjectFile::parse(&self.text).ok()?;
        let now = file.replace_shots(ids, made)?;
        let text = file.to_string();
        let project = ProjectFile::parse(&text).ok()?.project().clone();
        let texts = project.shots.iter().filter(|shot| now.contains(&shot.id)).map(|shot| shot.text.clone());
        if let (Some(places), Some(split)) = (self.places_of(ids), &mut self.split) {
            split.texts.splice(places, texts);
        }
        (self.text, self.project) = (text, project);
        Some(now)
    }

    /// Sets what the options say about single shots.
    pub fn apply_shot_options(&mut self, args: &Args) -> Result<(), Failure> {
        let broken = |error: ProjectError| {
            Failure::new(Exit::Internal, "internal", format!("the new project does not hold: {error}"))
        };
        let mut file = ProjectFile::parse(&self.text).map_err(broken)?;
        self.shot_edits = shot_flags::apply(args, &mut file)?;
        self.text = file.to_string();
        self.project = ProjectFile::parse(&self.text).map_err(broken)?.project().clone();
        Ok(())
    }

    /// Sets the prompts of the pictures of these shots. Returns how many have changed.
    pub fn set_pictures(&mut self, prompts: &[(String, String)]) -> usize {
        let Ok(mut file) = ProjectFile::parse(&self.text) else { return 0 };
        let changed = prompts
            .iter()
            .filter(|(id, prompt)| !prompt.is_empty() && file.set_shot(id, ShotSetting::Picture(prompt)))
            .count();
        self.text = file.to_string();
        self.project = file.project().clone();
        changed
    }

    /// Whether the project file must still be written.
    pub fn is_unwritten(&self) -> bool {
        self.former.as_ref() != Some(&self.text)
    }

    /// Whether the project file does not exist yet.
    pub fn is_new(&self) -> bool {
        self.former.is_none()
    }

    /// Returns the speakers that have a voice in the existing project file.
    pub fn former_speakers(&self) -> Vec<String> {
        let file = self.former.as_ref().and_then(|former| ProjectFile::parse(former).ok());
        file.map(|file| file.project().voices.keys().cloned().collect()).unwrap_or_default()
    }

    /// Writes the project file. Fails if an existing file was changed since it was read.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let Some(former) = &self.former else {
            let mut temporary = save::temporary_beside(path)?;
            let written = std::io::Write::write_all(&mut temporary, self.text.as_bytes());
            written.map_err(|error| save::cannot_write(path, &error))?;
            return match save::place(temporary, path, Existing::Keep) {
                Err(failure) if failure.error.code == "output_exists" => Err(changed_meanwhile(path)),
                placed => placed,
            };
        };
        if read_project(path)?.as_ref() != Some(former) {
            return Err(changed_meanwhile(path));
        }
        // A symbolic link stays a link, because its target is replaced.
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        save::replace(&target, self.text.as_bytes())
    }

    /// Returns the language of the text; None if neither the project nor the options name it.
    pub fn language(&self) -> Option<&str> {
        Some(self.project.video.language.as_str()).filter(|language| !language.is_empty())
    }

    /// Returns the digest of the project file's text.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(*blake3::hash(self.text.as_bytes()).as_bytes())
    }
}

/// The failure if another process has written the project file, such as the same command in another terminal.
fn changed_meanwhile(path: &Path) -> Failure {
    let message = format!("{} was written by somebody else just now", table::path(path));
    Failure::new(Exit::TryLater, "busy", message).hint("run the command again")
}

fn language<'a>(args: &'a Args, file: &'a ProjectFile) -> Option<&'a str> {
    let own = Some(file.project().video.language.as_str()).filter(|language| !language.is_empty());
    args.language.as_deref().or(own)
}

/// Reads the story that was named; None if the project file was named.
fn read_story(args: &Args, paths: &StoryPaths) -> Result<Option<Story>, Failure> {
    let most = reel_story::MAX_BYTES as u64;
    let (bytes, name) = match &paths.story {
        Some(path) => {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            (read_bytes(path, most)?, name.unwrap_or_default())
        }
        None if is_stdin(&args.story) => (read_stdin(most)?, "-".to_owned()),
        None => return Ok(None),
    };
    Ok(Some(story(bytes, name)))
}

/// Reads the story for `--resplit`: the one that was named, or else the one that the project file names.
fn story_of(args: &Args, paths: &StoryPaths, file: &ProjectFile) -> Result<Story, Failure> {
    if let Some(story) = read_story(args, paths)? {
        return Ok(story);
    }
    let named = file.project().story.as_ref().map(|story| story.file.clone());
    let name = named.filter(|name| !name.is_empty() && name != "-").ok_or_else(|| {
        Failure::usage(format!(
            "{} names no story: give the story's file to --resplit",
            table::path(&paths.project)
        ))
    })?;
    Ok(story(read_bytes(&paths.directory().join(&name), reel_story::MAX_BYTES as u64)?, name))
}

fn story(bytes: Vec<u8>, file: String) -> Story {
    let digest = Digest::from_bytes(*blake3::hash(&bytes).as_bytes()).to_string();
    Story { bytes, file: StoryFile { file, digest } }
}

fn bad_story(args: &Args, error: &StoryError) -> Failure {
    let shown = if is_stdin(&args.story) { "standard input".to_owned() } else { table::path(&args.story) };
    Failure::new(Exit::BadData, "bad_data", format!("{shown}: {error}"))
}

/// Returns the settings that the options make. The path of the music is relative to the project file's directory if it is below it.
fn settings(args: &Args, paths: &StoryPaths) -> Result<Vec<Setting>, Failure> {
    let mut settings = args.settings();
    if let Some(music) = &args.music {
        let found = std::fs::canonicalize(music).map_err(|error| missing(music, &error))?;
        let directory = crate::creatable::or_current(paths.directory());
        let directory = std::fs::canonicalize(&directory).unwrap_or(directory);
        let path = found.strip_prefix(&directory).unwrap_or(&found);
        let path = path.to_str().ok_or_else(|| {
            Failure::new(
                Exit::NoInput,
                "no_input",
                format!("the path of {} is not UTF-8", table::path(music)),
            )
            .hint("copy it to a path that is valid UTF-8")
        })?;
        settings.push(Setting::Music(path.to_owned()));
    }
    Ok(settings)
}

/// Whether somebody described the pictures of most shots: their prompts are not just their texts.
fn is_described(project: &Project) -> bool {
    let told = || project.shots.iter().filter(|shot| !shot.text.trim().is_empty());
    let described =
        told().filter(|shot| !shot.picture.is_empty() && shot.picture != shot.text.replace('\n', " "));
    2 * described.count() > told().count()
}

/// Converts a saved split to a story, of which only the texts and the headings are compared.
fn former_story(former: &FormerSplit) -> SplitStory {
    let shots = former.texts.iter().map(|text| SplitShot { range: 0..0, text: text.clone(), seconds: 0.0 });
    let scene = SplitScene { title: None, shots: shots.collect() };
    let titles =
        former.titles.iter().map(|title| SplitScene { title: Some(title.clone()), shots: Vec::new() });
    SplitStory { text: String::new(), scenes: [scene].into_iter().chain(titles).collect() }
}
