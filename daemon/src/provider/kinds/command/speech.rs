//! Speech by a program: which voice it is asked for, and whether the file that it wrote is sound.

use std::{fs, io};

use reel_protocol::{SpeechParams, methods::VoiceInfo};
use tokio::sync::watch;

use super::CommandProvider;
use crate::{
    cache::{Body, NewArtifact},
    domain::{CancelSignal, Class, Failure},
    media,
    memory::Holder,
    provider::{
        GenerateError, Generated, VoiceList,
        command::{CommandError, Placeholder, Values, Voice, for_language, named},
    },
};

impl CommandProvider {
    /// The program's own list of voices, which it is asked for once.
    pub(super) async fn list_voices(&self) -> Result<VoiceList, Failure> {
        let definition = &self.definition;
        if let Some(list) = &definition.voice_list {
            let listing = || self.equipment.commands.voices(&self.config.name, definition, list);
            let voices = self.voices.get_or_try_init(listing).await?;
            let info = |voice: &Voice| VoiceInfo {
                id: voice.id.clone(),
                language: Some(voice.language.clone()),
                gender: voice.gender.map(str::to_owned),
                name: Some(voice.name.clone()),
            };
            return Ok(VoiceList { voices: voices.iter().map(info).collect(), note: None });
        }
        Ok(VoiceList::none(if definition.argv.needs(Placeholder::Model) {
            "its model is its voice"
        } else {
            "it lists no voices"
        }))
    }

    /// Runs the program once for a text.
    pub(super) async fn speak(
        &self,
        params: &SpeechParams,
        cancel: CancelSignal,
    ) -> Result<Generated, GenerateError> {
        let (_nobody, never) = watch::channel(false);
        let cancel = if self.config.is_paid { never } else { cancel };
        let failed = |failure| GenerateError::Failed(failure);
        let definition = &self.definition;
        let mut values = Values::default().with(Placeholder::Text, &params.text);
        if let Some(voice) = self.voice(params).await.map_err(failed)? {
            values.set(Placeholder::Voice, voice);
        }
        if let Some(language) = &params.language {
            values.set(Placeholder::Language, language);
        }
        if let Some(model) = params.model.as_ref().or(definition.model.as_ref()) {
            values.set(Placeholder::Model, model);
        }
        values.set_speed(params.speed);
        if params.extra.is_some() {
            return Err(failed(self.no_speech("it takes no extra", "leave extra out")));
        }
        let made = self.equipment.commands.make(&self.config.name, definition, values, cancel).await;
        let made = made.map_err(|error| match error {
            CommandError::Stopped => GenerateError::Stopped,
            CommandError::Failed(failure) => GenerateError::Failed(failure),
        })?;
        let inspecting = self.equipment.budget.reserve(Holder::Decode, media::MEMORY_BYTES);
        let inspecting = inspecting.map_err(|over| failed(self.over_memory(&over.to_string())))?;
        let path = made.path.clone();
        let inspected = tokio::task::spawn_blocking(move || {
            media::inspect(&mut fs::File::open(path)?, media::Limits::default()).map_err(io::Error::other)
        });
        let inspected = inspected.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        drop(inspecting);
        let wrong = |what: String| {
            let message = format!("{} exited with 0 and its file is wrong: {what}", definition.program);
            let hint = "run it by hand: its arguments may not fit its version";
            failed(Failure::new(self.class(Class::Unknown), message, hint))
        };
        let media::Inspection { facts, condition } = inspected.map_err(|error| wrong(error.to_string()))?;
        if let media::Condition::Cut(reason) | media::Condition::Damaged(reason) = condition {
            return Err(wrong(reason));
        }
        if !facts.media_type.starts_with("audio/") {
            return Err(wrong(format!("it is {}", facts.media_type)));
        }
        let spooled = self.spool(made).await.map_err(failed)?;
        let reservation = self.equipment.budget.reserve(Holder::Body, spooled.memory_bytes());
        let reservation = reservation.map_err(|over| failed(self.over_memory(&over.to_string())))?;
        let speech = NewArtifact { body: Body::Spooled(spooled), reservation: Some(reservation), facts };
        Ok(Generated { pictures: vec![speech].into(), notes: Vec::new(), cost_microusd: None })
    }

    /// The voice for a request, as the program names it.
    async fn voice(&self, params: &SpeechParams) -> Result<Option<String>, Failure> {
        let definition = &self.definition;
        if !definition.honours(Placeholder::Voice) {
            return match &params.voice {
                Some(_) => Err(self.no_speech("it takes no voice", "leave the voice out")),
                None => Ok(None),
            };
        }
        let Some(list) = &definition.voice_list else {
            return Ok(params.voice.clone().or_else(|| definition.voice.clone()));
        };
        if params.voice.is_none() && params.language.is_none() {
            return Ok(definition.voice.clone());
        }
        let listing = || self.equipment.commands.voices(&self.config.name, definition, list);
        let voices = self.voices.get_or_try_init(listing).await?;
        let voice = match (&params.voice, &params.language) {
            (Some(name), _) => named(voices, name),
            (None, language) => {
                for_language(voices, &definition.languages, language.as_deref().unwrap_or_default())
            }
        };
        voice.map(Some).map_err(|error| self.no_speech(&error.to_string(), "name another voice"))
    }

    fn no_speech(&self, what: &str, hint: &str) -> Failure {
        Failure::new(Class::Invalid, format!("{} cannot speak this: {what}", self.config.name), hint)
    }
}
