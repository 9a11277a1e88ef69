//! Checks whether the parts that `--redo` names will be made. Pure.

use reel_protocol::{StoryPart, StoryRedo};
use reel_story::project::{Project, Shot};

use super::args::{Args, Stage};
use crate::failure::Failure;

/// Fails if `--redo` names a part that this run would not make. Otherwise the option would be ignored silently.
pub fn check(args: &Args, project: &Project) -> Result<(), Failure> {
    for redo in &args.redo {
        let Some(shot) = project.shots.iter().find(|shot| shot.id == redo.id) else { continue };
        if let Some(why) = why_not(redo, shot, args.until, &args.only) {
            return Err(Failure::usage(format!("--redo {}:{}: {why}", redo.id, word(redo.stage))));
        }
    }
    Ok(())
}

/// Returns why a part of a shot is not made; None if it is.
fn why_not(redo: &StoryRedo, shot: &Shot, until: Option<Stage>, only: &[String]) -> Option<&'static str> {
    let own = "it is a file of your own";
    let is_early = |stages: &[Stage]| until.is_some_and(|until| stages.contains(&until));
    if !only.is_empty() && !only.contains(&shot.id) {
        return Some("--only leaves the shot out");
    }
    match redo.stage {
        _ if is_early(&[Stage::Storyboard]) => Some("--until stops before it"),
        StoryPart::Voice if !shot.voice_file.is_empty() => Some(own),
        StoryPart::Voice if !shot.is_spoken() => Some("the shot is silent"),
        StoryPart::Picture if !shot.picture_file.is_empty() => Some(own),
        StoryPart::Picture if !shot.clip_file.is_empty() => Some("the shot shows a clip of your own"),
        StoryPart::Picture if is_early(&[Stage::Voices]) => Some("--until stops before it"),
        StoryPart::Clip if !shot.clip_file.is_empty() => Some(own),
        StoryPart::Clip if !shot.clip => {
            Some("the shot has no clip: clip = true in the project file gives it one")
        }
        StoryPart::Clip if is_early(&[Stage::Voices, Stage::Pictures]) => Some("--until stops before it"),
        StoryPart::Render if until.is_some() => Some("--until stops before it"),
        StoryPart::Render if !only.is_empty() => Some("with --only, no film is rendered"),
        _ => None,
    }
}

const fn word(stage: StoryPart) -> &'static str {
    match stage {
        StoryPart::Voice => "voice",
        StoryPart::Picture => "picture",
        StoryPart::Clip => "clip",
        StoryPart::Render => "render",
    }
}

#[cfg(test)]
mod tests {
    use reel_story::project::read_toml;

    use super::*;

    /// The part to make again, its shot, the last stage, the shots of `--only`, and the expected message.
    type Case<'a> = (StoryPart, &'a Shot, Option<Stage>, &'a [&'a str], &'a str);

    #[test]
    fn what_would_not_be_made_is_named() {
        let shot = |fields: &str| {
            let text = format!("version = 1\n[[shots]]\nid = \"a1\"\n{fields}\n");
            read_toml(&text).unwrap().shots.remove(0)
        };
        let (spoken, silent) = (shot("text = \"One.\""), shot("text = \"\""));
        let own = shot("text = \"One.\"\nvoice_file = \"v.wav\"\npicture_file = \"p.png\"");
        let (filmed, given) = (shot("text = \"\"\nclip = true"), shot("text = \"\"\nclip_file = \"c.mp4\""));
        let cases: [Case<'_>; 14] = [
            (StoryPart::Voice, &spoken, None, &[], ""),
            (StoryPart::Voice, &spoken, Some(Stage::Voices), &["a1"], ""),
            (StoryPart::Voice, &spoken, None, &["a2"], "--only leaves"),
            (StoryPart::Voice, &spoken, Some(Stage::Storyboard), &[], "--until"),
            (StoryPart::Voice, &silent, None, &[], "silent"),
            (StoryPart::Voice, &own, None, &[], "your own"),
            (StoryPart::Picture, &own, None, &[], "your own"),
            (StoryPart::Picture, &given, None, &[], "clip of your own"),
            (StoryPart::Picture, &spoken, Some(Stage::Voices), &[], "--until"),
            (StoryPart::Clip, &spoken, None, &[], "has no clip"),
            (StoryPart::Clip, &filmed, None, &[], ""),
            (StoryPart::Clip, &filmed, Some(Stage::Pictures), &[], "--until"),
            (StoryPart::Render, &spoken, Some(Stage::Clips), &[], "--until"),
            (StoryPart::Render, &spoken, None, &["a1"], "no film"),
        ];
        for (stage, shot, until, only, expected) in cases {
            let redo = StoryRedo { id: "a1".to_owned(), stage };
            let only: Vec<String> = only.iter().map(|&id| id.to_owned()).collect();
            let found = why_not(&redo, shot, until, &only).unwrap_or_default();
            assert_eq!(found.is_empty(), expected.is_empty(), "{redo:?} {until:?} {only:?}: {found}");
            assert!(found.contains(expected), "{redo:?} {until:?} {only:?}: {found}");
        }
    }
}
