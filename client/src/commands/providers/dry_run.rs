//! `reel providers dry-run`: prints the requests that a task would send, with secrets masked, and its probable cost. No provider is asked.

use reel_protocol::{
    CacheMode, JsonText, TaskSpec,
    methods::{DryRunResult, PlannedRequest},
};
use serde_json::Value;

use crate::{commands::submit, context::Context, dry_run, exit::Exit, failure::Failure};

/// The request to plan.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: reel providers dry-run image generate --params '{\"prompt\": \"a lighthouse\"}' --provider openai"
)]
pub struct Args {
    /// The service, such as image or text.
    service: String,
    /// The service's method, such as generate or chat.
    method: String,
    /// The method's params, a JSON object, or @FILE (@- reads stdin) [default: {}].
    #[arg(long, value_name = "JSON|@FILE")]
    params: Option<String>,
    /// One of `reel providers`.
    #[arg(long)]
    provider: Option<String>,
    /// Cache mode: use reads and stores results, fresh only stores them, off does neither.
    #[arg(long, value_name = "use|fresh|off", default_value = "use", value_parser = submit::parse_cache)]
    cache: CacheMode,
}

/// Prints the requests that would be sent.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let params = args.params.map(|text| submit::json_object("--params", &text)).transpose()?;
    let spec = TaskSpec {
        kind: format!("{}.{}", args.service, args.method),
        params: params.unwrap_or_default(),
        provider: args.provider,
        cache: args.cache,
        ..TaskSpec::default()
    };
    let session = context.session().await?;
    let result = dry_run::ask(&session, &spec).await?;
    context.note_version(&session.client());
    context.output.document(&result)?;
    for line in lines(&result) {
        context.output.line(&line)?;
    }
    if result.requests.is_empty() && result.provider.is_some() && !result.is_cached {
        context.output.note(
            "no request is shown: the provider sends none, or the pictures in it are read when the task runs",
        );
    }
    context.output.note("this was a dry run: no provider was asked");
    Ok(Exit::Done)
}

/// Returns lines that say which provider would be asked, and show each request.
fn lines(result: &DryRunResult) -> Vec<String> {
    let mut lines = vec![dry_run::sentence(result)];
    if !result.others.is_empty() {
        lines.push(format!("where that is not possible: {}", result.others.join(", ")));
    }
    if !result.is_cached {
        lines.extend(result.requests.iter().flat_map(of_request));
    }
    lines
}

/// Formats a request as it would be sent.
fn of_request(request: &PlannedRequest) -> Vec<String> {
    let mut lines = vec![String::new(), format!("{} {}", request.method, request.url)];
    lines.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if let Some(body) = &request.body {
        lines.push(String::new());
        lines.extend(pretty(body).lines().map(str::to_owned));
    }
    lines
}

/// Formats a JSON document with a line for each field.
fn pretty(body: &JsonText) -> String {
    let value = body.decode::<Value>().ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    value.unwrap_or_else(|| body.as_str().to_owned())
}
