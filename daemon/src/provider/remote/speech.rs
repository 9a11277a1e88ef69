//! Speech. The body of the response is the sound file, whatever its content type says, or a text that says why there is none.

use std::{
    cell::Cell,
    io::{self, Read as _},
};

use reel_protocol::{SpeechParams, TaskNote};

use super::{MAX_PICTURE_BYTES, RemoteProvider};
use crate::{
    cache::{Body, NewArtifact, Spooled, Spools},
    domain::{CancelSignal, Class, Facts, Failure, ProgressSink},
    media::{Condition, InspectError, Inspection, Limits, MEMORY_BYTES, inspect},
    nearest::nearest,
    provider::{
        GenerateError, Generated, Permit,
        http::{BodyFault, BodyLimits, Chunks, Document, read_file},
    },
};

/// Largest part of a text response that is read, in bytes.
const TEXT_BYTES: u64 = 64 * 1024;

/// The body of a response, classified by its content.
enum Came {
    /// The body was cut, for this reason.
    Cut(String),
    /// The body is a text. These are its first bytes.
    Text(Vec<u8>),
    /// The body is a complete file, and was inspected.
    File(Spooled, Inspection),
    /// The body is empty.
    Empty,
}

/// A sound file, with its metadata and the notes for the task.
struct Spoken {
    file: Spooled,
    facts: Facts,
    notes: Vec<TaskNote>,
    cost_microusd: Option<u64>,
}

impl RemoteProvider {
    /// Asks the service to speak one text.
    pub(super) async fn speak(
        &self,
        params: &SpeechParams,
        permit: Option<Permit>,
        cancel: CancelSignal,
        progress: &ProgressSink,
    ) -> Result<Generated, GenerateError> {
        let mut share = self.ready(1, MEMORY_BYTES).map_err(GenerateError::Failed)?;
        let has_left = Cell::new(false);
        let leaves = || {
            has_left.set(true);
            if let Some(permit) = &permit {
                permit.leaves();
            }
        };
        let asking = self.ask_to_speak(params, progress, leaves);
        let spoken = self.unless_stopped(permit.as_ref(), cancel, &has_left, asking).await?;
        drop(permit);
        let Spoken { file, facts, notes, cost_microusd } = spoken;
        let reservation = Some(share.split(file.memory_bytes()));
        let artifact = NewArtifact { body: Body::Spooled(file), reservation, facts };
        Ok(Generated { artifacts: vec![artifact], notes, cost_microusd })
    }

    async fn ask_to_speak(
        &self,
        params: &SpeechParams,
        progress: &ProgressSink,
        leaves: impl FnOnce(),
    ) -> Result<Spoken, Failure> {
        let key = self.key().await?;
        let model = params.model.as_deref().or(self.config.model_for("voice"));
        let submission = self.wire.speech(params, model, &self.config.own.settings).ok_or_else(|| {
            let message = format!("{} does not speak", self.config.name);
            Failure::new(Class::Invalid, message, "reel providers shows what each one serves")
        })?;
        let posted = self.post(submission, key.as_ref(), progress, leaves).await;
        let exchange = posted.map_err(|failure| self.about_voice(failure, params))?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let spools = self.equipment.spools.clone();
        let read = exchange.read_with(|_| (), move |chunks| read(chunks, &spools)).await;
        let spoken = match self.read(read).map_err(|failure| failure.status(status.as_u16()))? {
            Came::Cut(cut) => Err(self.lost(&cut)),
            Came::Empty => Err(self.bad_answer("the answer is empty")),
            Came::Text(text) => {
                let document = Document::of_error(&text);
                let refusal = self.wire.refusal(status, &headers, &document);
                if document.is_web_page() {
                    return Err(self.web_page(&refusal, status, key.as_ref()));
                }
                let refused = self.about_voice(self.refused(refusal, status, key.as_ref()), params);
                return Err(self.charged(refused, &headers, &document));
            }
            Came::File(file, Inspection { facts, condition }) => {
                self.sound(&facts, &condition).map(|notes| {
                    let cost_microusd = self.cost_microusd(&headers, &Document::default());
                    Spoken { file, facts, notes, cost_microusd }
                })
            }
        };
        spoken.map_err(|failure| failure.status(status.as_u16()))
    }

    /// Adds to a refusal that the requested voice may be unknown, if the service does not list it.
    fn about_voice(&self, failure: Failure, params: &SpeechParams) -> Failure {
        let known = self.wire.voices().voices;
        let is_of_the_request =
            failure.class == Class::Invalid && !matches!(failure.error.provider_status, Some(404 | 405));
        let unknown = params.voice.as_deref().filter(|voice| known.iter().all(|one| one.id != *voice));
        let Some(voice) = unknown.filter(|_| is_of_the_request) else { return failure };
        let name = &self.config.name;
        let near = nearest(voice, known.iter().map(|one| one.id.as_str()));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        failure.hint(format!(
            "{name} may have no voice {voice}{near}; reel providers voices {name} lists those that are known"
        ))
    }

    /// Returns the notes about a complete file. Returns a failure if the file is no sound, or is cut.
    fn sound(&self, facts: &Facts, condition: &Condition) -> Result<Vec<TaskNote>, Failure> {
        if !facts.media_type.starts_with("audio/") {
            return Err(self.bad_answer(&format!("the answer is not sound: {}", facts.media_type)));
        }
        match condition {
            Condition::Whole => Ok(Vec::new()),
            Condition::Cut(reason) => Err(self.bad_answer(&format!("the sound is not whole: {reason}"))),
            Condition::Damaged(reason) | Condition::Unchecked(reason) => {
                let message = format!("the sound is kept as it came: {reason}");
                Ok(vec![TaskNote::new(TaskNote::NOT_DECODED, message)])
            }
        }
    }
}

/// Reads a body to its end and inspects it. Blocks on the body and on the disk.
fn read(chunks: Chunks, spools: &Spools) -> Result<Came, BodyFault> {
    let limits = BodyLimits { in_memory: 1, pictures: 1, picture_bytes: MAX_PICTURE_BYTES };
    let (file, cut) = read_file(chunks, spools, limits)?;
    if let Some(cut) = cut {
        return Ok(Came::Cut(cut));
    }
    let inspection = match inspect(&mut file.open()?, Limits::default()) {
        Ok(inspection) => inspection,
        Err(InspectError::Empty) => return Ok(Came::Empty),
        Err(InspectError::Read(error)) => return Err(error.into()),
    };
    let media_type = &*inspection.facts.media_type;
    if media_type.starts_with("text/") || media_type == "application/json" {
        return Ok(Came::Text(beginning(&file)?));
    }
    Ok(Came::File(file, inspection))
}

fn beginning(file: &Spooled) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.open()?.take(TEXT_BYTES).read_to_end(&mut text)?;
    Ok(text)
}
