//! `reel ask`: asks a language model and prints its answer.

use std::path::{Path, PathBuf};

use reel_protocol::{ChatParams, JsonText, limits::CHAT_BYTES};

use crate::{
    answer::{AnswerArgs, Question, answer},
    context::Context,
    exit::Exit,
    failure::Failure,
    given::{self, Kind},
    table,
};

const PROMPT: Kind = Kind {
    name: "the prompt",
    from_stdin: "reel ask -",
    most_bytes: CHAT_BYTES,
    remedy: "ask about parts of it",
};
const SCHEMA: Kind =
    Kind { name: "the schema", from_stdin: "", most_bytes: 256 * 1024, remedy: "ask for less at once" };

/// What to ask, and where to write the answer.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  reel ask \"Why is the sea salt?\"\n  reel ask - --system \"Summarize in three lines.\" < chapter.txt\n  reel ask \"Three names for a lighthouse\" --schema names.json -o names.out.json"
)]
pub struct Args {
    /// What to ask, or @FILE, or - for stdin.
    #[arg(value_name = "PROMPT|@FILE|-")]
    pub prompt: String,
    /// Instructions on how to answer.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// A file with a JSON Schema that the answer must fit.
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Randomness of the answer, 0 to 2 [default: the provider's].
    #[arg(long, value_name = "NUMBER")]
    pub temperature: Option<f64>,
    /// Most tokens of the answer [default: the provider's].
    #[arg(long, value_name = "N", value_parser = parse_tokens)]
    pub max_tokens: Option<u32>,
    #[command(flatten)]
    pub answer: AnswerArgs,
}

fn parse_tokens(text: &str) -> Result<u32, String> {
    let tokens = text.parse().ok().filter(|tokens| *tokens > 0);
    tokens.ok_or_else(|| "a number of tokens is a whole number from 1".to_owned())
}

/// Asks the model, and prints the answer or writes it to a file.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let prompt = given::text(context.output, &args.prompt, PROMPT)?;
    let schema = args.schema.as_deref().map(read_schema).transpose()?;
    // With a schema, the model may write text around its JSON. That text is no part of the answer, so pieces are not shown.
    let is_shown_as_it_comes = schema.is_none();
    let params = ChatParams {
        system: args.system,
        model: args.answer.model.clone(),
        temperature: args.temperature,
        max_tokens: args.max_tokens,
        schema,
        ..ChatParams::new(&prompt)
    };
    let question = Question { kind: "text.chat", params: &params, title: &prompt, is_shown_as_it_comes };
    answer(context, &question, &args.answer).await
}

fn read_schema(path: &Path) -> Result<JsonText, Failure> {
    let bad = |detail: String| {
        Failure::new(Exit::BadData, "bad_data", format!("{} {detail}", table::path(path)))
            .hint("a schema is an object, such as {\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}}}")
    };
    let json = JsonText::parse(given::file(path, SCHEMA)?).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        bad(format!("is {error}{cause}"))
    })?;
    if json.is_object() { Ok(json) } else { Err(bad("holds no JSON Schema".to_owned())) }
}
