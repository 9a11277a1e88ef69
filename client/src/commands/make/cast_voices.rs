//! Chooses a voice for each character who speaks in a new storyboard, so that the listener can tell them apart. Pure, but for asking for the voices.

use std::collections::{BTreeMap, BTreeSet};

use reel_client::Session;
use reel_protocol::methods::VoiceInfo;
use reel_story::project::{NARRATOR, Project, Shot};

use super::{Args, names::known_voices};
use crate::failure::Failure;

/// The embedded provider of voices. Each of its voices has variants, which are named behind a plus sign and are not listed.
const ESPEAK: &str = "espeak-ng";
/// Variants of its voices that are easy to understand, by gender.
const VARIANTS: [(&str, &[&str]); 2] = [("female", &["f3", "f2", "f4"]), ("male", &["m3", "m7", "m2"])];
/// The voices that espeak-ng uses by itself, of those languages for which it has several.
const USUAL_VOICES: [&str; 2] = ["en-us", "cmn-latn-pinyin"];
/// The language of voices if that of the story is not known: the one that providers speak by themselves.
const USUAL_LANGUAGE: &str = "en";

/// Chooses voices for the characters who speak and have none, and sets them in the project. Returns each chosen voice with its character's id.
pub async fn choose(
    session: &Session,
    args: &Args,
    project: &mut Project,
    genders: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Failure> {
    let given: BTreeSet<&str> = args.speaker.iter().map(|(speaker, _)| speaker.as_str()).collect();
    let speakers: Vec<String> =
        speakers(project).into_iter().filter(|id| !given.contains(id.as_str())).collect();
    if speakers.is_empty() {
        return Ok(Vec::new());
    }
    let language = language(args, project);
    let (provider, mut voices) = known_voices(session, language.as_deref()).await?;
    voices.retain(|voice| speaks(voice, language.as_deref()));
    if provider == ESPEAK {
        voices = with_variants(&voices, args.voice.as_deref());
    }
    let of_others = project.characters.iter().map(|one| &one.voice).chain(project.voices.values());
    let of_others: Vec<String> = of_others.filter(|voice| !voice.is_empty()).cloned().collect();
    let mut taken: Vec<&str> = args.speaker.iter().map(|(_, voice)| voice.as_str()).collect();
    taken.extend(of_others.iter().map(String::as_str));
    // Without a voice of its own, the narrator has the first one of the list.
    taken.extend(args.voice.as_deref().or(voices.first().map(|voice| voice.id.as_str())));
    let chosen = distinct(&speakers, genders, &voices, &taken);
    for (id, voice) in &chosen {
        if let Some(character) = project.characters.iter_mut().find(|one| one.id == *id) {
            character.voice.clone_from(voice);
        }
    }
    Ok(chosen)
}

/// Returns the ids of the characters who speak and have no voice, in the order in which they begin to speak.
fn speakers(project: &Project) -> Vec<String> {
    let mut speakers: Vec<String> = Vec::new();
    for shot in project.shots.iter().filter(|shot| shot.speaker != NARRATOR) {
        let is_known = project.characters.iter().any(|one| one.id == shot.speaker && one.voice.is_empty());
        if is_known && !speakers.contains(&shot.speaker) {
            speakers.push(shot.speaker.clone());
        }
    }
    speakers
}

fn language(args: &Args, project: &Project) -> Option<String> {
    let of_project = Some(&project.video.language).filter(|language| !language.is_empty());
    args.language.as_ref().or(of_project).cloned().or_else(|| {
        let narrations: Vec<&str> = project.shots.iter().map(Shot::narration).collect();
        reel_story::language(&narrations.join("\n")).map(str::to_owned)
    })
}

/// Whether a voice speaks a language. A voice without a language speaks all.
fn speaks(voice: &VoiceInfo, language: Option<&str>) -> bool {
    let primary = |tag: &str| tag.split('-').next().unwrap_or(tag).to_lowercase();
    let wanted = primary(language.unwrap_or(USUAL_LANGUAGE));
    // espeak-ng calls Mandarin `cmn`. Its first voice of it reads tones as numbers.
    let is_mandarin = wanted == "zh" && voice.language.as_deref() == Some("cmn-latn-pinyin");
    voice.language.as_ref().is_none_or(|tag| primary(tag) == wanted || is_mandarin)
}

/// Returns the voice of the narrator, its variants, and the other voices. Those of another country differ less than the variants. Without a `narrator`,
/// it is the voice that the provider itself uses.
fn with_variants(voices: &[VoiceInfo], narrator: Option<&str>) -> Vec<VoiceInfo> {
    let base = narrator.map(|voice| voice.split('+').next().unwrap_or(voice));
    let is_usual =
        |voice: &&VoiceInfo| base.map_or(USUAL_VOICES.contains(&voice.id.as_str()), |base| voice.id == base);
    let Some(first) = voices.iter().find(is_usual).or(voices.first()) else { return Vec::new() };
    let variant = |gender: &str, variant: &str| VoiceInfo {
        id: format!("{}+{variant}", first.id),
        gender: Some(gender.to_owned()),
        ..first.clone()
    };
    let variants =
        VARIANTS.iter().flat_map(|(gender, names)| names.iter().map(move |name| variant(gender, name)));
    let others = voices.iter().filter(|voice| voice.id != first.id).cloned();
    [first.clone()].into_iter().chain(variants).chain(others).collect()
}

/// Gives each speaker another voice that is not taken: one of the right gender if there is any, else one whose gender is not known, else any. Speakers for
/// whom no voice is left are left out, and have the narrator's.
fn distinct(
    speakers: &[String],
    genders: &BTreeMap<String, String>,
    voices: &[VoiceInfo],
    taken: &[&str],
) -> Vec<(String, String)> {
    let mut free: Vec<&VoiceInfo> =
        voices.iter().filter(|voice| !taken.contains(&voice.id.as_str())).collect();
    let mut chosen = Vec::new();
    for id in speakers {
        let wanted = genders.get(id);
        let rank = |voice: &VoiceInfo| match (wanted, &voice.gender) {
            (Some(wanted), Some(gender)) if wanted == gender => 0,
            (_, None) | (None, _) => 1,
            _ => 2,
        };
        let Some(best) = (0..free.len()).min_by_key(|index| free.get(*index).map(|voice| rank(voice))) else {
            break;
        };
        chosen.push((id.clone(), free.remove(best).id.clone()));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(id: &str, language: Option<&str>, gender: Option<&str>) -> VoiceInfo {
        VoiceInfo {
            id: id.to_owned(),
            language: language.map(str::to_owned),
            gender: gender.map(str::to_owned),
            name: None,
        }
    }

    #[test]
    fn each_speaker_gets_another_voice_of_the_right_gender() {
        let voices = [
            voice("a", None, Some("male")),
            voice("b", None, Some("male")),
            voice("c", None, Some("female")),
            voice("d", None, None),
        ];
        let ids = ["girl", "man", "queen", "dog", "cat"].map(str::to_owned);
        let genders = [("girl", "female"), ("man", "male"), ("queen", "female")];
        let genders = genders.map(|(id, gender)| (id.to_owned(), gender.to_owned())).into();
        let chosen = distinct(&ids, &genders, &voices, &["a"]);
        let chosen: Vec<_> = chosen.iter().map(|(id, voice)| (id.as_str(), voice.as_str())).collect();
        assert_eq!(chosen, [("girl", "c"), ("man", "b"), ("queen", "d")]);
        assert!(distinct(&ids, &genders, &[], &[]).is_empty());
    }

    #[test]
    fn only_voices_of_the_language_are_chosen() {
        for (tag, language, expected) in [
            (Some("en-us"), None, true),
            (Some("de"), None, false),
            (Some("de"), Some("de-AT"), true),
            (Some("cmn"), Some("zh"), false),
            (Some("cmn-latn-pinyin"), Some("zh"), true),
            (None, Some("fi"), true),
        ] {
            assert_eq!(speaks(&voice("x", tag, None), language), expected, "{tag:?} {language:?}");
        }
    }

    #[test]
    fn the_narrators_voice_has_variants() {
        let voices = [voice("en-029", None, None), voice("en-us", None, None), voice("en-gb", None, None)];
        for (narrator, base, last) in
            [(None, "en-us", "en-gb"), (Some("en-gb+m1"), "en-gb", "en-us"), (Some("xx"), "en-029", "en-gb")]
        {
            let found = with_variants(&voices, narrator);
            let ids: Vec<&str> = found.iter().map(|voice| voice.id.as_str()).collect();
            assert_eq!(ids[0], base);
            assert_eq!((ids[1], ids.len()), (format!("{base}+f3").as_str(), 9));
            assert_eq!(*ids.last().unwrap(), last);
        }
    }
}
