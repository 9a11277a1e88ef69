//! The provider `ffmpeg`: embedded and free, and present if the program is installed. It makes the parts of films (clips of pictures, dissolves,
//! sound) and joins them.

use std::sync::Arc;

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::{ErrorCode, TaskError};

use crate::{
    domain::{Class, Failure, ProviderProfile, RenderRequest, RenderWork, ServiceRequest},
    provider::{
        GateLimits, Generate, GenerateError, Generated, Instance, Provider,
        command::find_program,
        condition::fault,
        film::{FFMPEG, FilmTools, INSTALL, VERSION},
    },
};

/// The name of the instance and of its kind.
pub const NAME: &str = "ffmpeg";

/// The embedded provider that renders shots and joins them to films.
#[derive(Debug)]
pub struct Ffmpeg {
    tools: FilmTools,
}

impl Ffmpeg {
    /// Builds the only instance; no configuration names it. Returns None if the program is not installed. One run keeps the cores of a desktop
    /// busy, so only one runs at once.
    pub(in crate::provider) fn instance(tools: FilmTools) -> Option<Instance> {
        find_program(FFMPEG, Some(INSTALL)).ok()?;
        Some(Instance {
            profile: ProviderProfile {
                name: NAME.to_owned(),
                kind: NAME.to_owned(),
                address: "embedded".to_owned(),
                adapter_version: VERSION.to_owned(),
                is_embedded: true,
                services: vec!["render".to_owned(), "audio".to_owned()],
                ..ProviderProfile::default()
            },
            limits: GateLimits { max_concurrent: 1, requests_per_minute: None },
            address: None,
            api_key: None,
            provider: Arc::new(Self { tools }),
        })
    }
}

impl Provider for Ffmpeg {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        let Generate { request, permit, cancel, progress, .. } = call;
        Box::pin(async move {
            let ServiceRequest::Render(RenderRequest { work, inputs }) = request else {
                let message = "ffmpeg assembles films, and makes nothing else".to_owned();
                let hint = "reel providers shows what each one serves";
                let failure = Failure::with_code(Class::Invalid, ErrorCode::ProviderRefused, message, hint);
                return Err(GenerateError::Failed(failure));
            };
            let reporter = (cancel, progress);
            let made = match work {
                RenderWork::Shot(params) => self.tools.shot(params, inputs, reporter).await,
                RenderWork::Transition(params) => self.tools.transition(params, inputs, reporter).await,
                RenderWork::Mix(params) => self.tools.mix(params, inputs, reporter).await,
                RenderWork::Join(params) => self.tools.join(params, inputs, reporter).await,
            };
            drop(permit);
            made
        })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
        let found = find_program(FFMPEG, Some(INSTALL));
        let checked = found.map(|path| format!("runs {}", path.display()));
        Box::pin(ready(
            checked.map_err(|missing| fault(ErrorCode::NoProvider, format!("{missing}; {}", missing.hint()))),
        ))
    }
}
