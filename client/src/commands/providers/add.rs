//! `reel providers add`: writes the provider's section of the configuration file, has the daemon reload it, and checks the provider.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use reel_protocol::methods::ProviderCheckResult;
use serde::Serialize;

use super::{
    first,
    key_file::{self, NewKey, absolute, key_path, read_key},
    preset::{self, PRESETS},
    questions,
    section::{self, KeySource, ModelChoice, NewSection},
    trial::{concerns, try_out},
};
use crate::{config_file, context::Context, exit::Exit, failure::Failure, table};

/// Services that `--model SERVICE=MODEL` accepts.
const SERVICES: [&str; 4] = ["image", "text", "voice", "video"];

const EXAMPLES: &str = "Examples:
  reel providers add
  reel providers add --preset openai
  reel providers add narrator --kind command --definition espeak-ng
  reel providers add studio --kind openai --base-url https://api.openai.com/v1 \\
      --key-env OPENAI_API_KEY --model image=gpt-image-2";

/// The provider to add.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The provider's name: letters a to z, digits, - and _ [default: the preset's name].
    pub name: Option<String>,
    /// A known service or program, whose address, key variable and models are filled in.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PRESETS.iter().map(|preset| preset.name)))]
    pub preset: Option<String>,
    /// The kind: openai for any server with OpenAI's API; comfyui, a1111, ollama or sdcpp for these servers; or command for a program.
    #[arg(long)]
    pub kind: Option<String>,
    /// The program's definition, for the kind command: sd.cpp, espeak-ng, piper or edge-tts.
    #[arg(long)]
    pub definition: Option<String>,
    /// The address up to the version, often ending in /v1.
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The environment variable of the daemon that holds the key.
    #[arg(long, value_name = "VAR", group = "key")]
    pub key_env: Option<String>,
    /// The file that holds the key.
    #[arg(long, value_name = "FILE", group = "key")]
    pub key_file: Option<PathBuf>,
    /// The credential of the daemon's systemd unit that holds the key.
    #[arg(long, value_name = "NAME", group = "key")]
    pub key_credential: Option<String>,
    /// Read the key from stdin and store it in a file that only you can read.
    #[arg(long, group = "key")]
    pub key_stdin: bool,
    /// The model, or SERVICE=MODEL for one service; may be repeated.
    #[arg(long, value_name = "[SERVICE=]MODEL", value_parser = parse_model)]
    pub model: Vec<ModelChoice>,
    /// The services to use it for: image, voice, … [default: those with a model of their own, else the kind's first].
    #[arg(long, value_delimiter = ',')]
    pub services: Vec<String>,
    /// The voice for requests that name none.
    #[arg(long)]
    pub voice: Option<String>,
    /// Lower ranks are asked first [default: 100].
    #[arg(long)]
    pub rank: Option<u32>,
    /// Whether a repeated request may cost again [default: paid, and free for programs].
    #[arg(long, value_parser = ["paid", "free"])]
    pub billing: Option<String>,
    /// Replace the provider of that name.
    #[arg(long)]
    pub force: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a Path,
    name: &'a str,
    /// None if no daemon was asked.
    is_usable: Option<bool>,
    detail: Option<String>,
}

/// A key that will be stored in a file of its own; None if no key was given.
#[derive(Default)]
pub struct GivenKey(pub Option<String>);

/// Adds a provider.
pub async fn add(context: &Context, args: Args) -> Result<Exit, Failure> {
    let is_named = args.preset.is_some() || args.kind.is_some() || args.definition.is_some();
    let may_ask = !context.output.is_json && io::stdin().is_terminal() && io::stderr().is_terminal();
    let (args, mut key) = match (is_named, may_ask) {
        (true, _) => (args, GivenKey(None)),
        (false, true) => questions::ask(context.output, args)?,
        (false, false) => {
            return Err(Failure::usage("say what to add: --preset or --kind is missing")
                .hint("reel providers add --help shows the flags; on a terminal it asks"));
        }
    };
    if args.key_stdin {
        key = GivenKey(Some(read_key()?));
    }
    let name = name(&args)?;
    let path = context.locations().config.clone();
    let mut section = section_of(&args)?;
    let key_file = key.0.as_ref().map(|_| key_path(&path, &name));
    if let Some(file) = &key_file {
        section.api_key = Some(KeySource::File(file.to_string_lossy().into_owned()));
    }
    let former_key = key_file::named_in(&path, &name)?;
    let before = first::in_use_if_running(context, &path).await;
    let written = write(&path, &name, &section, args.force, key.0.as_deref().zip(key_file.as_deref()));
    for warning in written?.iter().filter(|warning| concerns(warning, &name)) {
        context.output.warn(warning);
    }
    context.output.line(&format!("added [providers.{name}] to {}", table::path(&path)))?;
    let is_key_kept = former_key.is_none() || key_file::named_in(&path, &name)? == former_key;
    if let Some(file) = former_key.filter(|_| !is_key_kept) {
        key_file::remove_if_unused(context.output, &path, &name, &file)?;
    }
    let checked = try_out(context, &path, &name).await?;
    let (is_usable, detail) = match checked {
        Some(ProviderCheckResult { is_usable, detail, .. }) => {
            let verdict = if is_usable { "usable" } else { "not usable" };
            context.output.line(&format!("{name} is {verdict}: {detail}"))?;
            (Some(is_usable), Some(detail))
        }
        None => (None, None),
    };
    if is_usable.is_some() {
        let after = first::in_use_if_running(context, &path).await;
        for line in first::changes(&name, &before.unwrap_or_default(), &after.unwrap_or_default()) {
            context.output.note(&line);
        }
    }
    context.output.document(&Document { path: &path, name: &name, is_usable, detail })?;
    Ok(if is_usable == Some(false) { Exit::WorkFailed } else { Exit::Done })
}

/// Parses `MODEL` or `SERVICE=MODEL`.
fn parse_model(text: &str) -> Result<ModelChoice, String> {
    let own = |service: Option<&str>, model: &str| ModelChoice {
        service: service.map(str::to_owned),
        model: model.to_owned(),
    };
    match text.split_once('=') {
        Some((service, model)) if SERVICES.contains(&service) && !model.is_empty() => {
            Ok(own(Some(service), model))
        }
        Some((service, _)) if meant_service(service).is_some() => Err(format!(
            "no service is called {service} (did you mean {}?); the services are {}",
            meant_service(service).unwrap_or_default(),
            SERVICES.join(", ")
        )),
        _ if text.trim().is_empty() => Err("a model has a name".to_owned()),
        _ => Ok(own(None, text)),
    }
}

/// Returns the service that is probably meant by another word for it. None for a word that may be a part of a model's name.
fn meant_service(word: &str) -> Option<&'static str> {
    const WORDS: [(&str, &[&str]); 4] = [
        ("image", &["picture", "pictures", "images", "img"]),
        ("text", &["texts", "chat", "llm"]),
        ("voice", &["voices", "speech", "sound", "audio", "tts"]),
        ("video", &["videos", "clip", "clips", "film", "films"]),
    ];
    let word = word.trim().to_lowercase();
    let exact = WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(service, _)| *service);
    // `image=` without a model is a mistake of another kind.
    exact.or_else(|| reel_story::nearest(&word, SERVICES).filter(|service| *service != word))
}

fn name(args: &Args) -> Result<String, Failure> {
    let of_preset = args.preset.as_deref().map(|preset| preset.replace('.', "-"));
    args.name.clone().or(of_preset).ok_or_else(|| {
        Failure::usage("the provider's name is missing").hint("reel providers add NAME --kind openai")
    })
}

/// Makes the section from the preset, with the values of the options replacing those of the preset. Pure except for the current directory.
fn section_of(args: &Args) -> Result<NewSection, Failure> {
    let preset = args.preset.as_deref().and_then(preset::find);
    let mut section = preset.map(preset::Preset::section).unwrap_or_default();
    if let Some(kind) = &args.kind {
        section.kind.clone_from(kind);
    } else if args.definition.is_some() {
        "command".clone_into(&mut section.kind);
    }
    if args.model.iter().filter(|choice| choice.service.is_none()).count() > 1 {
        return Err(Failure::usage("two models: say which service each is for")
            .hint("--model image=gpt-image-2 --model voice=tts-1"));
    }
    let is_plain = args.model.iter().any(|choice| choice.service.is_none());
    if !args.services.is_empty() {
        section
            .models
            .retain(|choice| choice.service.as_ref().is_some_and(|own| args.services.contains(own)));
    }
    section.models.retain(|of_preset| {
        !is_plain && !args.model.iter().any(|choice| choice.service == of_preset.service)
    });
    section.models.extend(args.model.iter().cloned());
    let has_model =
        |service: &String| section.models.iter().any(|choice| choice.service.as_ref() == Some(service));
    let is_said_by_models =
        section.models.iter().all(|choice| choice.service.is_some()) && args.services.iter().all(has_model);
    section.services = if is_said_by_models { Vec::new() } else { args.services.clone() };
    let key_file = args.key_file.as_deref().map(absolute).transpose()?;
    let key = args.key_env.clone().map(KeySource::Env);
    let key = key.or(key_file.map(KeySource::File));
    let key = key.or(args.key_credential.clone().map(KeySource::Credential));
    section.api_key = key.or(section.api_key);
    section.definition = args.definition.clone().or(section.definition);
    section.base_url = args.base_url.clone().or(section.base_url);
    section.billing = args.billing.clone().or(section.billing);
    section.voice.clone_from(&args.voice);
    section.rank = args.rank;
    Ok(section)
}

/// Writes the key file, if any, and then the section that names it.
fn write(
    path: &Path,
    name: &str,
    section: &NewSection,
    may_replace: bool,
    key: Option<(&str, &Path)>,
) -> Result<Vec<String>, Failure> {
    let new_key = key.map(|(key, file)| NewKey::write(key, file, may_replace)).transpose()?;
    // A new section must not name a key file that does not exist yet. A file that exists has the old key until the section is written.
    let (placed, new_key) = match new_key {
        Some(new_key) if !new_key.is_replacement => (Some(new_key.place()?), None),
        new_key => (None, new_key),
    };
    let written = config_file::edit(path, |document| {
        if section::has(document, name) && !may_replace {
            let message = format!("{} has a provider {name} already", table::path(path));
            let failure = Failure::new(Exit::CannotCreate, "output_exists", message);
            return Err(failure.hint("--force replaces it; another name adds a second one"));
        }
        section::put(document, name, section);
        Ok(())
    });
    if let (Err(_), Some(file)) = (&written, placed) {
        // No section names the new key file, so it is removed again.
        let _ = std::fs::remove_file(file);
    }
    let warnings = written?;
    if let Some(new_key) = new_key {
        new_key.place().map_err(|failure| {
            failure.hint("the section was written without the key; run the command again to store it")
        })?;
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(section: &NewSection) -> Vec<(Option<&str>, &str)> {
        section.models.iter().map(|choice| (choice.service.as_deref(), choice.model.as_str())).collect()
    }

    #[test]
    fn flags_stand_in_the_place_of_what_a_preset_says() {
        let openai = || Args { preset: Some("openai".to_owned()), ..Args::default() };
        let of = |args: &Args| section_of(args).unwrap();
        let model = |text: &str| parse_model(text).unwrap();
        let section = of(&openai());
        assert_eq!(section.api_key, Some(KeySource::Env("OPENAI_API_KEY".to_owned())));
        assert_eq!(
            models(&section),
            [
                (Some("image"), "gpt-image-2"),
                (Some("voice"), "gpt-4o-mini-tts"),
                (Some("text"), "gpt-5-mini")
            ]
        );
        let section = of(&Args { model: vec![model("image=x")], key_env: Some("K".to_owned()), ..openai() });
        assert_eq!(
            models(&section),
            [(Some("voice"), "gpt-4o-mini-tts"), (Some("text"), "gpt-5-mini"), (Some("image"), "x")]
        );
        assert_eq!(section.api_key, Some(KeySource::Env("K".to_owned())));
        let section = of(&Args { services: vec!["voice".to_owned()], ..openai() });
        assert_eq!((models(&section).len(), section.services.len()), (1, 0));
        let services = vec!["image".to_owned(), "voice".to_owned()];
        let section = of(&Args { model: vec![model("m=1")], services, ..openai() });
        assert_eq!((models(&section), section.services.len()), (vec![(None, "m=1")], 2));
        let two = Args { model: vec![model("a"), model("b")], ..openai() };
        for (text, service) in [("pictures=m", "image"), ("Speech=m", "voice"), ("iamge=m", "image")] {
            assert!(parse_model(text).unwrap_err().contains(&format!("did you mean {service}?")), "{text}");
        }
        assert_eq!(section_of(&two).unwrap_err().exit, Exit::Usage);
    }
}
