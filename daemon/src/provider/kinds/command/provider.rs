//! The provider of the kind `command`: runs the program of its definition for each service.

use std::{fs, io, sync::Arc};

use futures_util::future::{LocalBoxFuture, ready};
use reel_protocol::{ErrorCode, TaskError};
use tokio::sync::OnceCell;

use crate::{
    cache::{Spooled, Spools},
    config::ProviderConfig,
    domain::{Class, Failure, ServiceRequest},
    provider::{
        Equipment, Generate, GenerateError, Generated, Provider, VoiceList,
        command::{CommandDefinition, Made, Voice, find_program},
        condition::fault,
        gate::Verdict,
    },
};

/// A provider that runs the program of its definition.
#[derive(Debug)]
pub(super) struct CommandProvider {
    pub config: ProviderConfig,
    pub definition: CommandDefinition,
    /// The program's list of voices, once it was read.
    pub voices: OnceCell<Vec<Voice>>,
    pub equipment: Equipment,
}

impl Provider for CommandProvider {
    fn generate(
        self: Arc<Self>,
        call: Generate,
    ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
        Box::pin(async move {
            let Generate { request, permit, cancel, progress, .. } = call;
            if let Some(permit) = &permit {
                permit.leaves();
            }
            let report = |fraction| progress.report(fraction, format!("running {}", self.definition.program));
            report(0.0);
            let made = match &request {
                ServiceRequest::Image(request) => self.draw(request, cancel, report).await,
                ServiceRequest::Speech(params) => self.speak(params, cancel).await,
                ServiceRequest::Chat(params) => self.answer(params, cancel).await,
                ServiceRequest::Video(request) => self.film(request, cancel).await,
                ServiceRequest::Render(_) => {
                    let message = format!("{} assembles no films", self.definition.program);
                    let hint = "reel providers shows what each one serves";
                    Err(GenerateError::Failed(Failure::new(Class::Invalid, message, hint)))
                }
            };
            if let Some(permit) = &permit {
                permit.judge(match &made {
                    Err(GenerateError::Failed(failure)) => failure.class.into(),
                    _ => Verdict::Answered,
                });
            }
            made
        })
    }

    fn voices(self: Arc<Self>) -> LocalBoxFuture<'static, Result<VoiceList, Failure>> {
        Box::pin(async move { self.list_voices().await })
    }

    fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
        let found = find_program(&self.definition.program, self.definition.install.as_deref());
        let checked = found.map(|path| format!("runs {}", path.display()));
        Box::pin(ready(
            checked.map_err(|missing| fault(ErrorCode::NoProvider, format!("{missing}; {}", missing.hint()))),
        ))
    }
}

impl CommandProvider {
    /// Copies the program's file into a spool, from which the cache keeps it, and removes the program's directory.
    pub(super) async fn spool(&self, made: Made) -> Result<Spooled, Failure> {
        let spools = self.equipment.spools.clone();
        let copying = tokio::task::spawn_blocking(move || copy(&spools, &made)).await;
        copying.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(|error| {
            let class = self.class(Class::Transient(None));
            let message = format!("what {} made could not be copied: {error}", self.definition.program);
            Failure::with_code(class, ErrorCode::StorageFailed, message, "free some room on the disk")
        })
    }

    /// The failure when the memory budget has no room for what the program made. `over` has the numbers.
    pub(super) fn over_memory(&self, over: &str) -> Failure {
        let hint = "reel memory shows who holds what; the task is tried again";
        Failure::with_code(self.class(Class::Transient(None)), ErrorCode::OverMemory, over, hint)
    }

    /// The class of a failure after the program made something, which is lost. A paid program may have charged for it.
    pub(super) const fn class(&self, free: Class) -> Class {
        if self.config.is_paid { Class::Ambiguous } else { free }
    }
}

fn copy(spools: &Spools, made: &Made) -> io::Result<Spooled> {
    let mut spool = spools.create();
    io::copy(&mut fs::File::open(&made.path)?, &mut spool)?;
    spool.finish()
}
