//! The provider `draft`: embedded, offline, free. Draws on blocking threads, where a panic fails one task and no actor.

use std::ops::ControlFlow;

use actix::{Actor, Context, Handler, MessageResult, ResponseFuture};
use reel_protocol::{
    ErrorCode,
    methods::{ProviderCheckResult, ProviderInfo},
};

use super::{
    CheckProvider, Class, Failure, Generate, GenerateError, Picture, PictureRequest,
    draft::{self, Panel},
};
use crate::{
    cache::Body,
    memory::{Budget, Holder},
    tasks::{CancelSignal, ProgressSink},
};

/// The instance's name, and its kind.
pub const NAME: &str = "draft";

/// The actor.
#[derive(Debug)]
pub struct DraftProvider {
    budget: Budget,
}

impl DraftProvider {
    /// A provider whose drawings are held within this budget.
    pub const fn new(budget: Budget) -> Self {
        Self { budget }
    }

    /// As the wire shows it. One drawing keeps one core busy, so there are as many at once as there are cores.
    pub fn info() -> ProviderInfo {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        ProviderInfo {
            name: NAME.to_owned(),
            kind: NAME.to_owned(),
            services: vec!["image".to_owned()],
            model: None,
            billing: "free".to_owned(),
            max_concurrent: u32::try_from(cores).unwrap_or(u32::MAX),
            running: 0,
        }
    }
}

impl Actor for DraftProvider {
    type Context = Context<Self>;
}

impl Handler<Generate> for DraftProvider {
    type Result = ResponseFuture<Result<Vec<Picture>, GenerateError>>;

    fn handle(&mut self, call: Generate, _: &mut Self::Context) -> Self::Result {
        let budget = self.budget.clone();
        Box::pin(async move {
            let Generate { request, permit, cancel, progress, .. } = call;
            let drawn =
                tokio::task::spawn_blocking(move || draw_all(&request, &budget, &cancel, &progress)).await;
            drop(permit);
            drawn.unwrap_or_else(|panic| {
                Err(failed(
                    ErrorCode::Internal,
                    format!("the drawing panicked: {panic}"),
                    "please report it",
                    false,
                ))
            })
        })
    }
}

impl Handler<CheckProvider> for DraftProvider {
    type Result = MessageResult<CheckProvider>;

    fn handle(&mut self, _: CheckProvider, _: &mut Self::Context) -> Self::Result {
        let detail = "embedded and offline: nothing to reach".to_owned();
        MessageResult(ProviderCheckResult { is_usable: true, detail })
    }
}

fn draw_all(
    request: &PictureRequest,
    budget: &Budget,
    cancel: &CancelSignal,
    progress: &ProgressSink,
) -> Result<Vec<Picture>, GenerateError> {
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
) -> Result<Picture, GenerateError> {
    let bytes = draft::buffer_bytes(panel.width, panel.height);
    let mut reservation = budget.reserve(Holder::Drawing, bytes).map_err(|over| {
        failed(
            ErrorCode::OverMemory,
            over.to_string(),
            "reel memory shows who holds what; the task is tried again",
            true,
        )
    })?;
    let drawn = draft::draw(panel, report).map_err(|error| match error {
        draft::DrawError::Cancelled => GenerateError::Stopped,
        other => failed(
            ErrorCode::Internal,
            format!("the panel could not be drawn: {other}"),
            "reel daemon logs says more",
            false,
        ),
    })?;
    reservation.shrink(bytes.saturating_sub(drawn.png.len() as u64));
    Ok(Picture {
        body: Body::Held(drawn.png),
        reservation: Some(reservation),
        media_type: "image/png",
        extension: "png",
        width: drawn.width,
        height: drawn.height,
    })
}

fn failed(code: ErrorCode, message: String, hint: &str, is_retryable: bool) -> GenerateError {
    let class = if is_retryable { Class::Transient(None) } else { Class::Invalid };
    GenerateError::Failed(Failure::with_code(class, code, message, hint))
}
