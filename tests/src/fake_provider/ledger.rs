//! What the server has seen: calls, how many at once, when, and the requests themselves.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::http::Request;

/// Requests that are remembered, newest last: a bench makes more calls than anybody will look at.
const REMEMBERED: usize = 4096;
/// Bytes of a body that are remembered.
const REMEMBERED_BODY: usize = 256 * 1024;
/// Times that are remembered.
const TIMES: usize = 1_000_000;

/// The account of one server.
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

    /// Any request; of a call for pictures, `begin` counts it too.
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

    /// A call for pictures whose request is read; it is open until the value is dropped. Its number counts from zero.
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

/// One call that is being answered.
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
