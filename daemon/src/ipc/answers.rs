//! Calls that the cache answered, by the bytes of their params: whoever sends the same bytes again is answered without reading them.

use std::{cell::RefCell, hash::BuildHasher, num::NonZeroUsize, sync::Arc};

use lru::{DefaultHasher, LruCache};
use reel_protocol::TaskView;

use super::{
    call::Answer,
    encoding::{Encoding, Repeated, Request},
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
    hasher: DefaultHasher,
}

/// What was asked, and by whom.
#[derive(Debug)]
pub(super) struct Asked {
    encoding: Encoding,
    client: Arc<str>,
    params: Box<[u8]>,
}

struct Kept {
    asked: Asked,
    known: Arc<Known>,
    answer: Repeated,
}

impl Default for Answers {
    fn default() -> Self {
        Self { kept: RefCell::new(LruCache::sparse(ANSWERS)), hasher: DefaultHasher::default() }
    }
}

impl Asked {
    /// What to keep the answer under; None where that would be much to keep.
    pub(super) fn of(client: &Arc<str>, request: &Request<'_>) -> Option<Self> {
        let (encoding, params) = (request.encoding, request.params.bytes());
        let is_kept = params.len() <= LONGEST_BYTES;
        is_kept.then(|| Self { encoding, client: Arc::clone(client), params: params.into() })
    }

    fn is(&self, client: &str, request: &Request<'_>) -> bool {
        self.encoding == request.encoding
            && *self.params == *request.params.bytes()
            && *self.client == *client
    }
}

impl Answers {
    /// Keeps an answer that the cache had.
    pub(super) fn keep(&self, asked: Asked, known: Arc<Known>, task: &TaskView) {
        if let Some(answer) = Repeated::of(asked.encoding, task) {
            let hash = self.hash(&asked.client, &asked.params);
            self.kept.borrow_mut().put(hash, Kept { asked, known, answer });
        }
    }

    /// Answers a call again, if it is one of these and the tracker's room says that nothing has changed.
    pub(super) fn again(&self, router: &Router, client: &Arc<str>, request: &Request<'_>) -> Option<Answer> {
        let id = request.id.as_ref().filter(|_| request.params.len() <= LONGEST_BYTES)?;
        let mut kept = self.kept.borrow_mut();
        let hash = self.hash(client, request.params.bytes());
        let Kept { known, answer, .. } = kept.get_mut(&hash).filter(|kept| kept.asked.is(client, request))?;
        let (task, at) = router.parts().repeats.answer(known, client)?;
        let answer = Answer::of_message(router.budget(), answer.message(id, task, at));
        Some(answer.unwrap_or_else(|error| Answer::failure(request.encoding, Some(id), &error)))
    }

    /// What answered the call before, if it is one of these.
    pub(super) fn known(&self, client: &str, request: &Request<'_>) -> Option<Arc<Known>> {
        let is_kept = request.params.len() <= LONGEST_BYTES;
        let hash = is_kept.then(|| self.hash(client, request.params.bytes()))?;
        let mut kept = self.kept.borrow_mut();
        let kept = kept.get(&hash).filter(|kept| kept.asked.is(client, request))?;
        Some(Arc::clone(&kept.known))
    }

    fn hash(&self, client: &str, params: &[u8]) -> u64 {
        self.hasher.hash_one((client, params))
    }
}
