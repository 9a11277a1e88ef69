//! The keys of a definition file, which a provider's section may set too. Every key is optional in either; [`CommandSettings::over`] puts
//! a section over a definition, and `CommandDefinition::check` says what is missing or wrong. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::template::TemplateItem;

/// One layer of settings: those of a shipped definition, or those of a section that override them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandSettings {
    /// What the program makes, in a sentence for a person.
    pub about: Option<String>,
    /// The page that documents the program's arguments.
    pub source: Option<String>,
    /// The day on which the arguments were compared with that page.
    pub checked_on: Option<String>,
    /// `run` where the definition was run with the real program, else `documented`.
    pub verified: Option<String>,
    /// How the program is installed, in words that follow "install it with".
    pub install: Option<String>,
    /// What can be asked for: `voice`, `image`, `video`.
    pub services: Option<Vec<String>>,
    /// Whether running the program twice may pay twice: `free` or `paid`.
    pub billing: Option<String>,
    /// A name that is looked up on the `PATH`, or an absolute path.
    pub program: Option<String>,
    /// The arguments of the program, in place of those of the definition.
    pub argv: Option<Vec<TemplateItem>>,
    /// What the program reads on its standard input.
    pub stdin: Option<String>,
    /// The extension of the file that the program writes, such as `wav`.
    pub output: Option<String>,
    /// Classes of failures by exit code.
    pub exit: Option<BTreeMap<String, String>>,
    /// Names of variables that the program gets from the daemon's environment beside the usual few.
    pub environment: Option<Vec<String>>,
    /// How long the program may run.
    pub timeout_s: Option<u64>,
    /// The memory that the program may hold, in MiB.
    pub memory_mb: Option<u64>,
    /// The largest file that the program may write, in MiB.
    pub output_max_mb: Option<u64>,
    /// The voice of requests that name neither a voice nor a language.
    pub voice: Option<String>,
    /// The model of requests that name none.
    pub model: Option<String>,
    /// Voices by language, before the program's own list is asked.
    pub languages: Option<BTreeMap<String, String>>,
    /// The arguments that make the program list its voices.
    pub voice_list: Option<Vec<String>>,
    /// How that list reads: `espeak-ng` or `edge-tts`.
    pub voice_format: Option<String>,
}

impl CommandSettings {
    /// The keys of a definition and of a section.
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

    /// Parses a definition file; the error is that of the parser, without the line, which may hold anything.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// These settings, with those of `base` where these say nothing. Tables are merged by their keys.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        // Where a section names a program of its own, or its arguments, the base's remarks about them do not hold.
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
