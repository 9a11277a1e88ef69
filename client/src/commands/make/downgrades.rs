//! Warns before anything is submitted if results will be worse than expected: draft pictures, silence instead of voices, or no film.

use reel_client::{ClientError, Session};
use reel_protocol::{
    AudioMixParams, JsonText, TaskSpec,
    methods::{DaemonReload, Empty},
};
use reel_story::project::{Project, Shot};

use super::{args::Stage, media};
use crate::{dry_run, exit::Exit, failure::Failure, kanji, output::Output};

/// Warns if pictures or voices will be drafts, and if no film can be joined.
pub async fn say_downgrades(
    output: Output,
    session: &Session,
    project: &Project,
    until: Option<Stage>,
) -> Result<(), Failure> {
    let mut lacks = Lacks::find(session, project, until).await?;
    if lacks.has_draft_voices || lacks.has_no_renderer {
        // A reload finds a program that was installed after the daemon started. If the configuration is invalid, the reload is refused and nothing
        // changes.
        match session.call::<DaemonReload>(&Empty {}).await {
            Ok(_) => lacks = Lacks::find(session, project, until).await?,
            Err(ClientError::Rpc(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if lacks.has_draft_pictures {
        output.note(
            "the pictures will be drafts, because no provider of pictures is configured; add one with: reel providers add",
        );
    }
    if lacks.has_draft_voices {
        output.warn(
            "the voices will be silence, because no provider speaks: install espeak-ng (Debian: apt install espeak-ng), or add a provider with: reel providers add",
        );
    }
    let spoken = project.shots.iter().filter(|shot| shot.voice_file.is_empty() && shot.is_spoken());
    let text = spoken.map(Shot::narration).collect::<Vec<_>>().join("\n");
    let language = Some(project.video.language.as_str()).filter(|language| !language.is_empty());
    kanji::warn(output, session, kanji::Speech { text: &text, language, provider: None }).await;
    if lacks.has_no_renderer {
        output.warn(
            "no film can be joined: ffmpeg is not installed (Debian: apt install ffmpeg); everything else is made",
        );
    }
    Ok(())
}

/// What the daemon lacks for a story.
struct Lacks {
    has_draft_pictures: bool,
    has_draft_voices: bool,
    has_no_renderer: bool,
}

impl Lacks {
    async fn find(session: &Session, project: &Project, until: Option<Stage>) -> Result<Self, Failure> {
        let has_pictures = until != Some(Stage::Voices) && media::own_pictures(project) < project.shots.len();
        let is_spoken = project.shots.iter().any(|shot| shot.voice_file.is_empty() && shot.is_spoken());
        Ok(Self {
            has_draft_pictures: has_pictures && session.has_only_draft("image").await?,
            has_draft_voices: is_spoken && session.has_only_draft("voice").await?,
            has_no_renderer: until.is_none() && !can_render(session).await?,
        })
    }
}

/// Whether the daemon can mix the sound of a film. `ffmpeg` does this, and renders everything else too.
async fn can_render(session: &Session) -> Result<bool, Failure> {
    let params =
        AudioMixParams { samples: 1, voices: Vec::new(), music: None, loudness: AudioMixParams::LOUDNESS };
    let params = JsonText::from_value(&params)
        .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
    let spec = TaskSpec { kind: "audio.mix".to_owned(), params, ..TaskSpec::default() };
    match dry_run::ask(session, &spec).await {
        Ok(_) => Ok(true),
        Err(failure) if matches!(failure.exit, Exit::Config | Exit::BadData) => Ok(false),
        Err(failure) => Err(failure),
    }
}
