//! `reel translate`: translates a text into another language.

use reel_protocol::{TranslateParams, limits::PROMPT_BYTES};

use crate::{
    answer::{AnswerArgs, Question, answer},
    context::Context,
    exit::Exit,
    failure::Failure,
    given::{self, Kind},
};

const TEXT: Kind = Kind {
    name: "the text",
    from_stdin: "reel translate -",
    most_bytes: PROMPT_BYTES,
    remedy: "translate it in several parts",
};

/// What to translate, and into which language.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  reel translate \"The lamp went out.\" --to de\n  reel translate @chapter.txt --from en --to zh-TW -o chapter.zh.txt"
)]
pub struct Args {
    /// What to translate, or @FILE, or - for stdin.
    #[arg(value_name = "TEXT|@FILE|-")]
    pub text: String,
    /// The language to translate into, such as de or zh-TW.
    #[arg(long, value_name = "LANGUAGE")]
    pub to: String,
    /// The language of the text [default: the model recognises it].
    #[arg(long, value_name = "LANGUAGE")]
    pub from: Option<String>,
    #[command(flatten)]
    pub answer: AnswerArgs,
}

/// Translates the text, and prints the translation or writes it to a file.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let text = given::text(context.output, &args.text, TEXT)?;
    let params = TranslateParams {
        from: args.from,
        model: args.answer.model.clone(),
        ..TranslateParams::new(&text, args.to)
    };
    let question =
        Question { kind: "translate.text", params: &params, title: &text, is_shown_as_it_comes: true };
    answer(context, &question, &args.answer).await
}
