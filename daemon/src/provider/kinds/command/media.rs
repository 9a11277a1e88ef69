//! Sound and video files made by a program. The file that it wrote is inspected from its first byte to its last.

use std::{fs, io};

use super::CommandProvider;
use crate::{
    cache::{Body, NewArtifact},
    domain::{CancelSignal, Class, Failure},
    media,
    memory::Holder,
    provider::{
        GenerateError,
        command::{CommandError, Values},
    },
};

impl CommandProvider {
    /// Runs the program once. Its file must be whole, and its media type must begin with `media_type`, such as `audio/`.
    pub(super) async fn make_media(
        &self,
        values: Values,
        cancel: CancelSignal,
        media_type: &str,
    ) -> Result<NewArtifact, GenerateError> {
        let failed = |failure| GenerateError::Failed(failure);
        let definition = &self.definition;
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
        if !facts.media_type.starts_with(media_type) {
            return Err(wrong(format!("it is {}", facts.media_type)));
        }
        let spooled = self.spool(made).await.map_err(failed)?;
        let reservation = self.equipment.budget.reserve(Holder::Body, spooled.memory_bytes());
        let reservation = reservation.map_err(|over| failed(self.over_memory(&over.to_string())))?;
        Ok(NewArtifact { body: Body::Spooled(spooled), reservation: Some(reservation), facts })
    }
}
