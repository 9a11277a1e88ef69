//! The storyboard of a story by a language model.
//!
//! The model never returns the text of the story. Its sentences are numbered, and the model groups the numbers into shots and describes a picture
//! for each. So whatever it answers, no character of the story is lost or changed.
//!
//! [`Director::next`] is a pure function of the answers so far: it returns the next request, or the storyboard. `cast` asks for characters and places in
//! windows of the story, `chunk` for the shots of at most 60 sentences at a time. An answer with errors is returned to the model with their list, a
//! cut one is asked for in halves, and what still fails is divided by the rules of `split`. The number of requests has a bound.

mod board;
mod cast;
mod check;
mod conversation;
mod numbered;
mod parse;
mod prompts;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, ops::Range};

use self::{
    board::Board,
    cast::Cast,
    conversation::{Conversation, Stop},
    numbered::Numbered,
    parse::NoObject,
};
use crate::{
    SplitStory,
    project::{Character, Place},
    split,
};

pub use self::{
    board::{ChunkReport, Storyboard},
    cast::Gender,
    conversation::{Answer, Message, Request},
};

/// Most sentences in one request for shots. With more, models lose count.
const CHUNK: usize = 60;
/// A chunk of at most this many sentences is not divided further when its answer is cut.
const SMALLEST_CHUNK: usize = 8;
/// Most characters of the story in one request for characters and places.
const WINDOW: usize = 30_000;
/// Number of times that the same is asked for: once, and twice with the errors of the answer before.
const ATTEMPTS: usize = 3;
/// Pictures of earlier shots that a request for shots repeats.
const SHOTS_BEFORE: usize = 2;
/// Longest note from one request to the next, in characters.
const LONGEST_CARRY: usize = 600;
/// Longest answer that is returned to the model with its errors, in characters.
const LONGEST_QUOTED: usize = 12_000;

/// What the storyboard is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The whole text of a story.
    Text(String),
    /// A theme, about which the model first writes the story.
    Theme(String),
}

/// The task of making a storyboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Director {
    /// What it is made of.
    pub source: Source,
    /// The language of the story as a BCP 47 tag, if it is known.
    pub language: Option<String>,
    /// About how many shots are wanted. None leaves it to the model.
    pub shots: Option<u32>,
    /// Characters whose looks are given. The model may add others.
    pub characters: Vec<Character>,
    /// Places whose looks are given. The model may add others.
    pub places: Vec<Place>,
}

/// Where the work stands after the answers so far.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// This must be asked next.
    Request(Box<Request>),
    /// The request with this name failed for a reason that another request would meet too, so the work ends here.
    Failed(String),
    /// The story has no text to speak. The field says why.
    NoStory(String),
    /// The storyboard is complete.
    Done(Box<Storyboard>),
}

/// Why an answer of the model cannot be used.
enum Flaw {
    /// The answer ends in the middle.
    Cut,
    /// The answer has these errors.
    Errors(Vec<String>),
}

impl Director {
    /// Returns what comes after the answers so far. `answer` returns the answer to the request with that name; None if it was not asked yet. Equal answers
    /// always lead to the same next request.
    pub fn next(&self, answer: &dyn Fn(&str) -> Option<Answer>) -> Next {
        let mut conversation = Conversation::new(answer);
        match self.direct(&mut conversation) {
            Ok(Ok(storyboard)) => Next::Done(Box::new(storyboard)),
            Ok(Err(why)) => Next::NoStory(why),
            Err(Stop::Request(request)) => Next::Request(request),
            Err(Stop::Failed(name)) => Next::Failed(name),
        }
    }

    /// Returns how many requests are expected, if each is answered well. The story about a theme is not known yet, so it counts as a short one.
    pub fn expected_requests(&self) -> usize {
        match &self.source {
            Source::Theme(_) => 3,
            Source::Text(_) => self.planned_requests().len(),
        }
    }

    /// Returns the requests that can be known before the model has answered: one for each part of the story, without the characters and places that
    /// the model will name. For a theme, it is only the request for the story.
    pub fn planned_requests(&self) -> Vec<Request> {
        let mut planned = Vec::new();
        let mut refused = BTreeSet::new();
        loop {
            let next = self.next(&|name| refused.contains(name).then(|| Answer::Refused(String::new())));
            let Next::Request(request) = next else { return planned };
            refused.insert(request.name.clone());
            // Without a schema it is the same request again.
            if request.schema.is_some() || matches!(self.source, Source::Theme(_)) {
                planned.push(*request);
            }
        }
    }

    fn direct(&self, conversation: &mut Conversation<'_>) -> Result<Result<Storyboard, String>, Stop> {
        let (text, written) = match &self.source {
            Source::Text(text) => (text.clone(), None),
            Source::Theme(theme) => match self.written(conversation, theme)? {
                Ok(story) => (story.clone(), Some(story)),
                Err(why) => return Ok(Err(why)),
            },
        };
        let story: SplitStory = match split(&text, self.language.as_deref()) {
            Ok(story) => story,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let numbered = Numbered::of(&story, self.language.as_deref());
        let mut board = Board::new(Cast::given(&self.characters, &self.places), written);
        Self::cast(conversation, &numbered, &mut board)?;
        for (number, chunk) in (1..).zip(numbered.windows(CHUNK, |_| 1)) {
            self.chunk(conversation, &numbered, &mut board, &format!("shots/{number}"), chunk)?;
        }
        Ok(Ok(board.finished(&numbered)))
    }

    /// Returns the story that the model wrote. The inner error says why there is none.
    fn written(
        &self,
        conversation: &mut Conversation<'_>,
        theme: &str,
    ) -> Result<Result<String, String>, Stop> {
        let request = prompts::story_request(theme, self.language.as_deref(), self.shots);
        let answer = conversation.ask_for_text("story", prompts::STORY, &request)?;
        Ok(answer.map(|answer| parse::without_thoughts(&answer).trim().to_owned()).and_then(|story| {
            if story.is_empty() { Err("the model wrote no story".to_owned()) } else { Ok(story) }
        }))
    }

    /// Asks for the characters and places in windows of the story. A window without a usable answer adds none.
    fn cast(conversation: &mut Conversation<'_>, numbered: &Numbered, board: &mut Board) -> Result<(), Stop> {
        let windows = numbered.windows(WINDOW, |sentence| sentence.chars().count());
        for (number, window) in (1..).zip(windows) {
            let request = prompts::cast_request(&board.cast, &numbered.listing(window));
            let name = format!("cast/{number}");
            let mut read = |answer: &str| match parse::object(answer, "characters") {
                Ok(object) => Ok(object),
                Err(why) => Err(no_object(why)),
            };
            let asked = Self::asked(
                conversation,
                &name,
                (prompts::CAST, &request),
                &prompts::cast_schema(),
                false,
                &mut read,
            )?;
            match asked.found {
                Some(found) => board.cast.add(&found, "characters", "places"),
                None => board.report.cast_errors.extend(asked.errors.last().cloned()),
            }
        }
        Ok(())
    }

    /// Asks for the shots of a chunk. If its answer is cut, it is asked for in halves. If it cannot be had, the chunk is divided by rule.
    fn chunk(
        &self,
        conversation: &mut Conversation<'_>,
        numbered: &Numbered,
        board: &mut Board,
        name: &str,
        chunk: Range<usize>,
    ) -> Result<(), Stop> {
        let wanted = self.shots.map(|shots| (shots as usize * chunk.len()).div_ceil(numbered.len().max(1)));
        let request = prompts::shots_request(
            &board.cast,
            &board.last_pictures(SHOTS_BEFORE),
            &board.carry,
            wanted,
            &numbered.listing(chunk.clone()),
        );
        let is_divisible = chunk.len() > SMALLEST_CHUNK;
        let mut read = |answer: &str| {
            let object = parse::object(answer, "shots").map_err(no_object)?;
            let mut cast = board.cast.clone();
            cast.add(&object, "new_characters", "new_places");
            let shots = check::shots(&object, &cast, numbered, chunk.clone()).map_err(Flaw::Errors)?;
            Ok((shots, cast, cast::clipped(&cast::text(&object, "carry"), LONGEST_CARRY)))
        };
        let asked = Self::asked(
            conversation,
            name,
            (prompts::SHOTS, &request),
            &prompts::shots_schema(),
            is_divisible,
            &mut read,
        )?;
        let report = ChunkReport {
            from: chunk.start + 1,
            to: chunk.end,
            requests: asked.requests,
            is_by_rule: asked.found.is_none() && !asked.is_cut,
            errors: asked.errors,
        };
        match asked.found {
            Some((shots, cast, carry)) => {
                (board.cast, board.carry) = (cast, carry);
                board.add(numbered, shots);
            }
            None if asked.is_cut => {
                board.report.chunks.push(report);
                let middle = usize::midpoint(chunk.start, chunk.end);
                self.chunk(conversation, numbered, board, &format!("{name}a"), chunk.start..middle)?;
                return self.chunk(conversation, numbered, board, &format!("{name}b"), middle..chunk.end);
            }
            None => {
                board.carry.clear();
                board.add_by_rule(numbered, chunk);
            }
        }
        board.report.chunks.push(report);
        Ok(())
    }

    /// Asks until `read` finds what is wanted, at most [`ATTEMPTS`] times. Each time after the first, the model is told the errors of its answer.
    fn asked<T>(
        conversation: &mut Conversation<'_>,
        name: &str,
        (system, request): (&str, &str),
        schema: &serde_json::Value,
        stops_when_cut: bool,
        read: &mut dyn FnMut(&str) -> Result<T, Flaw>,
    ) -> Result<Asked<T>, Stop> {
        let mut asked = Asked { found: None, is_cut: false, requests: 0, errors: Vec::new() };
        let mut messages = vec![Message::User(request.to_owned())];
        for attempt in 0..ATTEMPTS as u32 {
            let name = if attempt == 0 { name.to_owned() } else { format!("{name}/repair/{attempt}") };
            asked.requests += 1;
            let answer = match conversation.ask(&name, system, &messages, schema, attempt)? {
                Ok(answer) => answer,
                Err(why) => {
                    asked.errors.push(why);
                    return Ok(asked);
                }
            };
            let errors = match read(&answer) {
                Ok(found) => {
                    asked.found = Some(found);
                    return Ok(asked);
                }
                Err(Flaw::Cut) if stops_when_cut => {
                    asked.errors.push("the answer was cut".to_owned());
                    asked.is_cut = true;
                    return Ok(asked);
                }
                Err(Flaw::Cut) => {
                    vec!["it ends in the middle; answer shorter, with fewer words for each shot".to_owned()]
                }
                Err(Flaw::Errors(errors)) => errors,
            };
            let quoted = cast::clipped(parse::without_thoughts(&answer).trim(), LONGEST_QUOTED);
            let repair = prompts::repair_request(&errors);
            messages = if quoted.is_empty() {
                // Some services refuse an empty message.
                vec![Message::User(format!("{request}\n\n{repair}"))]
            } else {
                let first = Message::User(request.to_owned());
                vec![first, Message::Assistant(quoted), Message::User(repair)]
            };
            asked.errors.extend(errors);
        }
        Ok(asked)
    }
}

/// What came of asking for one thing.
struct Asked<T> {
    /// None if no answer was usable.
    found: Option<T>,
    /// Whether the last answer was cut, and the thing can be asked for in parts.
    is_cut: bool,
    requests: usize,
    errors: Vec<String>,
}

fn no_object(why: NoObject) -> Flaw {
    match why {
        NoObject::Cut => Flaw::Cut,
        NoObject::Missing => {
            Flaw::Errors(vec!["it has no JSON object with the fields that were asked for".to_owned()])
        }
    }
}
