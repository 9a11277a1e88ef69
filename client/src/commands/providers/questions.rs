//! Asks on the terminal for what `reel providers add` needs. A key is typed without echo and stored in a file of its own.

use std::{env, io};

use super::{
    add::{Args, GivenKey},
    preset::{self, PRESETS},
};
use crate::{failure::Failure, output::Output};

/// Asks for the values that the options do not give.
pub fn ask(output: Output, mut args: Args) -> Result<(Args, GivenKey), Failure> {
    output.warn("Which one? A name of this list, or the address of a server that speaks OpenAI's API.");
    for preset in PRESETS {
        output.warn(&format!("  {:<10} {}", preset.name, preset.about));
    }
    let choice = loop {
        let choice = line(output, "provider", "openai")?;
        if preset::find(&choice).is_some() || choice.contains("://") {
            break choice;
        }
        output.warn("neither a name of the list nor an address such as http://127.0.0.1:8080/v1");
    };
    let preset = preset::find(&choice);
    if preset.is_some() {
        args.preset = Some(choice);
    } else {
        args.kind = Some("openai".to_owned());
        args.base_url = Some(choice);
    }
    if args.name.is_none() {
        let default = args.preset.as_deref().unwrap_or("studio").replace('.', "-");
        args.name = Some(line(output, "a name for it", &default)?);
    }
    let section = preset.map(preset::Preset::section).unwrap_or_default();
    if args.model.is_empty()
        && section.models.is_empty()
        && section.definition.as_deref() != Some("espeak-ng")
    {
        let model = line(output, "model, or nothing", "")?;
        if !model.is_empty() {
            args.model = vec![super::section::ModelChoice { service: None, model }];
        }
    }
    let key = if section.definition.is_some() { GivenKey(None) } else { key(output, preset, &mut args)? };
    if args.billing.is_none() && preset.is_none() {
        let is_paid = line(output, "does it cost money? (y/n)", "y")?.to_lowercase().starts_with('y');
        args.billing = Some(if is_paid { "paid" } else { "free" }.to_owned());
    }
    Ok((args, key))
}

/// Asks for the key. An empty answer means the variable that the service's own tools read, or no key.
fn key(output: Output, preset: Option<&preset::Preset>, args: &mut Args) -> Result<GivenKey, Failure> {
    if args.key_env.is_some() || args.key_file.is_some() || args.key_credential.is_some() {
        return Ok(GivenKey(None));
    }
    let variable = preset.and_then(|preset| preset.key_variable);
    let otherwise = match variable {
        Some(name) if env::var_os(name).is_some() => format!("Enter alone uses ${name}"),
        Some(name) => format!("Enter alone uses ${name}, which is not set here"),
        None => "Enter alone if there is none".to_owned(),
    };
    typed_key(output, &format!("API key, not shown; {otherwise}: ")).map(GivenKey)
}

/// Reads a key from the terminal without showing it; None for an empty line.
pub fn typed_key(output: Output, question: &str) -> Result<Option<String>, Failure> {
    output.ask(question);
    let typed = console::Term::stderr().read_secure_line();
    let typed = typed.map_err(|error| Failure::io("cannot read the key", &error))?;
    let typed = typed.trim();
    Ok((!typed.is_empty()).then(|| typed.to_owned()))
}

/// Reads a line from stdin; an empty one means the default.
fn line(output: Output, what: &str, default: &str) -> Result<String, Failure> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    output.ask(&format!("{what}{shown}: "));
    let mut typed = String::new();
    let read = io::stdin().read_line(&mut typed).map_err(|error| Failure::io("cannot read stdin", &error))?;
    if read == 0 {
        return Err(Failure::usage(
            "the input ended before all questions were answered; nothing was changed",
        ));
    }
    let typed = typed.trim();
    Ok(if typed.is_empty() { default } else { typed }.to_owned())
}
