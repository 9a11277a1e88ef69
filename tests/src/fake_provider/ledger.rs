//! Counts calls and concurrent calls, and remembers when they came and the requests themselves.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::http::Request;

/// Most requests that are remembered. The oldest is dropped first, because a bench makes more calls than a test will inspect.
const REMEMBERED: usize = 4096;
/// Most bytes of a body that are remembered.
const REMEMBERED_BODY: usize = 256 * 1024;
/// Most call times that are remembered.
const TIMES: usize = 1_000_000;

/// The counts of one server.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Account>);

#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) calls: usize,
    pub(super) open: usize,
    pub(super) most_open: usize,
    pub(super) by_prompt: HashMap<String, usize>,
    pub(super) times: Vec<Instant>,
    pub(super) requests: VecDeque<Request>,
    pub(super) connections: usize,
}

impl Ledger {
    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap()
    }

    pub(super) fn connected(&self) {
        self.account().connections += 1;
    }

    /// Remembers a request of any kind. A call is also counted by [`Self::begin`].
    pub(super) fn remember(&self, request: &Request) {
        let kept = &request.body[..request.body.len().min(REMEMBERED_BODY)];
        let request = Request {
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            body: kept.to_vec(),
        };
        let mut account = self.account();
        if account.requests.len() == REMEMBERED {
            account.requests.pop_front();
        }
        account.requests.push_back(request);
    }

    /// Counts a call whose request was read. The call is in flight until the returned value is dropped. Calls are numbered from 0.
    pub(super) fn begin(&self, prompt: &str) -> OpenCall<'_> {
        let mut account = self.account();
        let number = account.calls;
        account.calls += 1;
        account.open += 1;
        account.most_open = account.most_open.max(account.open);
        *account.by_prompt.entry(prompt.to_owned()).or_default() += 1;
        if account.times.len() < TIMES {
            account.times.push(Instant::now());
        }
        OpenCall { ledger: self, number }
    }

    pub(super) fn forget(&self) {
        let mut account = self.account();
        *account = Account { open: account.open, most_open: account.open, ..Account::default() };
    }
}

/// A call in flight. Dropping it ends the call.
#[derive(Debug)]
pub(super) struct OpenCall<'a> {
    ledger: &'a Ledger,
    pub(super) number: usize,
}

impl Drop for OpenCall<'_> {
    fn drop(&mut self) {
        self.ledger.account().open -= 1;
    }
}
