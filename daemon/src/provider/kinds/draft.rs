//! The provider `draft`: embedded, offline and free. It draws pictures, writes silence in place of speech, and makes videos from stills if `ffmpeg`
//! is installed. It works on blocking threads, so that a panic fails one task and stops no actor.

mod film;

use std::{io::Write as _, ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::future::{LocalBoxFuture, ready};
use reel_draft::{self as draft, Panel};
use reel_protocol::{ErrorCode, ImageParams, SpeechFormat, SpeechParams, TaskError, TaskNote};
use reel_story::speaking_time;

use crate::{
    cache::{Body, NewArtifact, SPOOL_BYTES, Spools},
    domain::{
        CancelSignal, Class, Facts, Failure, ImageCapabilities, ImageRequest, ProgressSink, ProviderProfile,
        ServiceRequest, SpeechCapabilities,
    },
    media::{HEADER_BYTES, WavError, write_silence},
    memory::{Budget, Holder},
    provider::{
        GateLimits, Generate, GenerateError, Generated, Instance, Permit, Provider, command::CommandRunner,
    },
};

/// The name of the instance and of its kind.
pub const NAME: &str = "draft";

/// Sample rate of the silence in samples per second. Most services deliver speech at this rate.
const SAMPLE_RATE: u32 = 24_000;
/// Size of a second of silence, in bytes.
const SECOND_BYTES: u64 = SAMPLE_RATE as u64 * 2;
/// The longest silence. An hour is 173 MB.
const LONGEST: Duration = Duration::from_hours(1);

/// The provider. Its drawings are covered by reservations of the memory budget.
#[derive(Debug)]
pub struct Draft {
    budget: Budget,
    spools: Spools,
    commands: CommandRunner,
}

impl Draft {
    /// Builds the only instance; no configuration names it. A drawing keeps one core busy, so as many run at once as there are cores.
    pub fn instance(budget: Budget, spools: Spools, commands: CommandRunner) -> Instance {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Instance {
            profile: ProviderProfile {
                name: NAME.to_owned(),
                kind: NAME.to_owned(),
                address: "embedded".to_owned(),
                adapter_version: draft::VERSION.to_string(),
                is_fallback: true,
                is_embedded: true,
                services: ["image", "voice", "video"].map(str::to_owned).to_vec(),
                image: ImageCapabilities {
                    sides: draft::MIN_SIDE..=draft::MAX_SIDE,
                    ignored: vec!["input_images", "mask"],
                    ..ImageCapabilities::default()
                },
                speech: SpeechCapabilities { formats: &[SpeechFormat::Wav], ..SpeechCapabilities::default() },
                video: film::capabilities(),
                ..ProviderProfile::default()
            },
            limits: GateLimits {
                max_concurrent: u32::try_from(cores).unwrap_or(u32::MAX),
                requests_per_minute: None,
            },
            address: None,
            api_key: None,
            provider: Arc::new(Self { budget, spools, commands }),
        }
    }
}

impl Provider for Draft {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        let Generate { request, permit, cancel, progress, .. } = call;
        Box::pin(async move {
            match request {
                ServiceRequest::Image(request) => {
                    let draw = move |draft: &Self| draw_all(&request, &draft.budget, &cancel, &progress);
                    self.make(permit, Vec::new(), draw).await
                }
                ServiceRequest::Speech(params) => {
                    let speak = move |draft: &Self| Ok(vec![draft.silence(&params)?]);
                    self.make(permit, vec![silence_note()], speak).await
                }
                ServiceRequest::Video(request) => {
                    let filmed = self.film(request, cancel, progress).await;
                    drop(permit);
                    filmed
                }
                ServiceRequest::Chat(_) | ServiceRequest::Render(_) => {
                    let (code, hint) =
                        (ErrorCode::ProviderRefused, "reel providers shows what each one serves");
                    Err(failed(code, "draft makes no texts and assembles no films".into(), hint, false))
                }
            }
        })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
        let detail = "it is built in and works offline".to_owned();
        Box::pin(ready(Ok(detail)))
    }
}

impl Draft {
    /// Makes artifacts on a blocking thread.
    async fn make(
        self: Arc<Self>,
        permit: Option<Permit>,
        notes: Vec<TaskNote>,
        make: impl FnOnce(&Self) -> Result<Vec<NewArtifact>, GenerateError> + Send + 'static,
    ) -> Result<Generated, GenerateError> {
        let making = tokio::task::spawn_blocking(move || {
            let made = make(&self)?;
            // Release the permit first: the next task draws while this one waits for the disk.
            drop(permit);
            Ok(Generated { artifacts: made, notes, cost_microusd: None })
        });
        making.await.unwrap_or_else(|panic| {
            let message = format!("the drawing thread panicked: {panic}");
            Err(failed(ErrorCode::Internal, message, "please report it", false))
        })
    }

    /// Writes a WAV file of silence, about as long as it takes to speak the text. Refuses texts that take more than an hour.
    fn silence(&self, params: &SpeechParams) -> Result<NewArtifact, GenerateError> {
        let length = speaking_time(&params.text, params.language.as_deref()).div_f64(params.speed);
        if length > LONGEST {
            let message = format!("the text takes {} minutes to be spoken", length.as_secs() / 60);
            let hint = "draft gives silence of at most an hour: have the text spoken in several tasks";
            return Err(failed(ErrorCode::ProviderRefused, message, hint, false));
        }
        let mut reservation = self
            .budget
            .reserve(Holder::Drawing, 2 * SPOOL_BYTES as u64)
            .map_err(|over| over_memory(&over.to_string()))?;
        if !self.spools.has_room(length.as_secs() * SECOND_BYTES) {
            return Err(not_written("the disk has no room for it"));
        }
        let mut spool = self.spools.create();
        let written = write_silence(&mut spool, SAMPLE_RATE, length);
        let written = written.and_then(|()| spool.flush().map_err(WavError::Write));
        written.map_err(|error| not_written(&crate::chain::chain(&error)))?;
        let spooled = spool.finish().map_err(|error| not_written(&error.to_string()))?;
        let samples = spooled.size_bytes.saturating_sub(HEADER_BYTES) / 2;
        let facts = Facts {
            duration_s: Some(samples as f64 / f64::from(SAMPLE_RATE)),
            sample_rate: Some(SAMPLE_RATE),
            channels: Some(1),
            ..Facts::new("audio/wav", "wav")
        };
        let kept = reservation.split(spooled.memory_bytes());
        Ok(NewArtifact { body: Body::Spooled(spooled), reservation: Some(kept), facts })
    }
}

/// The note that the sound is silence. It is also shown for a cache hit.
fn silence_note() -> TaskNote {
    let message = "draft has no voice: this is silence, about as long as the text takes to be spoken";
    TaskNote::new(TaskNote::DRAFT, message)
}

fn draw_all(
    request: &ImageRequest,
    budget: &Budget,
    cancel: &CancelSignal,
    progress: &ProgressSink,
) -> Result<Vec<NewArtifact>, GenerateError> {
    let params = &request.params;
    let count = params.n;
    let form = Form::of(params);
    let mut pictures = Vec::new();
    for index in 0..count {
        let panel = Panel {
            prompt: params.prompt.clone(),
            negative_prompt: params.negative_prompt.clone(),
            style: params.style.clone(),
            width: params.width,
            height: params.height,
            seed: request.seed,
            // The pictures of one request differ as samples do. The index is in the high bits, so that it does not collide with a requested sample.
            sample: params.sample ^ (index << 28),
            has_caption: form.caption,
            is_card: form.card,
        };
        let mut report = |fraction: f32, step: &str| {
            if *cancel.borrow() {
                return ControlFlow::Break(());
            }
            progress.report((f64::from(index) + f64::from(fraction)) / f64::from(count), step);
            ControlFlow::Continue(())
        };
        pictures.push(draw_one(&panel, budget, &mut report)?);
    }
    Ok(pictures)
}

/// The fields of `extra` that this provider knows.
#[derive(serde::Deserialize)]
#[serde(default)]
struct Form {
    /// Whether to print the prompt below the picture.
    caption: bool,
    /// Whether to write the prompt on a plain ground, in place of a picture.
    card: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self { caption: true, card: false }
    }
}

impl Form {
    fn of(params: &ImageParams) -> Self {
        params.extra.as_ref().and_then(|extra| extra.decode().ok()).unwrap_or_default()
    }
}

fn draw_one(
    panel: &Panel,
    budget: &Budget,
    report: &mut dyn FnMut(f32, &str) -> ControlFlow<()>,
) -> Result<NewArtifact, GenerateError> {
    let needed_bytes = draft::buffer_bytes(panel.width, panel.height);
    let mut reservation =
        budget.reserve(Holder::Drawing, needed_bytes).map_err(|over| over_memory(&over.to_string()))?;
    let drawn = draft::draw(panel, report);
    let png_bytes = drawn.as_ref().map_or(0, |drawn| drawn.png.len() as u64);
    let kept = reservation.split(png_bytes);
    drop(reservation);
    let drawn = drawn.map_err(|error| match error {
        draft::DrawError::Cancelled => GenerateError::Stopped,
        other => failed(
            ErrorCode::Internal,
            format!("the panel could not be drawn: {other}"),
            "reel daemon logs shows the cause",
            false,
        ),
    })?;
    let facts = Facts::new("image/png", "png").with_pixels(drawn.width, drawn.height);
    Ok(NewArtifact { body: Body::Held(drawn.png), reservation: Some(kept), facts })
}

fn over_memory(over: &str) -> GenerateError {
    let hint = "reel memory shows who holds what; the task is tried again";
    failed(ErrorCode::OverMemory, over.to_owned(), hint, true)
}

fn not_written(why: &str) -> GenerateError {
    let message = format!("the silence could not be written: {why}");
    failed(ErrorCode::StorageFull, message, "free some room on the disk; the task is tried again", true)
}

fn failed(code: ErrorCode, message: String, hint: &str, is_retryable: bool) -> GenerateError {
    let class = if is_retryable { Class::Transient(None) } else { Class::Invalid };
    GenerateError::Failed(Failure::with_code(class, code, message, hint))
}
