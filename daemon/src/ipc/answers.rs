//! Calls that the cache answered, by the bytes of their params: whoever sends the same bytes again is answered without reading them.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use reel_protocol::{TaskView, methods::ServiceCall};

use super::{
    call::Answer,
    encoding::{Encoding, Request},
    router::Router,
};
use crate::tasks::Known;

/// Answers that are kept.
const ANSWERS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Params beyond this are read each time: what is kept is at most four times so much for each answer, 4 MiB in all.
const LONGEST_BYTES: usize = 4 * 1024;

/// The answers, of all connections.
pub(super) struct Answers {
    /// By the hash of what was asked, so that finding one copies nothing; of two with the same hash the later one is kept.
    kept: RefCell<LruCache<u64, Kept>>,
    hasher: RandomState,
}

/// What was asked: one method's params.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    encoding: Encoding,
    params: Box<[u8]>,
}

struct Kept {
    asked: Asked,
    known: Arc<Known>,
    /// The last answer; the next one is the same but for a few fields.
    task: TaskView,
}

impl Default for Answers {
    fn default() -> Self {
        Self { kept: RefCell::new(LruCache::sparse(ANSWERS)), hasher: RandomState::new() }
    }
}

impl Asked {
    /// What to keep the answer under; None where that would be much to keep.
    pub(super) fn of(request: &Request<'_>) -> Option<Self> {
        let params = request.params.bytes();
        (params.len() <= LONGEST_BYTES).then(|| Self { encoding: request.encoding, params: params.into() })
    }

    fn is(&self, request: &Request<'_>) -> bool {
        self.encoding == request.encoding && *self.params == *request.params.bytes()
    }
}

impl Answers {
    /// Keeps an answer that the cache had.
    pub(super) fn keep(&self, asked: Asked, known: Arc<Known>, task: TaskView) {
        let hash = self.hash(asked.encoding, &asked.params);
        self.kept.borrow_mut().put(hash, Kept { asked, known, task });
    }

    /// Answers a call again, if it is one of these and the tracker's room says that nothing has changed.
    pub(super) fn again(&self, router: &Router, client: &Arc<str>, request: &Request<'_>) -> Option<Answer> {
        let id = request.id.as_ref().filter(|_| request.params.len() <= LONGEST_BYTES)?;
        let mut kept = self.kept.borrow_mut();
        let hash = self.hash(request.encoding, request.params.bytes());
        let Kept { known, task, .. } = kept.get_mut(&hash).filter(|kept| kept.asked.is(request))?;
        let (number, at) = router.parts().repeats.answer(known, client)?;
        (task.id, task.created_at, task.finished_at) = (number, at, Some(at));
        if task.client != **client {
            (**client).clone_into(&mut task.client);
        }
        let answer = Answer::success::<ServiceCall>(router.budget(), id, task);
        Some(answer.unwrap_or_else(|error| Answer::failure(request.encoding, Some(id), &error)))
    }

    fn hash(&self, encoding: Encoding, params: &[u8]) -> u64 {
        self.hasher.hash_one((encoding, params))
    }
}
