//! A story in a directory of its own, and the command that makes it.

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

/// A story of four shots: each sentence is long enough for one of its own.
pub const STORY: &str = "# The Lamp\n\nThe keeper climbed the stairs every evening and lit the lamp. \
    He looked out over the dark water for a long time.\n\n\"Is anybody there?\" he called into the wind that night.\n\n\
    # The Boat\n\nIn the morning a small boat lay on the beach below the tower.\n";

/// The ids of its shots.
pub const SHOTS: [&str; 4] = ["a1", "a2", "a3", "b1"];

/// A story that the command line makes.
#[derive(Debug)]
pub struct Tale {
    /// The world that it is in.
    pub sandbox: Sandbox,
    directory: PathBuf,
    name: String,
}

impl Tale {
    /// The usual story, in a directory whose name needs quotes.
    pub fn new(sandbox: Sandbox) -> Self {
        Self::named(sandbox, "it's 50% a:b", "story.txt", STORY)
    }

    /// A story in a directory and under a name.
    pub fn named(sandbox: Sandbox, directory: &str, name: &str, text: &str) -> Self {
        let directory = sandbox.work().join(directory);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), text).unwrap();
        Self { sandbox, directory, name: name.to_owned() }
    }

    /// A file of the story's directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    /// Its arguments: small and without a style, so that prompts are the shots' own.
    fn arguments<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["make", "--size", "320x180", "--style", ""];
        arguments.extend(flags);
        arguments.extend(["--", &self.name]);
        arguments
    }

    /// Makes it, from its own directory.
    #[track_caller]
    pub fn make(&self, flags: &[&str]) -> Ran {
        let mut command = self.sandbox.reel_command(&self.arguments(flags));
        crate::process::run(command.current_dir(&self.directory))
    }

    /// The same, while something else is done.
    #[track_caller]
    pub fn begin(&self, flags: &[&str]) -> Child {
        let mut command = self.sandbox.reel_command(&self.arguments(flags));
        command.current_dir(&self.directory).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The project file.
    pub fn project(&self) -> PathBuf {
        let stem = Path::new(&self.name).file_stem().unwrap().to_str().unwrap();
        self.path(format!("{stem}.reel.toml"))
    }

    /// Replaces a piece of the project file, as a person would.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.project()).unwrap();
        assert!(text.contains(from), "{from} is not in:\n{text}");
        fs::write(self.project(), text.replacen(from, to, 1)).unwrap();
    }

    /// Adds a field to a shot.
    #[track_caller]
    pub fn set(&self, shot: &str, field: &str) {
        self.edit(&format!("id = \"{shot}\"\nscene"), &format!("id = \"{shot}\"\n{field}\nscene"));
    }
}

/// Links to these programs, which have to be installed, in a directory that is a whole `PATH`.
#[track_caller]
pub fn programs(directory: &Path, names: &[&str]) {
    let path = env::var_os("PATH").unwrap_or_default();
    for name in names {
        let found = env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file());
        symlink(found.unwrap(), directory.join(name)).unwrap();
    }
}

/// A daemon whose provider `studio` makes pictures and speaks.
#[track_caller]
pub fn speaking_studio(provider: &FakeProvider, more: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let models = "models = { image = \"gpt-image-2\", voice = \"tts-1\" }";
    let config = config(&sandbox, provider, &format!("{models}\n{more}"));
    sandbox.configure(&unhurried(&config).replace("model = \"gpt-image-2\"\n", ""));
    sandbox.start();
    sandbox
}
