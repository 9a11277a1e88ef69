//! A checked definition: everything that is needed to run a program for a request. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use super::{
    placeholder::{Placeholder, Values},
    settings::CommandSettings,
    template::{Argument, FillError, Template},
    voices::VoiceFormat,
};
use crate::{domain::Class, nearest::nearest, process::Limits};

/// The default of `timeout_s`: how long a program may run.
const TIMEOUT_S: u64 = 600;
/// Largest `timeout_s` that may be set: a day.
const MOST_TIMEOUT_S: u64 = 86_400;
/// The default of `memory_mb`: the memory that a program may hold, in MiB.
const MEMORY_MB: u64 = 2_048;
/// The default of `output_max_mb`: the largest file that a program may write, in MiB.
const OUTPUT_MAX_MB: u64 = 512;
/// Largest `memory_mb` and `output_max_mb` that may be set: 1 TiB, in MiB.
const MOST_MB: u64 = 1024 * 1024;
/// How long a program has to exit after SIGTERM, before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
/// Longest extension of an output file, in characters.
const MOST_EXTENSION_CHARS: usize = 8;

/// The services that a command can serve, each with the placeholder for the text of its requests.
const SERVICES: &[(&str, Placeholder)] = &[
    ("voice", Placeholder::Text),
    ("image", Placeholder::Prompt),
    ("video", Placeholder::Prompt),
    (TEXT, Placeholder::Prompt),
];

/// The one service where a program may write its result to standard output instead of a file.
const TEXT: &str = "text";

/// The classes that a definition may give to an exit code, by their names in its file.
const CLASSES: &[(&str, Class)] = &[
    ("transient", Class::Transient(None)),
    ("rate_limited", Class::RateLimited(None)),
    ("quota", Class::Quota),
    ("auth", Class::Auth),
    ("invalid", Class::Invalid),
    ("moderated", Class::Moderated),
    ("unknown", Class::Unknown),
];

/// How far a definition was tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// The definition follows the program's documentation, and was not run.
    Documented,
    /// The definition was run with the real program.
    Run,
    /// A person wrote the definition in the configuration.
    Own,
}

/// How a program lists its voices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceList {
    /// The arguments that make the program list its voices.
    pub arguments: Vec<String>,
    /// The format of the list that the program prints.
    pub format: VoiceFormat,
}

/// A provider's settings after [`CommandDefinition::check`] found nothing wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandDefinition {
    /// What the program makes, in a sentence for a person.
    pub about: Option<String>,
    /// The page that documents the program's arguments.
    pub source: Option<String>,
    /// The day on which the arguments were last compared with that page, such as `2026-11-27`.
    pub checked_on: Option<String>,
    /// How far the definition was tested.
    pub verified: Verified,
    /// How the program is installed, in words that follow "to install it:".
    pub install: Option<String>,
    /// The services that the provider serves: `voice`, `image`, `video` or `text`.
    pub services: Vec<String>,
    /// Whether running the program twice may cost money twice.
    pub is_paid: bool,
    /// The program: a name that is looked up on the `PATH`, or an absolute path.
    pub program: String,
    /// The template of the program's arguments.
    pub argv: Template,
    /// The template of the program's standard input; `None` if the program gets no input.
    pub stdin: Option<Argument>,
    /// The extension of the file that the program writes, without a dot.
    pub extension: String,
    /// The class of a failure by exit code. Any other code is [`Class::Unknown`].
    pub exit: BTreeMap<i32, Class>,
    /// Names of variables of the daemon's environment that the program gets beside those that every program gets.
    pub environment: Vec<String>,
    /// The limits of each run.
    pub limits: Limits,
    /// Whether the memory limit was set. The default is lowered where it is more than half of the memory budget.
    pub is_memory_set: bool,
    /// The voice of requests that name none. Where the program lists its voices, the language of a request decides first.
    pub voice: Option<String>,
    /// The model of requests that name none.
    pub model: Option<String>,
    /// Preferred voices by language, with lower-case tags. They are used only where the program lists its voices.
    pub languages: BTreeMap<String, String>,
    /// How the program lists its voices; `None` if it does not.
    pub voice_list: Option<VoiceList>,
    /// Whether the program belongs to the daemon itself, as `ffmpeg` does for films, so that no section of the configuration sets its limits.
    pub is_embedded: bool,
}

/// One setting that is missing or wrong. The key lets the parser of the configuration report the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key of the configuration that is wrong.
    pub key: &'static str,
    /// What is wrong, as the end of a sentence that begins with the key.
    pub message: String,
}

impl CommandDefinition {
    /// Checks settings. The error lists all problems, not only the first one.
    pub fn check(settings: &CommandSettings) -> Result<Self, Vec<SettingProblem>> {
        let mut checks = Checks::default();
        let services = checks.services(settings.services.as_deref());
        let argv = match &settings.argv {
            None => {
                checks.wrong("argv", "must be set: the list of the program's arguments");
                Template::default()
            }
            Some(items) => checks.parsed("argv", Template::parse(items)),
        };
        let stdin = settings.stdin.as_ref().map(|text| checks.parsed("stdin", Argument::parse(text)));
        let is_text = settings.services.as_ref().is_some_and(|names| names.iter().all(|name| name == TEXT));
        let text_extension = is_text.then_some("txt");
        let megabytes = |number: u64| number.saturating_mul(1024 * 1024);
        let definition = Self {
            about: settings.about.clone(),
            source: settings.source.clone(),
            checked_on: settings.checked_on.clone(),
            verified: checks.verified(settings.verified.as_deref()),
            install: settings.install.clone(),
            services,
            is_paid: checks.is_paid(settings.billing.as_deref()),
            program: checks.program(settings.program.as_deref()),
            argv,
            stdin,
            extension: checks.extension(settings.output.as_deref().or(text_extension)),
            exit: checks.exit(settings.exit.as_ref()),
            environment: checks.environment(settings.environment.as_deref()),
            limits: Limits {
                timeout: Duration::from_secs(checks.number(
                    "timeout_s",
                    settings.timeout_s,
                    TIMEOUT_S,
                    MOST_TIMEOUT_S,
                )),
                memory_bytes: megabytes(checks.number("memory_mb", settings.memory_mb, MEMORY_MB, MOST_MB)),
                file_bytes: megabytes(checks.number(
                    "output_max_mb",
                    settings.output_max_mb,
                    OUTPUT_MAX_MB,
                    MOST_MB,
                )),
                grace: GRACE,
            },
            is_memory_set: settings.memory_mb.is_some(),
            voice: checks.word("voice", settings.voice.as_deref()),
            model: checks.word("model", settings.model.as_deref()),
            languages: checks.languages(settings.languages.as_ref()),
            voice_list: checks.voice_list(settings),
            is_embedded: false,
        };
        checks.uses(&definition);
        if checks.problems.is_empty() { Ok(definition) } else { Err(checks.problems) }
    }

    /// Whether the arguments or the standard input contain this placeholder.
    pub fn honours(&self, placeholder: Placeholder) -> bool {
        self.placeholders().contains(&placeholder)
    }

    /// Returns all placeholders of the arguments and the standard input.
    pub fn placeholders(&self) -> BTreeSet<Placeholder> {
        let mut all = self.argv.placeholders();
        all.extend(self.stdin.iter().flat_map(Argument::placeholders));
        all
    }

    /// Returns the arguments and the standard input for a request.
    pub fn fill(&self, values: &Values) -> Result<(Vec<String>, Option<Vec<u8>>), FillError> {
        // This includes a text that goes to a file: programs take a NUL character for the end of the text.
        if let Some(placeholder) = values.with_nul() {
            return Err(FillError::Nul(placeholder));
        }
        let arguments = self.argv.fill(values)?;
        let stdin = self.stdin.as_ref().map(|argument| argument.fill(values)).transpose()?;
        Ok((arguments, stdin.map(String::into_bytes)))
    }
}

/// Collects problems. For a wrong setting each method still returns some value, so that one pass finds all problems.
#[derive(Default)]
struct Checks {
    problems: Vec<SettingProblem>,
}

impl Checks {
    fn wrong(&mut self, key: &'static str, message: impl Into<String>) {
        self.problems.push(SettingProblem { key, message: message.into() });
    }

    fn parsed<T: Default, E: std::fmt::Display>(&mut self, key: &'static str, parsed: Result<T, E>) -> T {
        parsed.unwrap_or_else(|error| {
            self.wrong(key, format!("has {error}"));
            T::default()
        })
    }

    /// Returns all names as they are. An unknown one is a problem, reported with the nearest known name.
    fn services(&mut self, services: Option<&[String]>) -> Vec<String> {
        let services = services.unwrap_or_default();
        if services.is_empty() {
            self.wrong("services", "must name what the program makes: voice, image, video or text");
        }
        for name in services {
            if !SERVICES.iter().any(|(known, _)| known == name) {
                self.wrong("services", unknown("service", name, SERVICES.iter().map(|(name, _)| *name)));
            }
        }
        services.to_vec()
    }

    fn verified(&mut self, verified: Option<&str>) -> Verified {
        match verified {
            None => Verified::Own,
            Some("run") => Verified::Run,
            Some("documented") => Verified::Documented,
            Some(_) => {
                self.wrong("verified", "must be run or documented");
                Verified::Own
            }
        }
    }

    fn is_paid(&mut self, billing: Option<&str>) -> bool {
        if billing.is_some_and(|billing| !matches!(billing, "free" | "paid")) {
            self.wrong("billing", "must be free or paid");
        }
        billing == Some("paid")
    }

    fn program(&mut self, program: Option<&str>) -> String {
        let program = program.unwrap_or_default();
        if program.is_empty() || program.contains('\0') {
            self.wrong("program", "must be set: a name on the PATH, or an absolute path");
        } else if program.contains('/') && !Path::new(program).is_absolute() {
            self.wrong("program", "must be a name on the PATH or an absolute path, not a relative one");
        }
        program.to_owned()
    }

    fn extension(&mut self, extension: Option<&str>) -> String {
        let extension = extension.unwrap_or_default();
        let is_plain = extension.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if extension.is_empty() || extension.len() > MOST_EXTENSION_CHARS || !is_plain {
            self.wrong("output", "must be the extension of the file that the program writes, such as wav");
        }
        extension.to_owned()
    }

    fn exit(&mut self, exit: Option<&BTreeMap<String, String>>) -> BTreeMap<i32, Class> {
        let mut classes = BTreeMap::new();
        for (code, name) in exit.into_iter().flatten() {
            let class = CLASSES.iter().find(|(known, _)| known == name).map(|(_, class)| *class);
            match (code.parse(), class) {
                (Ok(code @ 1..=255), Some(class)) => {
                    classes.insert(code, class);
                }
                (Ok(1..=255), None) => {
                    self.wrong("exit", unknown("class", name, CLASSES.iter().map(|(name, _)| *name)));
                }
                _ => self.wrong("exit", "must have exit codes from 1 to 255 as its keys"),
            }
        }
        classes
    }

    fn environment(&mut self, names: Option<&[String]>) -> Vec<String> {
        let names = names.unwrap_or_default();
        let is_name =
            |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !names.iter().all(is_name) {
            self.wrong(
                "environment",
                "must be a list of names of variables; their values are the daemon's own",
            );
        }
        names.to_vec()
    }

    fn number(&mut self, key: &'static str, number: Option<u64>, default: u64, most: u64) -> u64 {
        let number = number.unwrap_or(default);
        if !(1..=most).contains(&number) {
            self.wrong(key, format!("must be a whole number from 1 to {most}"));
        }
        number
    }

    /// Checks a name that becomes an argument: the program must not take it for an option.
    fn word(&mut self, key: &'static str, word: Option<&str>) -> Option<String> {
        if word.is_some_and(|word| word.is_empty() || word.starts_with('-') || word.contains('\0')) {
            self.wrong(key, "must be a name that does not begin with a minus sign");
        }
        word.map(str::to_owned)
    }

    fn languages(&mut self, languages: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
        let mut voices = BTreeMap::new();
        for (language, voice) in languages.into_iter().flatten() {
            let voice = self.word("languages", Some(voice)).unwrap_or_default();
            voices.insert(language.to_lowercase(), voice);
        }
        voices
    }

    fn voice_list(&mut self, settings: &CommandSettings) -> Option<VoiceList> {
        let arguments = settings.voice_list.clone()?;
        if arguments.iter().any(|argument| argument.contains('\0')) {
            self.wrong("voice_list", "has a NUL character");
        }
        let format = settings.voice_format.as_deref().and_then(VoiceFormat::named);
        if format.is_none() {
            self.wrong("voice_format", "must say how the list of voices reads: espeak-ng or edge-tts");
        }
        Some(VoiceList { arguments, format: format? })
    }

    /// Checks that the program gets the text of each request, and the path of the file that it must write.
    fn uses(&mut self, definition: &CommandDefinition) {
        let lists_voices = definition.voice_list.is_some()
            || self.problems.iter().any(|problem| problem.key.starts_with("voice_list"));
        if !definition.languages.is_empty() && !lists_voices {
            self.wrong(
                "languages",
                "needs voice_list: a language is only looked up where the program lists its voices",
            );
        }
        if self.problems.iter().any(|problem| matches!(problem.key, "argv" | "stdin" | "services")) {
            return;
        }
        let used = definition.placeholders();
        let is_text = definition.services.iter().all(|service| service == TEXT);
        if !used.contains(&Placeholder::Output) && !is_text {
            self.wrong("argv", "must have {output}, the path of the file that the program writes");
        }
        for (service, asked) in
            SERVICES.iter().filter(|(name, _)| definition.services.iter().any(|s| s == name))
        {
            if !used.contains(asked) && !used.contains(&Placeholder::TextFile) {
                let name = asked.name();
                let message = format!(
                    "or stdin must have {{{name}}} or {{text_file}}: what a request to the service {service} asks for"
                );
                self.wrong("argv", message);
            }
        }
    }
}

fn unknown(what: &str, name: &str, names: impl Iterator<Item = &'static str> + Clone) -> String {
    let all: Vec<_> = names.clone().collect();
    let near = nearest(name, names).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("has an unknown {what}{near} (it must be one of {})", all.join(", "))
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
