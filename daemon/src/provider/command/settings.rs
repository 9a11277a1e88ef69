//! The keys of a definition file. A provider's section in the configuration may set them too, and every key is optional in both.
//! [`CommandSettings::over`] merges a section into a definition; `CommandDefinition::check` reports what is missing or wrong. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::template::TemplateItem;

/// The settings of one source: a shipped definition, or the section that overrides it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandSettings {
    /// What the program makes, in a sentence for a person.
    pub about: Option<String>,
    /// The page that documents the program's arguments.
    pub source: Option<String>,
    /// The day on which the arguments were compared with that page.
    pub checked_on: Option<String>,
    /// `run` if the definition was run with the real program, or `documented` if it only follows the documentation.
    pub verified: Option<String>,
    /// How the program is installed, in words that follow "to install it:".
    pub install: Option<String>,
    /// The services that the provider serves: `voice`, `image`, `video` or `text`.
    pub services: Option<Vec<String>>,
    /// `paid` if running the program twice may cost money twice, else `free`, which is the default.
    pub billing: Option<String>,
    /// The program: a name that is looked up on the `PATH`, or an absolute path.
    pub program: Option<String>,
    /// The template of the program's arguments. Those of a section replace those of its definition as a whole.
    pub argv: Option<Vec<TemplateItem>>,
    /// The template of what the program reads on its standard input.
    pub stdin: Option<String>,
    /// The extension of the file that the program writes, such as `wav`.
    pub output: Option<String>,
    /// The names of failure classes by exit code, from `1` to `255`.
    pub exit: Option<BTreeMap<String, String>>,
    /// Names of variables of the daemon's environment that the program gets beside those that every program gets.
    pub environment: Option<Vec<String>>,
    /// How long the program may run, in seconds.
    pub timeout_s: Option<u64>,
    /// The memory that the program may hold, in MiB.
    pub memory_mb: Option<u64>,
    /// The largest file that the program may write, in MiB.
    pub output_max_mb: Option<u64>,
    /// The voice of requests that name none. Where the program lists its voices, the language of a request decides first.
    pub voice: Option<String>,
    /// The model of requests that name none.
    pub model: Option<String>,
    /// Preferred voices by language. They take precedence over the program's list of voices, and are used only where it has such a list.
    pub languages: Option<BTreeMap<String, String>>,
    /// The arguments that make the program list its voices.
    pub voice_list: Option<Vec<String>>,
    /// The format of that list: `espeak-ng` or `edge-tts`.
    pub voice_format: Option<String>,
}

impl CommandSettings {
    /// The names of all keys of a definition file.
    pub const KEYS: &[&str] = &[
        "about",
        "source",
        "checked_on",
        "verified",
        "install",
        "services",
        "billing",
        "program",
        "argv",
        "stdin",
        "output",
        "exit",
        "environment",
        "timeout_s",
        "memory_mb",
        "output_max_mb",
        "voice",
        "model",
        "languages",
        "voice_list",
        "voice_format",
    ];

    /// Parses a definition file. The error is the parser's message without the line of the file, which may contain anything.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// Returns these settings, with the values of `base` for absent keys. Tables are merged key by key.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        // The base's standard input and its remarks (`source`, `checked_on`, `verified`) belong to the base's arguments, not to others.
        let has_own_command = self.argv.is_some();
        Self {
            about: self.about.or(base.about),
            source: self.source.or(base.source).filter(|_| !has_own_command),
            checked_on: self.checked_on.or(base.checked_on).filter(|_| !has_own_command),
            verified: self.verified.or(base.verified).filter(|_| !has_own_command),
            install: self.install.or(base.install),
            services: self.services.or(base.services),
            billing: self.billing.or(base.billing),
            program: self.program.or(base.program),
            stdin: if has_own_command { self.stdin } else { self.stdin.or(base.stdin) },
            argv: self.argv.or(base.argv),
            output: self.output.or(base.output),
            exit: merged(self.exit, base.exit),
            environment: self.environment.or(base.environment),
            timeout_s: self.timeout_s.or(base.timeout_s),
            memory_mb: self.memory_mb.or(base.memory_mb),
            output_max_mb: self.output_max_mb.or(base.output_max_mb),
            voice: self.voice.or(base.voice),
            model: self.model.or(base.model),
            languages: merged(self.languages, base.languages),
            voice_list: self.voice_list.or(base.voice_list),
            voice_format: self.voice_format.or(base.voice_format),
        }
    }
}

fn merged(
    over: Option<BTreeMap<String, String>>,
    base: Option<BTreeMap<String, String>>,
) -> Option<BTreeMap<String, String>> {
    match (over, base) {
        (Some(over), Some(mut base)) => {
            base.extend(over);
            Some(base)
        }
        (over, base) => over.or(base),
    }
}
