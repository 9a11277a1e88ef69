//! Makes pictures with one request: sends it, receives its response, and collects and inspects the pictures. Services that take jobs make their
//! pictures with [`job`](super::job).

use std::{cell::Cell, sync::Arc};

use reqwest::{StatusCode, header::HeaderMap};

use super::{
    Files, RemoteProvider,
    failures::shown,
    reading::{Came, Parts, Reading, Text},
    resume::Sinks,
    stopped,
};
use crate::{
    cache::NewArtifact,
    domain::{CancelSignal, Class, Failure, ImageRequest},
    provider::{
        Generate, GenerateError, Generated, Permit,
        http::{Document, Exchange},
        inspect::Inspected,
        notes::{Beside, notes},
        wire::Item,
        words::words_beside_pictures,
    },
    secret::Secret,
};

/// Smallest response that can contain its pictures, in bytes for each picture. A shorter response only names their URLs.
const PICTURE_ANSWER_BYTES: usize = 16 * 1024;

/// The outcome of a call that succeeded.
enum Got {
    /// Every picture of the response, already inspected, and what the inspection found for each.
    Whole(Vec<NewArtifact>, Vec<Inspected>),
    /// Bodies that may not all be pictures.
    Files(Files),
}

/// The status and the headers of a response, and the key that was sent, which must not be shown if the response repeats it.
struct Head<'a> {
    status: StatusCode,
    headers: HeaderMap,
    key: Option<&'a Secret>,
}

impl RemoteProvider {
    /// Makes pictures. Fetches the results of an earlier attempt if there are some, and sends a new request otherwise.
    pub(super) async fn make_pictures(
        &self,
        request: &ImageRequest,
        call: Generate,
    ) -> Result<Generated, GenerateError> {
        let Generate { job, permit, cancel, progress, jobs, .. } = call;
        let sinks = Sinks { progress: &progress, jobs: &jobs };
        let mut share = Some(self.ready(request.params.n, 0).map_err(GenerateError::Failed)?);
        let earlier = match job {
            // A paid result is fetched even after the task was cancelled: it is kept for the next task that asks for the same.
            Some(job) => tokio::select! {
                biased;
                () = stopped(cancel.clone(), || self.config.is_paid) => return Err(GenerateError::Stopped),
                earlier = self.resume(&job, sinks) => earlier.map_err(GenerateError::Failed)?,
            },
            None => None,
        };
        let (got, mut beside) = match earlier {
            Some(fetched) => {
                (Got::Files(fetched.into_iter().map(|file| (file, None)).collect()), Beside::default())
            }
            None => self.ask_unless_stopped(request, permit.as_ref(), cancel, sinks).await?,
        };
        drop(permit);
        let (mut pictures, seen) = match got {
            Got::Whole(pictures, seen) => (pictures, seen),
            Got::Files(files) => {
                // Release the rest of the reservation first: the inspection may itself wait for memory.
                let held_bytes = files.iter().map(|(file, _)| file.memory_bytes()).sum();
                share = share.map(|mut share| share.split(held_bytes));
                let inspected = self.inspect(files).await;
                if inspected.as_ref().is_err_and(|failure| failure.class == Class::Unknown) {
                    // The fetched files are no pictures, so a later attempt must not fetch them again.
                    let _ = jobs.remember(None).await;
                }
                let (pictures, seen, missing) = inspected.map_err(GenerateError::Failed)?;
                beside.missing = beside.missing.or(missing);
                (pictures, seen)
            }
        };
        if let Some(share) = &mut share {
            for picture in &mut pictures {
                picture.reservation = Some(share.split(picture.body.memory_bytes()));
            }
        }
        let notes = notes(&self.config.name, &request.params, &seen, &beside);
        Ok(Generated { artifacts: pictures, notes, cost_microusd: beside.cost_microusd })
    }

    /// Sends the request, and stops waiting if the task is cancelled. A request to a paid provider that has left is always waited for.
    async fn ask_unless_stopped(
        &self,
        request: &ImageRequest,
        permit: Option<&Permit>,
        cancel: CancelSignal,
        sinks: Sinks<'_>,
    ) -> Result<(Got, Beside), GenerateError> {
        let has_left = Cell::new(false);
        let leaves = || {
            has_left.set(true);
            if let Some(permit) = permit {
                permit.leaves();
            }
        };
        let answered = || {
            if let Some(permit) = permit {
                permit.answered();
            }
        };
        let asking = self.ask(request, sinks, (leaves, answered));
        self.unless_stopped(permit, cancel, &has_left, asking).await
    }

    /// Sends the request and receives the pictures. Calls `leaves` when the request leaves, and `answered` when the response has arrived.
    async fn ask(
        &self,
        request: &ImageRequest,
        sinks: Sinks<'_>,
        (leaves, answered): (impl FnOnce(), impl FnOnce()),
    ) -> Result<(Got, Beside), Failure> {
        let key = self.key().await?;
        let model = request.params.model.as_deref().or(self.config.model_for("image"));
        let (submission, _held) = self.picture_submission(request, model).await?;
        let exchange = self.send(submission, key.as_ref(), sinks.progress, leaves).await?;
        let status = exchange.response.status();
        if !status.is_success() && !request.inputs.is_empty() {
            // A picture in this response may be an echo of an input picture, so the response counts as a refusal.
            return Err(self.refusal_of(exchange, key.as_ref()).await);
        }
        let received = self.receive(exchange, request.params.n, key.as_ref(), sinks, answered).await;
        // If a result could not be fetched, the failure has the status of that fetch already, which says more.
        received.map_err(|failure| match failure.error.provider_status {
            Some(_) => failure,
            None => failure.status(status.as_u16()),
        })
    }

    /// Reads a response to its end. The reading thread has inspected its pictures, unless some are damaged or are still to be fetched.
    async fn receive(
        &self,
        exchange: Exchange,
        count: u32,
        key: Option<&Secret>,
        sinks: Sinks<'_>,
        answered: impl FnOnce(),
    ) -> Result<(Got, Beside), Failure> {
        let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
        let head = Head { status, headers, key };
        let count = count as usize;
        let arrived = move |bytes| {
            // A response that only names its pictures is short. The pictures are still to be fetched, so the permit stays in use.
            if bytes >= PICTURE_ANSWER_BYTES * count {
                answered();
            }
        };
        let reading = Reading {
            wire: Arc::clone(&self.wire),
            base: self.remote.base_url.clone(),
            count,
            spools: self.equipment.spools.clone(),
            inspector: self.equipment.inspector.clone(),
            progress: sinks.progress.clone(),
            name: self.config.name.clone(),
        };
        let read = exchange.read_with(arrived, |chunks| reading.read(chunks)).await;
        match self.read(read.map(Ok))? {
            Came::Whole { pictures, seen, document, passed_over } => {
                Ok((Got::Whole(pictures, seen), self.beside(&head, &document, passed_over, None)))
            }
            Came::Parts(parts) => self.complete(parts, &head, sinks).await,
        }
    }

    /// Collects the pictures of a response that names some by URL, or that has a fault.
    async fn complete(
        &self,
        parts: Parts,
        head: &Head<'_>,
        sinks: Sinks<'_>,
    ) -> Result<(Got, Beside), Failure> {
        let Parts { mut items, pictures, document, cut, passed_over, is_too_large } = parts;
        if !head.status.is_success() {
            items = self.after_error_status(items, &pictures, &document, head)?;
        }
        if !items.is_empty() {
            let (files, missing) = self.collect(items, pictures, head.key, sinks).await?;
            return Ok((Got::Files(files), self.beside(head, &document, passed_over, missing)));
        }
        let Head { status, headers, key } = head;
        match cut {
            Some(cut) => Err(self.lost(&cut)),
            None if is_too_large => Err(self.bad_answer("the answer is larger than any picture")),
            None => Err(self.charged(self.no_picture(*status, headers, &document, *key), headers, &document)),
        }
    }

    /// Returns the pictures of a response with an error status that are used all the same: those that the response contains and whose every pixel was
    /// decoded. No URL that such a response names is fetched. If there are no such pictures, returns what the service refused.
    fn after_error_status(
        &self,
        mut items: Vec<Item>,
        pictures: &[Option<Text>],
        document: &Document,
        Head { status, headers, key }: &Head<'_>,
    ) -> Result<Vec<Item>, Failure> {
        items.retain(|item| is_decoded(item, pictures));
        if items.is_empty() {
            let refusal = self.wire.refusal(*status, headers, document);
            return Err(self.charged(self.refused(refusal, *status, *key), headers, document));
        }
        Ok(items)
    }

    /// Returns what the notes of a result are made from, besides its pictures. A complete picture was made, and may be charged, even if the response
    /// has an error status.
    fn beside(
        &self,
        Head { status, headers, key }: &Head<'_>,
        document: &Document,
        passed_over: usize,
        missing: Option<String>,
    ) -> Beside {
        let of_status = || (!status.is_success()).then(|| format!("status {}", status.as_u16()));
        Beside {
            words: words_beside_pictures(document).map(|words| shown(&words, *key)).or_else(of_status),
            cost_microusd: self.cost_microusd(headers, document),
            passed_over,
            missing,
        }
    }
}

/// Whether a picture is contained in the response itself and every pixel of it was decoded.
fn is_decoded(item: &Item, pictures: &[Option<Text>]) -> bool {
    let picture = item.number().and_then(|number| pictures.get(number)?.as_ref());
    picture.is_some_and(|(text, look)| {
        text.is_ok() && matches!(look, Some(Ok(inspected)) if inspected.undecoded.is_none())
    })
}
