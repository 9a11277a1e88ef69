//! Checks the names of styles, voices and speakers that the options give, before anything is written or requested.

use std::{collections::BTreeSet, path::Path};

use reel_client::{DRAFT, Session};
use reel_protocol::{
    JsonText, SpeechParams, TaskSpec,
    methods::{Empty, ProviderVoices, ProviderVoicesParams, ServiceStatus, VoiceInfo},
};
use reel_story::{nearest, project::Project};

use super::{Args, args::Stage, storyboard::Storyboard};
use crate::{context::Context, dry_run, exit::Exit, failure::Failure, table};

/// The speaker of shots that name none.
const NARRATOR: &str = "narrator";

/// Fails if an option names a speaker that the project does not have, if a voice of the options or of the project file is not one of the provider's, or
/// if the style of the options is almost a known one. Warns about another unknown style.
pub async fn check(
    context: &Context,
    args: &Args,
    storyboard: &Storyboard,
    path: &Path,
) -> Result<(), Failure> {
    check_speakers(args, &storyboard.project, &storyboard.former_speakers())?;
    // Voices are checked where a run needs a daemon anyway.
    let is_asked = args.until != Some(Stage::Storyboard);
    let of_project = if is_asked { voices_of(&storyboard.project) } else { BTreeSet::new() };
    let has_options = args.style.is_some() || args.voice.is_some() || !args.speaker.is_empty();
    if !has_options && of_project.is_empty() {
        return Ok(());
    }
    // A storyboard can be written without a daemon. Whatever needs one reports the failure itself.
    let Ok(session) = context.session().await else { return Ok(()) };
    if let Some(style) = &args.style {
        let status = session.call::<ServiceStatus>(&Empty {}).await?;
        let styles = status.services.get("image").map_or(&[][..], |image| &image.styles);
        let known: Vec<&str> = styles.iter().map(|style| style.name.as_str()).collect();
        if let Some(words) = check_style(style, &known)? {
            context.output.warn(&words);
        }
    }
    let voices: Vec<&str> =
        args.voice.iter().chain(args.speaker.iter().map(|(_, voice)| voice)).map(String::as_str).collect();
    if voices.is_empty() && of_project.is_empty() {
        return Ok(());
    }
    let (_, known) = known_voices(&session, storyboard.language()).await?;
    check_voices(&voices, &known)?;
    let of_project: Vec<&str> = of_project.into_iter().collect();
    check_voices(&of_project, &known).map_err(|failure| {
        let message = format!("{}: {}", table::path(path), failure.error.message);
        Failure::new(Exit::BadData, "bad_data", message)
            .hint("reel providers voices lists them; change the voice in [voices] or [[characters]]")
    })
}

/// Returns the voices that the project names for what is spoken.
fn voices_of(project: &Project) -> BTreeSet<&str> {
    let spoken = project.shots.iter().filter(|shot| shot.voice_file.is_empty() && shot.is_spoken());
    spoken.filter_map(|shot| project.voice_name(shot)).collect()
}

/// Returns the provider that will speak this language, and its voices. Both are empty if there is no provider, and the list is empty if it is not
/// complete.
pub async fn known_voices(
    session: &Session,
    language: Option<&str>,
) -> Result<(String, Vec<VoiceInfo>), Failure> {
    let none = || (String::new(), Vec::new());
    let params = SpeechParams { language: language.map(str::to_owned), ..SpeechParams::new("a voice") };
    let params = JsonText::from_value(&params)
        .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
    let spec = TaskSpec { kind: "voice.speak".to_owned(), params, ..TaskSpec::default() };
    let Ok(plan) = dry_run::ask(session, &spec).await else { return Ok(none()) };
    let Some(name) = plan.provider.filter(|name| name != DRAFT) else { return Ok(none()) };
    let params = ProviderVoicesParams { name: Some(name.clone()) };
    // A provider that cannot list its voices may be able to speak nevertheless.
    let Ok(found) = session.call::<ProviderVoices>(&params).await else { return Ok(none()) };
    // A note says that the list is missing or may be incomplete.
    let complete = found.providers.into_iter().filter(|provider| provider.note.is_none());
    Ok((name, complete.flat_map(|provider| provider.voices).collect()))
}

/// Returns the warning about a style that `reel styles` does not list; None if it lists the style. Fails if it is almost a style of the list, because
/// all pictures would be made for a typing error.
fn check_style(style: &str, known: &[&str]) -> Result<Option<String>, Failure> {
    if style.is_empty() || known.is_empty() || known.contains(&style) {
        return Ok(None);
    }
    match nearest(style, known.iter().copied()) {
        Some(near) => Err(Failure::usage(format!("there is no style {style}; did you mean {near}?"))
            .hint("reel styles lists them; style in [video] of the project file takes any other name")),
        None => Ok(Some(format!("{style} is not one of `reel styles`; the provider gets it unchanged"))),
    }
}

/// Fails if one of the voices is not known. An empty list of known voices says nothing.
fn check_voices(voices: &[&str], known: &[VoiceInfo]) -> Result<(), Failure> {
    if known.is_empty() {
        return Ok(());
    }
    for voice in voices.iter().filter(|voice| !voice.is_empty()) {
        // The name of a variant, such as `en-us+f3`, begins with the name of the voice.
        let base = voice.split('+').next().unwrap_or(voice);
        let names =
            || known.iter().flat_map(|voice| [Some(voice.id.as_str()), voice.name.as_deref()]).flatten();
        if names().any(|name| name.eq_ignore_ascii_case(base)) {
            continue;
        }
        let near = nearest(base, names()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(Failure::usage(format!("there is no voice {voice}{near}"))
            .hint("reel providers voices lists them"));
    }
    Ok(())
}

/// Fails if `--speaker` names nobody who speaks in the project.
fn check_speakers(args: &Args, project: &Project, former: &[String]) -> Result<(), Failure> {
    let characters = project.characters.iter().map(|character| character.id.as_str());
    let of_shots = project.shots.iter().map(|shot| shot.speaker.as_str()).filter(|name| !name.is_empty());
    let former = former.iter().map(String::as_str);
    let known: BTreeSet<&str> = characters.chain(of_shots).chain(former).chain([NARRATOR]).collect();
    for (name, _) in &args.speaker {
        if !known.contains(name.as_str()) {
            let known: Vec<&str> = known.into_iter().collect();
            return Err(Failure::usage(format!(
                "no speaker of the project is called {name}; the speakers are {}",
                known.join(", ")
            ))
            .hint("a speaker is an entry of [voices] or [[characters]] in the project file"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_style_is_named_with_the_nearest_known_one() {
        let known = ["cinematic", "anime"];
        assert_eq!(check_style("anime", &known).unwrap(), None);
        let refused = check_style("cinematc", &known).unwrap_err();
        assert_eq!(refused.error.message, "there is no style cinematc; did you mean cinematic?");
        let words = check_style("oil on old wood", &known).unwrap().unwrap();
        assert!(words.contains("the provider gets it unchanged"), "{words}");
    }

    #[test]
    fn a_voice_is_known_by_its_id_or_its_name_and_may_have_a_variant() {
        let voice = |id: &str, name: &str| VoiceInfo {
            id: id.to_owned(),
            name: Some(name.to_owned()),
            ..VoiceInfo::default()
        };
        let known = [voice("en-us", "English (America)"), voice("de", "German")];
        for fine in ["en-us", "EN-US", "en-us+f3", "german", ""] {
            assert!(check_voices(&[fine], &known).is_ok(), "{fine}");
        }
        let refused = check_voices(&["de", "germen"], &known).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert_eq!(refused.error.message, "there is no voice germen; did you mean German?");
        assert!(check_voices(&["anything"], &[]).is_ok(), "no list is known");
    }
}
