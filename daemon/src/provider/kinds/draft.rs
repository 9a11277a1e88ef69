//! The provider `draft`: embedded, offline, free. Draws on blocking threads, where a panic fails one task and no actor.

use std::{ops::ControlFlow, sync::Arc};

use futures_util::future::{LocalBoxFuture, ready};
use reel_draft::{self as draft, Panel};
use reel_protocol::{ErrorCode, methods::ProviderCheckResult};

use crate::{
    cache::{Body, NewArtifact, Shelver},
    domain::{
        CancelSignal, Class, Facts, Failure, ImageCapabilities, ImageRequest, ProgressSink, ProviderProfile,
        ServiceRequest,
    },
    memory::{Budget, Holder},
    provider::{GateLimits, Generate, GenerateError, Generated, Instance, Provider},
};

/// The instance's name, and its kind.
pub const NAME: &str = "draft";

/// The provider, which holds its drawings within the memory budget.
#[derive(Debug)]
pub struct Draft {
    budget: Budget,
    shelver: Shelver,
}

impl Draft {
    /// The one instance, which no configuration names. One drawing keeps one core busy, so there are as many at once as there are cores.
    pub fn instance(budget: Budget, shelver: Shelver) -> Instance {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Instance {
            profile: ProviderProfile {
                name: NAME.to_owned(),
                kind: NAME.to_owned(),
                address: "embedded".to_owned(),
                adapter_version: draft::VERSION.to_string(),
                is_fallback: true,
                services: vec!["image".to_owned()],
                image: ImageCapabilities {
                    sides: draft::MIN_SIDE..=draft::MAX_SIDE,
                    ..ImageCapabilities::default()
                },
                ..ProviderProfile::default()
            },
            limits: GateLimits {
                max_concurrent: u32::try_from(cores).unwrap_or(u32::MAX),
                requests_per_minute: None,
            },
            address: None,
            api_key: None,
            provider: Arc::new(Self { budget, shelver }),
        }
    }
}

impl Provider for Draft {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        let Generate { request, permit, cancel, progress, .. } = call;
        let ServiceRequest::Image(request) = request;
        let draw = move || {
            let drawn = draw_all(&request, &self.budget, &cancel, &progress);
            // The next one draws while this one waits for the disk.
            drop(permit);
            drawn.map(|pictures| self.shelver.shelve_now(pictures).into())
        };
        Box::pin(async move {
            tokio::task::spawn_blocking(draw).await.unwrap_or_else(|panic| {
                Err(failed(
                    ErrorCode::Internal,
                    format!("the drawing panicked: {panic}"),
                    "please report it",
                    false,
                ))
            })
        })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, ProviderCheckResult> {
        let detail = "embedded and offline: nothing to reach".to_owned();
        Box::pin(ready(ProviderCheckResult { is_usable: true, detail }))
    }
}

fn draw_all(
    request: &ImageRequest,
    budget: &Budget,
    cancel: &CancelSignal,
    progress: &ProgressSink,
) -> Result<Vec<NewArtifact>, GenerateError> {
    let params = &request.params;
    let count = params.n;
    let mut pictures = Vec::new();
    for index in 0..count {
        let panel = Panel {
            prompt: params.prompt.clone(),
            negative_prompt: params.negative_prompt.clone(),
            style: params.style.clone(),
            width: params.width,
            height: params.height,
            seed: request.seed,
            // The pictures of one request differ as samples do; the high bits keep them apart from the samples that were asked for.
            sample: params.sample ^ (index << 28),
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

fn draw_one(
    panel: &Panel,
    budget: &Budget,
    report: &mut dyn FnMut(f32, &str) -> ControlFlow<()>,
) -> Result<NewArtifact, GenerateError> {
    let needed_bytes = draft::buffer_bytes(panel.width, panel.height);
    let mut reservation = budget.reserve(Holder::Drawing, needed_bytes).map_err(|over| {
        failed(
            ErrorCode::OverMemory,
            over.to_string(),
            "reel memory shows who holds what; the task is tried again",
            true,
        )
    })?;
    let drawn = draft::draw(panel, report);
    let png_bytes = drawn.as_ref().map_or(0, |drawn| drawn.png.len() as u64);
    let kept = reservation.split(png_bytes);
    drop(reservation);
    let drawn = drawn.map_err(|error| match error {
        draft::DrawError::Cancelled => GenerateError::Stopped,
        other => failed(
            ErrorCode::Internal,
            format!("the panel could not be drawn: {other}"),
            "reel daemon logs says more",
            false,
        ),
    })?;
    let facts = Facts::new("image/png", "png").with_pixels(drawn.width, drawn.height);
    Ok(NewArtifact { body: Body::Held(drawn.png), reservation: Some(kept), facts })
}

fn failed(code: ErrorCode, message: String, hint: &str, is_retryable: bool) -> GenerateError {
    let class = if is_retryable { Class::Transient(None) } else { Class::Invalid };
    GenerateError::Failed(Failure::with_code(class, code, message, hint))
}
