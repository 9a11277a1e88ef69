//! The params of `story.storyboard`, and the report that its outputs contain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Cost;

/// The params of `story.storyboard`. Unknown fields are `invalid_params`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoryboardParams {
    /// The story, at most 512 KiB of plain text. Either this or `theme`; both or neither are `invalid_params`.
    #[serde(default)]
    pub text: Option<String>,
    /// What the story shall be about, at most 8 KiB. The model then writes the story first.
    #[serde(default)]
    pub theme: Option<String>,
    /// The language of the story as a BCP 47 tag; if absent, it is detected by the letters of the text.
    #[serde(default)]
    pub language: Option<String>,
    /// About how many shots are wanted, 1 to 2,000; the model decides if absent.
    #[serde(default)]
    pub shots: Option<u32>,
    /// The style of the pictures, which is written into the project; `cinematic` if absent.
    #[serde(default)]
    pub style: Option<String>,
    /// Characters whose looks are given; none if absent, at most 40. The model adds others.
    #[serde(default)]
    pub characters: Vec<StoryCharacter>,
    /// Places whose looks are given; none if absent, at most 40. The model adds others.
    #[serde(default)]
    pub places: Vec<StoryPlace>,
    /// The name of the provider of texts; if absent, it is chosen as for `text.chat`.
    #[serde(default)]
    pub provider: Option<String>,
    /// Most US dollars that the requests to the model may cost together, 0 to 1,000,000; no limit if absent. With a limit, a request without a known
    /// price fails with `over_budget`.
    #[serde(default)]
    pub budget_usd: Option<f64>,
}

impl StoryboardParams {
    /// The error code of a storyboard whose story has no text to speak.
    pub const NO_STORY: &str = "no_story";
}

/// A character of a story that the client knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoryCharacter {
    /// The id: 1 to 32 of the characters a-z, 0-9 and -.
    pub id: String,
    /// The name in the story; empty if absent.
    #[serde(default)]
    pub name: String,
    /// The appearance, as words of a prompt; empty if absent.
    #[serde(default)]
    pub look: String,
}

/// A place of a story that the client knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StoryPlace {
    /// The id: 1 to 32 of the characters a-z, 0-9 and -. No character has it.
    pub id: String,
    /// The appearance, as words of a prompt; empty if absent.
    #[serde(default)]
    pub look: String,
}

/// The report of `story.storyboard`, its second output. Later versions may have more fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoryboardReport {
    /// The parts of the story, in the order in which they were asked for. A part whose answer was cut is followed by its halves.
    pub chunks: Vec<StoryboardChunk>,
    /// Why characters and places of a part of the story are missing; empty if none are.
    pub cast_errors: Vec<String>,
    /// Whether the voice of a character is `male` or `female`, by the character's id, as far as the model said it.
    #[serde(default)]
    pub genders: BTreeMap<String, String>,
    /// The provider that answered most of the requests; null if none did.
    pub provider: Option<String>,
    /// The cost of all requests that were made now; null if the cost of one is unknown.
    pub cost: Option<Cost>,
}

/// How the shots of a part of a story were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoryboardChunk {
    /// The number of its first sentence, from 1.
    pub from: u64,
    /// The number of its last sentence.
    pub to: u64,
    /// How many requests it took.
    pub requests: u64,
    /// Whether its shots were made by rule, because no answer was usable.
    pub is_by_rule: bool,
    /// What was wrong with the answers; empty if nothing was.
    pub errors: Vec<String>,
}
