//! Parses the list of voices that a program prints, and chooses a voice for a language. Pure.

use std::collections::BTreeMap;

use crate::nearest::nearest;

/// The format of a list of voices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceFormat {
    /// The table that `espeak-ng --voices` prints.
    EspeakNg,
    /// The table that `edge-tts --list-voices` prints.
    EdgeTts,
}

impl VoiceFormat {
    /// Returns the format of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "espeak-ng" => Some(Self::EspeakNg),
            "edge-tts" => Some(Self::EdgeTts),
            _ => None,
        }
    }

    /// Parses a list. Lines that describe no voice are left out.
    pub fn parse(self, list: &str) -> Vec<Voice> {
        let parse_line = match self {
            Self::EspeakNg => espeak_line,
            Self::EdgeTts => edge_line,
        };
        let mut voices: Vec<Voice> = Vec::new();
        for mut voice in list.lines().filter_map(parse_line) {
            // Several voices of espeak-ng may share a language. Each but the first is named by its file.
            if voices.iter().any(|other| other.id == voice.id) {
                voice.id.clone_from(&voice.other_id);
            }
            voices.push(voice);
        }
        voices
    }
}

/// One voice that a program lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    /// The name by which the program accepts the voice.
    pub id: String,
    /// The `id` if an earlier voice of the list has the first one.
    other_id: String,
    /// The language, as a lower-case BCP 47 tag.
    pub language: String,
    /// `male` or `female`; `None` if the list says neither.
    pub gender: Option<&'static str>,
    /// The name that people read.
    pub name: String,
    /// The rank of the voice for its own language, and for others that it speaks. Lower is better.
    ranks: Vec<(String, u32)>,
}

/// Parses a line of the form `Pty Language Age/Gender VoiceName File Other-Languages`, such as
/// ` 5  cmn  --/M  Chinese_(Mandarin)  sit/cmn  (zh-cmn 5)(zh 5)`.
fn espeak_line(line: &str) -> Option<Voice> {
    let mut fields = line.split_ascii_whitespace();
    let rank = fields.next()?.parse().ok()?;
    let language = fields.next()?.to_lowercase();
    let gender = gender(fields.next()?.rsplit('/').next()?);
    let (name, file) = (fields.next()?.replace('_', " "), fields.next()?);
    let others = fields.collect::<Vec<_>>().join(" ");
    let mut ranks = vec![(language.clone(), rank)];
    for other in others.split(['(', ')']) {
        if let Some((tag, rank)) =
            other.split_once(' ').and_then(|(tag, rank)| Some((tag, rank.parse().ok()?)))
        {
            ranks.push((tag.to_lowercase(), rank));
        }
    }
    Some(Voice { id: language.clone(), other_id: file.to_owned(), language, gender, name, ranks })
}

/// Parses a line of the form `Name Gender …`, such as `zh-CN-XiaoxiaoNeural  Female  News, Novel  Warm`.
fn edge_line(line: &str) -> Option<Voice> {
    let mut fields = line.split_ascii_whitespace();
    let id = fields.next()?;
    let gender = gender(fields.next()?);
    let (language, name) = id.rsplit_once('-').filter(|_| id.ends_with("Neural"))?;
    let language = language.to_lowercase();
    let ranks = vec![(language.clone(), 5)];
    let name = name.trim_end_matches("Neural").to_owned();
    Some(Voice { id: id.to_owned(), other_id: id.to_owned(), language, gender, name, ranks })
}

fn gender(field: &str) -> Option<&'static str> {
    match field {
        "M" | "Male" => Some("male"),
        "F" | "Female" => Some("female"),
        _ => None,
    }
}

/// Why no voice was found for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVoice {
    /// No voice has that name.
    #[error("there is no voice {name}{}", nearest.as_ref().map_or_else(String::new, |near| format!("; did you mean {near}?")))]
    Unknown {
        /// The name in the request.
        name: String,
        /// The name of the voice that is most similar to the mistyped one.
        nearest: Option<String>,
    },
    /// No voice speaks that language.
    #[error("there is no voice for the language {0}")]
    Language(String),
}

/// Returns the voice of that name, as the program accepts it. In a variant such as `en-us+f3` the name of the voice is before the plus sign.
pub fn named(voices: &[Voice], name: &str) -> Result<String, NoVoice> {
    let (base, variant) = name.split_at(name.find('+').unwrap_or(name.len()));
    let is_it = |voice: &&Voice| {
        voice.id.eq_ignore_ascii_case(base)
            || voice.other_id.eq_ignore_ascii_case(base)
            || voice.name.eq_ignore_ascii_case(base)
    };
    if let Some(voice) = voices.iter().find(is_it) {
        return Ok(format!("{}{variant}", voice.id));
    }
    let names = voices.iter().flat_map(|voice| [voice.id.as_str(), voice.name.as_str()]);
    Err(NoVoice::Unknown { name: name.to_owned(), nearest: nearest(base, names).map(str::to_owned) })
}

/// Returns the voice for a language. It tries the tag, then shorter beginnings of the tag; for each, a voice of `preferred` takes precedence over
/// the best one of the list.
pub fn for_language(
    voices: &[Voice],
    preferred: &BTreeMap<String, String>,
    language: &str,
) -> Result<String, NoVoice> {
    let tag = language.to_lowercase().replace('_', "-");
    for tag in std::iter::successors(Some(tag.as_str()), shorter_tag) {
        if let Some(voice) = preferred.get(tag) {
            return Ok(voice.clone());
        }
        let rank = |voice: &Voice| voice.ranks.iter().find(|(known, _)| known == tag).map(|(_, rank)| *rank);
        let best =
            voices.iter().filter_map(|voice| Some((rank(voice)?, voice))).min_by_key(|(rank, _)| *rank);
        if let Some((_, voice)) = best {
            return Ok(voice.id.clone());
        }
    }
    // The list may have only `en-GB` and `en-US` where the request says `en`.
    let primary = tag.split('-').next().unwrap_or_default();
    let speaks = |voice: &&Voice| voice.language.split('-').next() == Some(primary);
    let found = voices.iter().filter(speaks).min_by_key(|voice| voice.ranks.first().map(|(_, rank)| *rank));
    found.map(|voice| voice.id.clone()).ok_or_else(|| NoVoice::Language(language.to_owned()))
}

/// Returns a language tag without its last part: `zh-Hans` of `zh-Hans-CN`.
fn shorter_tag<'a>(tag: &&'a str) -> Option<&'a str> {
    tag.rsplit_once('-').map(|(start, _)| start)
}

#[cfg(test)]
#[path = "voices_tests.rs"]
mod tests;
