//! `reel providers key`: stores a provider's API key, or names where it is, and checks the provider.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use reel_protocol::methods::ProviderCheckResult;
use serde::Serialize;

use super::{
    key_file::{self, NewKey, absolute, key_path, read_key},
    questions,
    section::{self, KeySource},
    trial::{concerns, try_out},
};
use crate::{config_file, context::Context, exit::Exit, failure::Failure, save, table};

const EXAMPLES: &str = "Examples:
  reel providers key openai
  reel providers key openai --stdin < key.txt
  reel providers key openai --env OPENAI_API_KEY";

/// The provider, and where its key comes from. Without options, a terminal asks for the key.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The provider's name.
    pub name: String,
    /// Read the key from stdin and store it in a file that only you can read.
    #[arg(long, group = "source")]
    pub stdin: bool,
    /// The environment variable of the daemon that holds the key.
    #[arg(long, value_name = "VAR", group = "source")]
    pub env: Option<String>,
    /// The file that holds the key. reel only reads it.
    #[arg(long, value_name = "FILE", group = "source")]
    pub file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<'a> {
    path: &'a Path,
    name: &'a str,
    /// None if no daemon was asked.
    is_usable: Option<bool>,
    detail: Option<String>,
}

/// Stores the key.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let (path, name) = (context.locations().config.clone(), args.name.clone());
    let text = config_file::read(&path)?.unwrap_or_default();
    // A file that is not TOML is refused below, with its place.
    if let Ok(document) = text.parse()
        && !section::has(&document, &name)
    {
        return Err(missing(&path, &name));
    }
    let former = key_file::named_in(&path, &name)?;
    let mut stored = None;
    let source = match (&args.env, &args.file) {
        (Some(variable), _) => KeySource::Env(variable.clone()),
        (None, Some(file)) => KeySource::File(absolute(file)?),
        (None, None) => {
            let file = key_path(&path, &name);
            let key = given_key(context, &args)?;
            let is_new = !save::is_taken(&file);
            NewKey::write(&key, &file, true)?.place()?;
            stored = Some(file.clone()).filter(|_| is_new);
            KeySource::File(file.to_string_lossy().into_owned())
        }
    };
    let words = match &source {
        KeySource::File(file) => format!("the key of {name} is in {}", table::path(Path::new(file))),
        KeySource::Env(variable) => format!("the key of {name} is in the environment variable {variable}"),
        KeySource::Credential(credential) => format!("the key of {name} is the credential {credential}"),
    };
    let edited = config_file::edit(&path, |document| {
        if section::set_key(document, &name, &source) { Ok(()) } else { Err(missing(&path, &name)) }
    });
    if let (Err(_), Some(file)) = (&edited, &stored) {
        // No section names the new key file, so it is removed again.
        let _ = std::fs::remove_file(file);
    }
    let warnings = edited?;
    for warning in warnings.iter().filter(|warning| concerns(warning, &name)) {
        context.output.warn(warning);
    }
    context.output.line(&words)?;
    let is_kept = |file: &PathBuf| matches!(&source, KeySource::File(kept) if Path::new(kept) == file);
    if let Some(file) = former.filter(|file| !is_kept(file))
        && key_file::remove_if_unused(context.output, &path, &name, &file)?
    {
        context.output.line(&format!("removed its former key file {}", table::path(&file)))?;
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
    context.output.document(&Document { path: &path, name: &name, is_usable, detail })?;
    Ok(if is_usable == Some(false) { Exit::WorkFailed } else { Exit::Done })
}

fn missing(path: &Path, name: &str) -> Failure {
    let message = format!("{} has no provider {name:?}", table::path(path));
    Failure::new(Exit::NoInput, "unknown_provider", message).hint("reel providers lists them")
}

fn given_key(context: &Context, args: &Args) -> Result<String, Failure> {
    if args.stdin {
        return read_key();
    }
    if context.output.is_json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage("say where the key is: --stdin, --env or --file is missing")
            .hint("reel providers key --help shows examples; on a terminal it asks"));
    }
    let typed = questions::typed_key(context.output, &format!("API key of {}, not shown: ", args.name))?;
    typed.ok_or_else(|| Failure::usage("no key was typed; nothing was changed"))
}
