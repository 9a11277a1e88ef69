//! The options of `reel make`.

use std::path::PathBuf;

use reel_protocol::{StoryPart, StoryRedo, StoryStage};
use reel_story::project::{self, FrameSize, MOST_TITLE_CHARACTERS, Setting, Subtitles};

/// Most takes of a shot in one run. Each is paid for.
const MOST_TAKES: u64 = 16;

const EXAMPLES: &str = "Examples:
  reel make story.txt -o film.mp4
  reel make story.txt --until storyboard           writes story.reel.toml, which you can edit
  reel make story.txt --dry-run                    what it would take, and what it would cost
  reel make story.txt --size 9:16 --voice en-gb
  reel make tale.txt --theme 'a night at sea'      a language model writes the story first
  reel make story.txt --redo a3:picture            another picture for the shot a3
  reel make story.txt --review                     stops twice, for you to look at the shots

Where a provider of pictures is configured, image = \"draft\" in [defaults] of the configuration
(reel config edit) makes a film of drafts first, which costs nothing.
Run the same command again after a change: it makes only what depends on the change.";

/// The story, and how to make it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    /// The story, a text in UTF-8 (- reads standard input), or its project file (.reel.toml).
    #[arg(value_name = "STORY|PROJECT")]
    pub story: PathBuf,
    /// The film [default: next to the story, under its name].
    #[arg(short, long, value_name = "FILM.mp4")]
    pub output: Option<PathBuf>,
    /// The film's size, such as 1280x720, 16:9, 9:16 or 1:1 [default: 1920x1080].
    #[arg(long, value_name = "WxH")]
    pub size: Option<FrameSize>,
    /// The pictures' style, one of `reel styles` [default: cinematic].
    #[arg(long)]
    pub style: Option<String>,
    /// The narrator's voice, one of `reel providers voices`.
    #[arg(long)]
    pub voice: Option<String>,
    /// The voice of another speaker of the project file, such as giant=en-2.
    #[arg(long, value_name = "NAME=VOICE", value_parser = speaker)]
    pub speaker: Vec<(String, String)>,
    /// The language of the text, such as en or ja [default: recognised by its characters].
    #[arg(long)]
    pub language: Option<String>,
    /// How the story is split into shots: by rules (offline), or by a language model, which also describes the pictures [default: llm if a provider
    /// of texts is configured, else rules].
    #[arg(long, value_enum, value_name = "rules|llm", hide_possible_values = true)]
    pub split: Option<Split>,
    /// Have a language model write the story about this theme; STORY is the file for it.
    #[arg(long, value_name = "TEXT")]
    pub theme: Option<String>,
    /// About how many shots a language model shall make [default: as many as the story needs].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub shots: Option<u32>,
    /// Which shots are videos made from their pictures: none, all, or these ones besides those that are already.
    #[arg(long, value_name = "none|all|ID,…", value_parser = clips)]
    pub clips: Option<Clips>,
    /// Make this number of pictures of a shot, such as a3=4, to choose from; join no film.
    #[arg(long, value_name = "ID=N", value_parser = takes,
        conflicts_with_all = ["take", "until", "review", "only", "redo", "dry_run"])]
    pub takes: Vec<(String, u64)>,
    /// Choose a picture that --takes made, such as a3=2.
    #[arg(long, value_name = "ID=K", value_parser = take)]
    pub take: Vec<(String, u64)>,
    /// Music under the voices.
    #[arg(long, value_name = "FILE")]
    pub music: Option<PathBuf>,
    /// Subtitles: drawn into the pictures, a track of the film, only an .srt file, or none [default: burn].
    #[arg(long, value_enum, value_name = "burn|track|srt|none", hide_possible_values = true)]
    pub subtitles: Option<SubtitleForm>,
    /// The film's title, shown over the first shot before its narration.
    #[arg(long, value_name = "TEXT", value_parser = title)]
    pub title: Option<String>,
    /// A text at the end of the film, shown over the last shot after its narration.
    #[arg(long, value_name = "TEXT", value_parser = title)]
    pub end_card: Option<String>,
    /// Whether the title of each scene is shown over its first shot [default: false].
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub chapter_titles: Option<bool>,
    /// How one shot changes to the next: with a cut, or by fading into it [default: dissolve].
    #[arg(long, value_enum, value_name = "cut|dissolve", hide_possible_values = true)]
    pub transition: Option<Transition>,
    /// Stop after this stage: storyboard (the project file, in which you can change the shots), voices, pictures or clips.
    #[arg(long, value_enum, value_name = "STAGE", hide_possible_values = true)]
    pub until: Option<Stage>,
    /// Work on these shots only, and join no film.
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Make this part of a shot again: voice, picture, clip or render.
    #[arg(long, value_name = "ID:STAGE", value_delimiter = ',', value_parser = redo)]
    pub redo: Vec<StoryRedo>,
    /// Print what the run would take and cost, without making or writing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Most that this run may cost, in US dollars.
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = budget)]
    pub budget: Option<f64>,
    /// Join a film even if shots failed; a card of the same length replaces each.
    #[arg(long)]
    pub allow_missing: bool,
    /// Split the changed story again; shots that are found again keep their ids and your edits.
    #[arg(long)]
    pub resplit: bool,
    /// Have a provider of texts translate the prompts of the pictures into English, in the project file.
    #[arg(long)]
    pub english_prompts: bool,
    /// Stop after the storyboard, and again after the pictures, with a page that shows them.
    #[arg(long, conflicts_with_all = ["until", "dry_run", "only"])]
    pub review: bool,
    /// Replace files that `reel make` did not write.
    #[arg(long)]
    pub force: bool,
}

/// Who makes the storyboard of a new story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// Rules of punctuation and length, offline.
    Rules,
    /// A language model, which groups the sentences into shots and describes their pictures.
    Llm,
}

/// The shots that are made as clips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clips {
    /// No shot is made as a clip.
    None,
    /// Each shot that does not show a clip of the user's own.
    All,
    /// The shots with these ids. The others stay as they are.
    Shots(Vec<String>),
}

/// The last stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Stage {
    /// Only the project file.
    Storyboard,
    /// The voices.
    Voices,
    /// The pictures and the voices.
    Pictures,
    /// The clips and everything before them.
    Clips,
}

/// How one shot changes to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Transition {
    /// With a cut.
    Cut,
    /// One picture fades into the next.
    Dissolve,
}

/// Where subtitles are shown. The .srt file next to the film is always written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SubtitleForm {
    /// Drawn into the pictures.
    Burn,
    /// A track of the film, which a player shows or hides.
    Track,
    /// Only in the .srt file next to the film.
    Srt,
    /// Nowhere in the film.
    None,
}

impl Stage {
    /// Returns the stage in the daemon's protocol.
    pub const fn on_the_wire(self) -> StoryStage {
        match self {
            Self::Storyboard => StoryStage::Storyboard,
            Self::Voices => StoryStage::Voices,
            Self::Pictures => StoryStage::Pictures,
            Self::Clips => StoryStage::Clips,
        }
    }
}

impl Args {
    /// Returns the settings of the project file that the options set. The music is left out, because its path depends on where that file is.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        settings.extend(self.size.map(Setting::Size));
        settings.extend(self.style.clone().map(Setting::Style));
        settings.extend(self.language.clone().map(Setting::Language));
        settings.extend(self.transition.map(|transition| {
            Setting::Transition(match transition {
                Transition::Cut => project::Transition::Cut,
                Transition::Dissolve => project::Transition::Dissolve,
            })
        }));
        settings.extend(self.subtitles.map(|form| {
            Setting::Subtitles(match form {
                SubtitleForm::Burn => vec![Subtitles::Burn, Subtitles::Srt],
                SubtitleForm::Track => vec![Subtitles::Track, Subtitles::Srt],
                SubtitleForm::Srt => vec![Subtitles::Srt],
                SubtitleForm::None => Vec::new(),
            })
        }));
        settings.extend(self.title.clone().map(Setting::Title));
        settings.extend(self.end_card.clone().map(Setting::EndCard));
        settings.extend(self.chapter_titles.map(Setting::ChapterTitles));
        let narrator = self.voice.iter().map(|voice| ("narrator".to_owned(), voice.clone()));
        let voices = narrator.chain(self.speaker.iter().cloned());
        settings.extend(voices.map(|(speaker, voice)| Setting::Voice { speaker, voice }));
        settings
    }
}

fn speaker(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, voice)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), voice.trim().to_owned()))
        }
        _ => Err("a speaker is NAME=VOICE, such as giant=en-2".to_owned()),
    }
}

fn title(text: &str) -> Result<String, String> {
    let count = text.chars().count();
    if count <= MOST_TITLE_CHARACTERS {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{count} characters are too many to be read over a shot: use {MOST_TITLE_CHARACTERS} at most"
        ))
    }
}

fn takes(text: &str) -> Result<(String, u64), String> {
    let (id, count) = take(text).map_err(|_| "write ID=N, such as a3=4".to_owned())?;
    if (1..=MOST_TAKES).contains(&count) {
        Ok((id, count))
    } else {
        Err(format!("1 to {MOST_TAKES} takes of a shot are possible"))
    }
}

fn take(text: &str) -> Result<(String, u64), String> {
    let parsed = text.split_once('=').and_then(|(id, number)| {
        let (id, number) = (id.trim().to_owned(), number.trim().parse::<u32>().ok()?);
        (!id.is_empty()).then_some((id, u64::from(number)))
    });
    parsed.ok_or_else(|| "write ID=K, such as a3=2".to_owned())
}

fn clips(text: &str) -> Result<Clips, String> {
    match text.trim() {
        "none" => Ok(Clips::None),
        "all" => Ok(Clips::All),
        ids => {
            let ids: Vec<String> = ids.split(',').map(|id| id.trim().to_owned()).collect();
            if ids.iter().any(String::is_empty) {
                return Err("write none, all, or ids of shots such as a3,a4".to_owned());
            }
            Ok(Clips::Shots(ids))
        }
    }
}

fn redo(text: &str) -> Result<StoryRedo, String> {
    let stages = "write ID:voice, ID:picture, ID:clip or ID:render, such as a3:picture";
    let (id, stage) = text.split_once(':').ok_or(stages)?;
    let stage = match stage {
        "voice" => StoryPart::Voice,
        "picture" => StoryPart::Picture,
        "clip" => StoryPart::Clip,
        "render" => StoryPart::Render,
        _ => return Err(stages.to_owned()),
    };
    Ok(StoryRedo { id: id.to_owned(), stage })
}

fn budget(text: &str) -> Result<f64, String> {
    let amount = text.parse::<f64>().ok().filter(|amount| amount.is_finite() && *amount >= 0.0);
    amount.ok_or_else(|| "a budget is a number of US dollars, such as 2.50".to_owned())
}
