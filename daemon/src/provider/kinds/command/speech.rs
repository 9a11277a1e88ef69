//! Speech by a program, and the choice of its voice.

use reel_protocol::{SpeechParams, methods::VoiceInfo};
use tokio::sync::watch;

use super::CommandProvider;
use crate::{
    domain::{CancelSignal, Class, Failure},
    provider::{
        GenerateError, Generated, VoiceList,
        command::{Placeholder, Values, Voice, for_language, named},
    },
};

impl CommandProvider {
    /// Returns the program's list of voices. The program runs once for it, and the list is then reused.
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

    /// Runs the program once to speak a text.
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
        let speech = self.make_media(values, cancel, "audio/").await?;
        Ok(Generated { artifacts: vec![speech], notes: Vec::new(), cost_microusd: None })
    }

    /// Returns the voice for a request, as the program names it; `None` if the program takes no voice or uses its default. A voice or a language
    /// that the program lacks is refused.
    async fn voice(&self, params: &SpeechParams) -> Result<Option<String>, Failure> {
        let definition = &self.definition;
        if !definition.honours(Placeholder::Voice) {
            return Ok(None);
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
        voice.map(Some).map_err(|error| {
            let hint = format!("reel providers voices {} lists its voices", self.config.name);
            self.no_speech(&error.to_string(), &hint)
        })
    }

    fn no_speech(&self, what: &str, hint: &str) -> Failure {
        Failure::new(Class::Invalid, format!("{} cannot speak this: {what}", self.config.name), hint)
    }
}
