//! Services for the tests of the tracker: they succeed, fail or wait as a test says.

use std::sync::{Arc, Mutex};

use actix::Addr;
use futures_util::future::LocalBoxFuture;
use tokio::sync::Semaphore;

use super::{failure, picture, results};
use crate::{
    cache::ImageCache,
    domain::Again,
    service::{JournalFailure, RunEnd, RunTask, RunTasks},
};

/// Fake services whose attempts wait for a permit of `gate`. `runs` lists the kind of each attempt that was started.
#[derive(Debug)]
pub(super) struct FakeServices {
    pub gate: Arc<Semaphore>,
    pub runs: Arc<Mutex<Vec<String>>>,
    pub cache: Addr<ImageCache>,
}

impl RunTasks for FakeServices {
    fn run(&self, mut task: RunTask) -> LocalBoxFuture<'static, RunEnd> {
        self.runs.lock().unwrap().push(task.kind.to_string());
        let (gate, cache) = (Arc::clone(&self.gate), self.cache.clone());
        let key = task.provider.as_ref().map(|provider| provider.key);
        let on_journal_failure: JournalFailure = if task.provider.is_some_and(|provider| provider.is_paid) {
            |_| (failure(true), Again::OutcomeUnknown)
        } else {
            |_| (failure(true), Again::Later(None))
        };
        Box::pin(async move {
            if &*task.kind == "image.early" {
                // The permit is given back, and the run continues, like one that stores its results.
                drop(task.permit.take());
            }
            tokio::select! {
                permit = gate.acquire() => permit.unwrap().forget(),
                _ = task.cancel.wait_for(|is_cancelled| *is_cancelled) => return RunEnd::Stopped,
            }
            match &*task.kind {
                "image.named" if task.job.is_none() => results::named(&task.jobs).await,
                "test.fail" | "image.fail" => RunEnd::failed(failure(false)),
                "test.flaky" | "image.flaky" => RunEnd::failed(failure(true)),
                // Only `image.cached` stores its picture with a key, so only it can cause a cache hit later.
                "image.generate" | "image.cached" => {
                    let key = key.filter(|_| &*task.kind == "image.cached");
                    let kept = Box::new(cache.send(picture(key)).await.unwrap().unwrap());
                    RunEnd::Made { kept, cost: None, on_journal_failure }
                }
                _ => RunEnd::Done,
            }
        })
    }
}
