//! `reel providers`: lists the providers, checks them, and adds or removes them.

use reel_protocol::methods::{
    Empty, ProviderCheck, ProviderCheckParams, ProviderCheckResult, ProviderList, ProviderModels,
    ProviderModelsParams, ProviderVoices, ProviderVoicesParams, VoiceInfo, VoicesOfProvider,
};
use serde::Serialize;

use crate::{context::Context, exit::Exit, failure::Failure, table};

mod add;
mod dry_run;
mod first;
mod key;
mod key_file;
mod list;
mod preset;
mod questions;
mod remove;
mod section;
mod trial;

/// The action; without one, the providers are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: reel providers check draft")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check whether providers are usable; never costs anything.
    #[command(after_help = "Example: reel providers check draft")]
    Check {
        /// The provider's name [default: all].
        name: Option<String>,
    },
    /// List the models that a request to a provider may name.
    #[command(after_help = "Example: reel providers models openai")]
    Models {
        /// The provider's name.
        name: String,
    },
    /// List the voices that a request may name.
    #[command(after_help = "Example: reel providers voices espeak-ng")]
    Voices {
        /// The provider's name [default: all that speak].
        name: Option<String>,
    },
    /// Print the requests that a task would send, with secrets masked, and its probable cost, without asking a provider.
    DryRun(dry_run::Args),
    /// Add a provider to the configuration; on a terminal, ask for missing values.
    Add(Box<add::Args>),
    /// Remove a provider from the configuration.
    Remove(remove::Args),
    /// Store the API key of a provider, or say where it is; then check the provider.
    Key(key::Args),
}

#[derive(Serialize)]
struct Document {
    providers: Vec<Checked>,
}

#[derive(Serialize)]
struct Checked {
    name: String,
    #[serde(flatten)]
    result: ProviderCheckResult,
}

/// Runs the action.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    match args.action {
        None => list::list(context).await,
        Some(Action::Check { name }) => check(context, name).await,
        Some(Action::Models { name }) => list_models(context, name).await,
        Some(Action::Voices { name }) => list_voices(context, name).await,
        Some(Action::DryRun(args)) => dry_run::run(context, args).await,
        Some(Action::Add(args)) => add::add(context, *args).await,
        Some(Action::Key(args)) => key::run(context, args).await,
        Some(Action::Remove(args)) => remove::remove(context, args).await,
    }
}

async fn check(context: &Context, name: Option<String>) -> Result<Exit, Failure> {
    let session = context.session().await?;
    let names = if let Some(name) = name {
        vec![name]
    } else {
        let found = session.call::<ProviderList>(&Empty {}).await?;
        found.providers.into_iter().map(|provider| provider.name).collect()
    };
    let mut providers = Vec::with_capacity(names.len());
    for name in names {
        let result = session.call::<ProviderCheck>(&ProviderCheckParams { name: name.clone() }).await?;
        let verdict = if result.is_usable { "usable" } else { "not usable" };
        context.output.line(&format!("{name} is {verdict}: {}", result.detail))?;
        providers.push(Checked { name, result });
    }
    context.note_version(&session.client());
    let is_fine = providers.iter().all(|checked| checked.result.is_usable);
    context.output.document(&Document { providers })?;
    Ok(if is_fine { Exit::Done } else { Exit::WorkFailed })
}

async fn list_models(context: &Context, name: String) -> Result<Exit, Failure> {
    let found = context.ask::<ProviderModels>(&ProviderModelsParams { name: name.clone() }).await?;
    context.output.document(&found)?;
    for model in &found.models {
        context.output.line(model)?;
    }
    if !found.is_listed {
        let what = if found.models.is_empty() { "none is configured" } else { "these are configured" };
        context.output.note(&format!("{name} lists no models; {what}"));
    }
    Ok(Exit::Done)
}

async fn list_voices(context: &Context, name: Option<String>) -> Result<Exit, Failure> {
    let found = context.ask::<ProviderVoices>(&ProviderVoicesParams { name: name.clone() }).await?;
    context.output.document(&found)?;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let row = |provider: &VoicesOfProvider, voice: &VoiceInfo| {
        [
            voice.id.clone(),
            text(&voice.language),
            text(&voice.gender),
            provider.name.clone(),
            text(&voice.name),
        ]
    };
    let rows: Vec<_> = found
        .providers
        .iter()
        .flat_map(|provider| provider.voices.iter().map(move |voice| row(provider, voice)))
        .collect();
    if !rows.is_empty() {
        let header = ["VOICE", "LANGUAGE", "GENDER", "PROVIDER", "NAME"];
        context.output.data(&table::columns(header, &rows, context.output.width()))?;
    }
    for provider in &found.providers {
        if let Some(note) = &provider.note {
            context.output.note(&format!("{}: {note}", provider.name));
        }
    }
    if found.providers.is_empty() {
        context.output.note("no provider speaks; add one with: reel providers add");
    }
    Ok(Exit::Done)
}
