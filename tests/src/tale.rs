//! A story in its own directory, and the command `reel make` for it.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use crate::{
    FakeProvider, Ran, Sandbox,
    studio::{config, unhurried},
};

/// A story of four shots. Each sentence is long enough to become a shot of its own.
pub const STORY: &str = "# The Lamp\n\nThe keeper climbed the stairs every evening and lit the lamp. \
    He looked out over the dark water for a long time.\n\n\"Is anybody there?\" he called into the wind that night.\n\n\
    # The Boat\n\nIn the morning a small boat lay on the beach below the tower.\n";

/// The ids of the shots of [`STORY`].
pub const SHOTS: [&str; 4] = ["a1", "a2", "a3", "b1"];

/// A story file that `reel make` can make into a film.
#[derive(Debug)]
pub struct Tale {
    /// The sandbox that contains it.
    pub sandbox: Sandbox,
    directory: PathBuf,
    name: String,
}

impl Tale {
    /// Writes [`STORY`] to a directory whose name needs shell quotes.
    pub fn new(sandbox: Sandbox) -> Self {
        Self::named(sandbox, "it's 50% a:b", "story.txt", STORY)
    }

    /// Writes a story to this directory and file name.
    pub fn named(sandbox: Sandbox, directory: &str, name: &str, text: &str) -> Self {
        let directory = sandbox.work().join(directory);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), text).unwrap();
        Self { sandbox, directory, name: name.to_owned() }
    }

    /// Returns the path of a file in the story's directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the arguments of `reel`. They ask for a small film without a style, so that prompts are only the shots' own texts.
    fn arguments<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["make", "--size", "320x180", "--style", ""];
        arguments.extend(flags);
        arguments.extend(["--", &self.name]);
        arguments
    }

    /// Runs `reel make` in the story's directory to its end.
    #[track_caller]
    pub fn make(&self, flags: &[&str]) -> Ran {
        let mut command = self.sandbox.reel_command(&self.arguments(flags));
        crate::process::run(command.current_dir(&self.directory))
    }

    /// Starts `reel make` in the story's directory and returns its process.
    #[track_caller]
    pub fn begin(&self, flags: &[&str]) -> Child {
        let mut command = self.sandbox.reel_command(&self.arguments(flags));
        command.current_dir(&self.directory).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Returns the path of the project file.
    pub fn project(&self) -> PathBuf {
        let stem = Path::new(&self.name).file_stem().unwrap().to_str().unwrap();
        self.path(format!("{stem}.reel.toml"))
    }

    /// Replaces the first occurrence of `from` in the project file, as a person would edit it.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.project()).unwrap();
        assert!(text.contains(from), "{from} is not in:\n{text}");
        fs::write(self.project(), text.replacen(from, to, 1)).unwrap();
    }

    /// Adds a field to a shot in the project file.
    #[track_caller]
    pub fn set(&self, shot: &str, field: &str) {
        self.edit(&format!("id = \"{shot}\"\nscene"), &format!("id = \"{shot}\"\n{field}\nscene"));
    }
}

/// Fills a directory with links to these programs, so that it can be the whole `PATH`. Each program must be installed.
#[track_caller]
pub fn programs(directory: &Path, names: &[&str]) {
    let path = env::var_os("PATH").unwrap_or_default();
    for name in names {
        let found = env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file());
        symlink(found.unwrap(), directory.join(name)).unwrap();
    }
}

/// Starts a daemon whose provider `studio` makes pictures and speech. No test reaches its response timeouts.
#[track_caller]
pub fn speaking_studio(provider: &FakeProvider, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let models = "models = { image = \"gpt-image-2\", voice = \"tts-1\" }";
    let config = config(&sandbox, provider, &format!("{models}\n{more}"));
    sandbox.configure(&unhurried(&config).replace("model = \"gpt-image-2\"\n", ""));
    sandbox.start();
    sandbox
}
