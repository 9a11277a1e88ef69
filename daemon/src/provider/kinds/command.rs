//! The kind `command`: a program on this machine makes the result. A shipped definition, the provider's section, or both together describe the
//! program.

mod media;
mod picture;
mod provider;
mod speech;
mod text;
mod video;

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use reel_protocol::SpeechFormat;
use tokio::sync::OnceCell;

use self::provider::CommandProvider;
use crate::{
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{ChatCapabilities, ImageCapabilities, SpeechCapabilities, VideoCapabilities},
    provider::{
        Equipment, Kind, Provider,
        command::{CommandDefinition, CommandSettings, Placeholder, find_program, shipped},
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
