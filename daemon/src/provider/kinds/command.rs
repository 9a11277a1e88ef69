//! The kind `command`: a program on this machine makes the result. A shipped definition, the provider's section, or both together describe the
//! program.

mod media;
mod picture;
mod speech;
mod text;
mod video;

use std::{
    fs, io,
    path::Path,
    sync::{Arc, LazyLock},
};

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::{ErrorCode, SpeechFormat, methods::ProviderCheckResult};
use tokio::sync::{OnceCell, watch};

use crate::{
    cache::{Body, NewArtifact, Spooled, Spools},
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{
        CancelSignal, ChatCapabilities, Class, Facts, Failure, ImageCapabilities, ImageRequest,
        ServiceRequest, SpeechCapabilities, VideoCapabilities,
    },
    memory::Holder,
    provider::{
        Equipment, Generate, GenerateError, Generated, Kind, Provider, VoiceList,
        command::{
            CommandDefinition, CommandError, CommandSettings, Made, Placeholder, Values, Voice, find_program,
            shipped,
        },
        gate::Verdict,
        inspect::{InspectError, Inspected},
        notes::{Beside, notes},
    },
};

/// The services that a program can serve.
const SERVICES: &[&str] = &["image", "voice", "video", "text"];

/// Keys of a definition that are not keys of this kind: remarks about the definition, and keys that the sections of all providers have.
const OTHER_KEYS: [&str; 7] = ["about", "source", "checked_on", "verified", "services", "billing", "model"];

/// The keys of a section beside those that every provider has.
static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let own = CommandSettings::KEYS.iter().copied().filter(|key| !OTHER_KEYS.contains(key));
    std::iter::once("definition").chain(own).collect()
});

/// Params of a picture, each with the placeholder that passes it to the program. A definition without the placeholder does not support the param.
const IMAGE_PARAMS: &[(&str, Placeholder)] = &[
    ("negative_prompt", Placeholder::NegativePrompt),
    ("seed", Placeholder::Seed),
    ("steps", Placeholder::Steps),
    ("guidance", Placeholder::Guidance),
    ("strength", Placeholder::Strength),
    ("input_images", Placeholder::InputImage),
    ("mask", Placeholder::Mask),
];

/// Params of speech, each with the placeholder that passes it to the program.
const SPEECH_PARAMS: &[(&str, Placeholder)] = &[("voice", Placeholder::Voice), ("model", Placeholder::Model)];

/// The kind `command`, whose instances run a program on this machine.
#[derive(Debug)]
pub struct Command;

impl KindSection for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn keys(&self) -> &'static [&'static str] {
        &KEYS
    }

    fn services(&self) -> &'static [&'static str] {
        SERVICES
    }

    fn is_paid(&self) -> bool {
        false
    }

    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
        if section.has("models") {
            section.complain("models", "does not hold for a program, which has one model; set model");
            return None;
        }
        let base = match section.text("definition") {
            Some(name) => match shipped(&name) {
                Ok(settings) => settings,
                Err(error) => {
                    section.complain("definition", &format!("has {error}"));
                    return None;
                }
            },
            None => CommandSettings::default(),
        };
        let definition = match CommandDefinition::check(&settings(section).over(base)) {
            Ok(definition) => definition,
            Err(problems) => {
                for problem in problems {
                    section.complain(problem.key, &problem.message);
                }
                return None;
            }
        };
        Some(KindConfig {
            services: Some(definition.services.clone()),
            warnings: warnings(&definition),
            settings: Settings::new(definition),
            ..KindConfig::default()
        })
    }
}

impl Kind for Command {
    fn adapter_version(&self) -> &'static str {
        "1"
    }

    fn image(&self, config: &ProviderConfig) -> ImageCapabilities {
        let Some(definition) = definition(config) else { return ImageCapabilities::default() };
        let untold = IMAGE_PARAMS.iter().filter(|(_, placeholder)| !definition.honours(*placeholder));
        // No placeholder passes the fields of `extra`.
        let ignored = untold.map(|(name, _)| *name).chain(["extra"]).collect();
        ImageCapabilities { ignored, max_inputs: 1, ..ImageCapabilities::default() }
    }

    fn speech(&self, config: &ProviderConfig) -> SpeechCapabilities {
        let Some(definition) = definition(config) else { return SpeechCapabilities::default() };
        let untold = SPEECH_PARAMS.iter().filter(|(_, placeholder)| !definition.honours(*placeholder));
        // No placeholder passes the fields of `extra`.
        let ignored = untold.map(|(name, _)| *name).chain(["extra"]).collect();
        let formats: &[SpeechFormat] = match definition.extension.as_str() {
            "wav" => &[SpeechFormat::Wav],
            "mp3" => &[SpeechFormat::Mp3],
            _ => &[],
        };
        SpeechCapabilities { formats, ignored, ..SpeechCapabilities::default() }
    }

    fn chat(&self, config: &ProviderConfig) -> ChatCapabilities {
        definition(config).map(text::capabilities).unwrap_or_default()
    }

    fn video(&self, config: &ProviderConfig) -> VideoCapabilities {
        definition(config).map(video::capabilities).unwrap_or_default()
    }

    /// Identifies what is run: the program, its version and its arguments. If one of these changes, the same request makes something else.
    fn address(&self, config: &ProviderConfig) -> String {
        let Some(definition) = definition(config) else { return String::new() };
        let version = find_program(&definition.program, None).ok().and_then(|program| version(&program));
        let CommandDefinition { program, argv, stdin, extension, .. } = definition;
        let what = format!("{argv:?} {stdin:?} {extension} {version:?}");
        format!("{program} {}", blake3::hash(what.as_bytes()).to_hex())
    }

    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>> {
        let mut definition = definition(config)?.clone();
        definition.is_paid = config.is_paid;
        Some(Arc::new(CommandProvider {
            config: config.clone(),
            definition,
            voices: OnceCell::new(),
            equipment: equipment.clone(),
        }))
    }
}

fn definition(config: &ProviderConfig) -> Option<&CommandDefinition> {
    config.own.settings.get()
}

/// Returns the size and the modification time of the executable file, which change when its package is updated.
fn version(program: &Path) -> Option<(u64, std::time::SystemTime)> {
    let metadata = fs::metadata(program).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

fn settings(section: &mut Section<'_>) -> CommandSettings {
    let texts = "a table of texts";
    let mut number = |key| section.whole(key, 1..=u32::MAX).map(u64::from);
    let (timeout_s, memory_mb, output_max_mb) =
        (number("timeout_s"), number("memory_mb"), number("output_max_mb"));
    CommandSettings {
        install: section.text("install"),
        services: section.texts("services"),
        billing: section.text("billing"),
        program: section.text("program"),
        argv: section
            .shaped("argv", "a list of arguments, in which a list is an optional group of arguments"),
        stdin: section.shaped("stdin", "a text"),
        output: section.text("output"),
        exit: section.shaped("exit", texts),
        environment: section.texts("environment"),
        timeout_s,
        memory_mb,
        output_max_mb,
        voice: section.text("voice"),
        model: section.text("model"),
        languages: section.shaped("languages", texts),
        voice_list: section.texts("voice_list"),
        voice_format: section.text("voice_format"),
        ..CommandSettings::default()
    }
}

/// Returns what a person should know before the first task. It is no error, as the program may be installed later.
fn warnings(definition: &CommandDefinition) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(missing) = find_program(&definition.program, definition.install.as_deref()) {
        warnings.push(format!("{missing}; {}", missing.hint()));
    }
    if definition.model.is_none() && definition.argv.needs(Placeholder::Model) {
        warnings.push("names no model, so every request has to name one".to_owned());
    }
    warnings
}

/// A provider that runs the program of its definition.
#[derive(Debug)]
struct CommandProvider {
    config: ProviderConfig,
    definition: CommandDefinition,
    /// The program's list of voices, once it was read.
    voices: OnceCell<Vec<Voice>>,
    equipment: Equipment,
}

impl Provider for CommandProvider {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        Box::pin(async move {
            let Generate { request, permit, cancel, progress, .. } = call;
            if let Some(permit) = &permit {
                permit.leaves();
            }
            let report = |done: u32, all: u32| {
                progress
                    .report(f64::from(done) / f64::from(all), format!("running {}", self.definition.program));
            };
            let made = match &request {
                ServiceRequest::Image(request) => self.draw(request, cancel, report).await,
                ServiceRequest::Speech(params) => {
                    report(0, 1);
                    self.speak(params, cancel).await
                }
                ServiceRequest::Chat(params) => {
                    report(0, 1);
                    self.answer(params, cancel).await
                }
                ServiceRequest::Render(_) => {
                    let message = format!("{} assembles no films", self.definition.program);
                    let hint = "reel providers shows what each one serves";
                    Err(GenerateError::Failed(Failure::new(Class::Invalid, message, hint)))
                }
                ServiceRequest::Video(request) => {
                    report(0, 1);
                    self.film(request, cancel).await
                }
            };
            if let Some(permit) = &permit {
                permit.judge(match &made {
                    Err(GenerateError::Failed(failure)) => failure.class.into(),
                    _ => Verdict::Answered,
                });
            }
            made
        })
    }

    fn voices(self: Arc<Self>) -> LocalBoxFuture<'static, Result<VoiceList, Failure>> {
        Box::pin(async move { self.list_voices().await })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, ProviderCheckResult> {
        let found = find_program(&self.definition.program, self.definition.install.as_deref());
        Box::pin(ready(match found {
            Ok(path) => ProviderCheckResult { is_usable: true, detail: format!("runs {}", path.display()) },
            Err(missing) => {
                ProviderCheckResult { is_usable: false, detail: format!("{missing}; {}", missing.hint()) }
            }
        }))
    }
}

impl CommandProvider {
    /// Runs the program once for each picture. If a later run fails, the pictures that were made are returned with a note.
    async fn draw(
        &self,
        request: &ImageRequest,
        cancel: CancelSignal,
        report: impl Fn(u32, u32),
    ) -> Result<Generated, GenerateError> {
        let params = &request.params;
        let (_nobody, never) = watch::channel(false);
        // A paid run is not cancelled: its result is cached for the next equal request.
        let cancel = if self.config.is_paid { never } else { cancel };
        let (mut pictures, mut seen, mut beside) = (Vec::new(), Vec::new(), Beside::default());
        for index in 0..params.n {
            report(index, params.n);
            match self.draw_one(picture::values(&self.definition, request, index), cancel.clone()).await {
                Ok((picture, inspected)) => {
                    pictures.push(picture);
                    seen.push(inspected);
                }
                Err(GenerateError::Failed(failure)) if !pictures.is_empty() => {
                    beside.missing = Some(failure.error.message);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let notes = notes(&self.config.name, params, &seen, &beside);
        Ok(Generated { artifacts: pictures, notes, cost_microusd: None })
    }

    async fn draw_one(
        &self,
        values: Values,
        cancel: CancelSignal,
    ) -> Result<(NewArtifact, Inspected), GenerateError> {
        let commands = &self.equipment.commands;
        let made = commands.make(&self.config.name, &self.definition, values, cancel).await;
        let made = made.map_err(|error| match error {
            CommandError::Stopped => GenerateError::Stopped,
            CommandError::Failed(failure) => GenerateError::Failed(failure),
        })?;
        let failed = |failure| GenerateError::Failed(failure);
        let spooled = self.spool(made).await.map_err(failed)?;
        let inspected = self.equipment.inspector.inspect(spooled).await;
        let (spooled, inspected) = inspected.map_err(|error| failed(self.no_picture(&error)))?;
        let reservation = self.equipment.budget.reserve(Holder::Body, spooled.memory_bytes());
        let reservation = reservation.map_err(|over| failed(self.over_memory(&over.to_string())))?;
        let facts = Facts::new(inspected.media_type, inspected.extension);
        let facts = match (inspected.width, inspected.height) {
            (Some(width), Some(height)) => facts.with_pixels(width, height),
            _ => facts,
        };
        Ok((NewArtifact { body: Body::Spooled(spooled), reservation: Some(reservation), facts }, inspected))
    }

    /// Copies the program's file into a spool, from which the cache keeps it, and removes the program's directory.
    async fn spool(&self, made: Made) -> Result<Spooled, Failure> {
        let spools = self.equipment.spools.clone();
        let copying = tokio::task::spawn_blocking(move || copy(&spools, &made)).await;
        copying.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(|error| {
            let class = self.class(Class::Transient(None));
            let message = format!("what {} made could not be copied: {error}", self.definition.program);
            Failure::with_code(class, ErrorCode::StorageFailed, message, "free some room on the disk")
        })
    }

    fn no_picture(&self, error: &InspectError) -> Failure {
        if let InspectError::OverMemory(over) = error {
            return self.over_memory(&over.to_string());
        }
        let message = format!("{} exited with 0 and its file is wrong: {error}", self.definition.program);
        Failure::new(
            self.class(Class::Unknown),
            message,
            "run it by hand: its arguments may not fit its version",
        )
    }

    fn over_memory(&self, over: &str) -> Failure {
        let hint = "reel memory shows who holds what; the task is tried again";
        Failure::with_code(self.class(Class::Transient(None)), ErrorCode::OverMemory, over, hint)
    }

    /// The class of a failure after the program made something, which is lost. A paid program may have charged for it.
    const fn class(&self, free: Class) -> Class {
        if self.config.is_paid { Class::Ambiguous } else { free }
    }
}

fn copy(spools: &Spools, made: &Made) -> io::Result<Spooled> {
    let mut spool = spools.create();
    io::copy(&mut fs::File::open(&made.path)?, &mut spool)?;
    spool.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(section: &str) -> Result<ProviderConfig, String> {
        let config = Config::parse(&format!("[providers.x]\nkind = 'command'\n{section}"), &[&Command]);
        config.map(|mut config| config.providers.remove(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_is_a_definition_with_changes_or_a_definition_of_its_own() {
        let shipped =
            parse("definition = 'sd.cpp'\nmodel = '/m.gguf'\ntimeout_s = 5\nargv = ['{prompt}', '{output}']");
        let shipped = shipped.unwrap();
        assert_eq!((shipped.services, shipped.is_paid), (vec!["image".to_owned()], false));
        let definition = shipped.own.settings.get::<CommandDefinition>().unwrap();
        assert_eq!((definition.program.as_str(), definition.limits.timeout.as_secs()), ("sd-cli", 5));
        let own = parse("services = ['image']\nprogram = 'sh'\nargv = ['-c', 'x', ['{seed}'], '{prompt}', '{output}']\noutput = 'png'\nexit = { 3 = 'quota' }\nbilling = 'paid'").unwrap();
        assert!(own.is_paid && own.own.warnings.is_empty(), "{own:?}");
        let ignored = Command.image(&own).ignored;
        let expected = ["negative_prompt", "steps", "guidance", "strength", "input_images", "mask", "extra"];
        assert_eq!(ignored, expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let own = "services = ['image']\nprogram = 'sh'\noutput = 'png'\n";
        for (section, complaint) in [
            ("definition = 'sd'".to_owned(), "3:14: providers.x.definition has no definition of that name"),
            (
                format!("{own}argv = ['{{promt}}', '{{output}}']"),
                "6:8: providers.x.argv has unknown placeholder {promt}; did you mean {prompt}?",
            ),
            (format!("{own}argv = 'x'"), "6:8: providers.x.argv must be a list of arguments"),
            (own.to_owned(), "2:8: providers.x.argv must be set"),
            (
                format!("{own}argv = ['{{prompt}}', '{{output}}']\nexit = {{ 3 = 7 }}"),
                "7:8: providers.x.exit must be a table of texts",
            ),
            (
                format!("{own}argv = ['{{prompt}}', '{{output}}']\nmodels = {{ image = 'm' }}"),
                "7:10: providers.x.models does not hold for a program",
            ),
            (format!("{own}argvs = []"), "unknown key providers.x.argvs; did you mean argv?"),
        ] {
            let error = parse(&section).unwrap_err();
            assert!(error.contains(complaint), "{section}\n{error}");
        }
    }

    #[test]
    fn a_program_that_is_not_installed_is_a_warning() {
        let own = parse("services = ['image']\nprogram = 'reel-no-such-program'\nargv = ['-m', '{model}', '{prompt}', '{output}']\noutput = 'png'\ninstall = 'apt install nothing'").unwrap();
        let warnings = own.own.warnings.join("\n");
        assert!(warnings.contains("reel-no-such-program is not installed"), "{warnings}");
        assert!(
            warnings.contains("apt install nothing") && warnings.contains("names no model"),
            "{warnings}"
        );
    }

    #[test]
    fn other_arguments_are_another_address() {
        let of = |argv: &str| {
            let section = format!("services = ['image']\nprogram = 'sh'\noutput = 'png'\nargv = {argv}");
            Command.address(&parse(&section).unwrap())
        };
        let one = of("['{prompt}', '{output}']");
        assert!(one.starts_with("sh "), "{one}");
        assert_eq!(one, of("['{prompt}', '{output}']"));
        assert_ne!(one, of("['{output}', '{prompt}']"));
    }
}
