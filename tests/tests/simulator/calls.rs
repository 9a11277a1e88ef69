//! Attempts at simulated providers: when a request is sent, what the response is, and what the provider holds for the attempt.

use std::sync::Arc;

use reel_protocol::CacheMode;
use reeld::{
    cache::Made,
    domain::{Again, Cost, JobFields, RemoteJob},
    tasks::machine::{Attempt, AttemptEnd, Event, RunId},
};

use super::{
    journal::TaskRow,
    model::Wrong,
    providers::{PROVIDERS, WORKFLOW, after, place_of},
    world::{PendingRequest, World, error, free_results_lost, paid_results_lost},
};

/// An attempt in flight.
#[derive(Debug)]
pub struct Call {
    pub attempt: Attempt,
    /// The row of its task when the attempt began.
    pub row: TaskRow,
    pub is_told_to_stop: bool,
    /// Whether the request was sent.
    has_left: bool,
    /// Whether the provider holds a job that is polled, or results that have yet to be fetched.
    is_fetching: bool,
    /// Whether the provider accepts jobs and is polled for them.
    is_polled: bool,
    /// Whether the journal has, or is about to get, the note that a job is submitted.
    is_announced: bool,
    /// The error with which it ends, once the journal has that the provider holds nothing any more.
    ends_with: Option<(&'static str, Again)>,
    /// Whether it waits for the journal to get what the provider holds.
    pub is_remembering: bool,
    /// Whether its results are being written to the journal.
    is_over: bool,
}

impl Call {
    pub fn new(attempt: Attempt, row: TaskRow, is_polled: bool) -> Self {
        let job = attempt.job.as_deref();
        let is_fetching = job.is_some_and(RemoteJob::is_at_provider);
        let is_announced = job.is_some_and(|job| !job.is_at_provider());
        Self {
            attempt,
            row,
            is_told_to_stop: false,
            has_left: false,
            is_fetching,
            is_polled: is_polled || is_announced,
            is_announced,
            ends_with: None,
            is_remembering: false,
            is_over: false,
        }
    }

    /// Whether it takes a slot of the limit for tasks that run at once.
    pub fn holds_slot(&self) -> bool {
        !self.is_fetching && !self.is_over && &*self.attempt.kind != WORKFLOW
    }

    /// Whether it may take its next step.
    pub const fn can_move(&self) -> bool {
        !self.is_remembering && !self.is_over
    }

    fn provider(&self) -> Option<usize> {
        self.attempt.provider.as_ref().map(|candidate| place_of(&candidate.provider))
    }
}

impl World {
    /// Lets one of the attempts, chosen at random, take its next step.
    pub fn move_a_call(&mut self) -> Result<(), Wrong> {
        let movable: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.can_move()).map(|(run, _)| *run).collect();
        let run = self.random.one_of(&movable);
        let call = &self.calls[&run];
        let (provider, is_fetching, has_left) = (call.provider(), call.is_fetching, call.has_left);
        let Some(provider) = provider else { return self.move_free_of_providers(run) };
        if let Some((code, again)) = call.ends_with {
            return self.end_call(run, AttemptEnd::Failed(error(code), again));
        }
        if !is_fetching && !has_left && call.is_polled && PROVIDERS[provider].is_paid {
            if call.attempt.job.is_some() {
                return self.look_for_lost(run, provider);
            }
            if !call.is_announced {
                return self.announce(run, provider);
            }
        }
        if !is_fetching && !has_left {
            return self.let_leave(run, provider);
        }
        if is_fetching { self.fetch(run, provider) } else { self.answer_call(run, provider) }
    }

    fn move_free_of_providers(&mut self, run: RunId) -> Result<(), Wrong> {
        let is_told = self.calls[&run].is_told_to_stop;
        let end = match self.random.below(10) {
            _ if is_told => AttemptEnd::Stopped,
            0 if !self.is_settling => AttemptEnd::Failed(error("task_failed"), Again::Never),
            1 if !self.is_settling => AttemptEnd::Failed(error("task_failed"), Again::Later(None)),
            2 if !self.is_settling => {
                let progress = Event::Progress { run, fraction: 0.5, message: "half".to_owned() };
                return self.feed(progress);
            }
            _ => AttemptEnd::Done,
        };
        self.end_call(run, end)
    }

    fn let_leave(&mut self, run: RunId, provider: usize) -> Result<(), Wrong> {
        if self.calls[&run].is_told_to_stop {
            return self.end_call(run, AttemptEnd::Stopped);
        }
        if self.options.provider_faults && !self.is_settling && self.random.percent(8) {
            let is_down = self.random.percent(50);
            self.close(provider, is_down);
            let error = error("provider_unreachable");
            return self.end_call(run, AttemptEnd::Failed(error, Again::WhenReached));
        }
        self.note(|| format!("attempt {run} asks {}", PROVIDERS[provider].name));
        let row = self.calls[&run].row.clone();
        self.model.asked(run, &row, provider)?;
        if let Some(call) = self.calls.get_mut(&run) {
            call.has_left = true;
        }
        Ok(())
    }

    fn answer_call(&mut self, run: RunId, provider: usize) -> Result<(), Wrong> {
        let is_paid = PROVIDERS[provider].is_paid;
        let (is_told, faults) =
            (self.calls[&run].is_told_to_stop, self.options.provider_faults && !self.is_settling);
        if is_told && !is_paid && self.random.percent(70) {
            return self.end_call(run, AttemptEnd::Stopped);
        }
        let (failure, again) = match self.random.below(100) {
            0..20 => return self.name_results(run, provider),
            20..56 if self.calls[&run].is_polled && !faults => return self.name_results(run, provider),
            20..26 if faults => (self.random.one_of(&["moderated", "provider_refused"]), Again::Never),
            26..32 if faults => (self.random.one_of(&["provider_auth", "quota_exceeded"]), Again::Never),
            32..38 if faults => ("provider_failed", Again::Later(None)),
            38..44 if faults => {
                self.close(provider, false);
                ("rate_limited", Again::WhenAllowed(None))
            }
            44..48 if faults => {
                self.close(provider, true);
                ("provider_unavailable", Again::Later(None))
            }
            48..56 if faults && is_paid => {
                self.note(|| format!("the answer to attempt {run} is lost"));
                self.model.lost(run, &self.journal);
                return self.end_call(run, AttemptEnd::Failed(error("answer_lost"), Again::OutcomeUnknown));
            }
            56..60 => {
                let progress = Event::Progress { run, fraction: 0.3, message: "drawing".to_owned() };
                return self.feed(progress);
            }
            _ => return self.make(run, provider),
        };
        self.model.not_paid(run);
        if self.calls[&run].is_announced {
            return self.forget_job(run, failure, again);
        }
        self.end_call(run, AttemptEnd::Failed(error(failure), again))
    }

    /// Writes to the journal that a paid job is about to be submitted. This comes before the submission.
    fn announce(&mut self, run: RunId, provider: usize) -> Result<(), Wrong> {
        if self.calls[&run].is_told_to_stop {
            return self.end_call(run, AttemptEnd::Stopped);
        }
        if let Some(call) = self.calls.get_mut(&run) {
            call.is_announced = true;
        }
        let job = RemoteJob::submitting(PROVIDERS[provider].name, self.now().wall);
        self.remember(run, Some(job))
    }

    /// Looks at the provider for a job that an earlier attempt has submitted or was about to submit.
    fn look_for_lost(&mut self, run: RunId, provider: usize) -> Result<(), Wrong> {
        let call = &self.calls[&run];
        let may_ask_again = call.attempt.job.as_ref().is_some_and(|job| job.may_ask_again());
        let row = call.row.clone();
        if self.model.is_unsettled(&row, provider) && (self.is_settling || self.random.percent(60)) {
            self.note(|| format!("attempt {run} finds the job of an earlier one"));
            self.model.fetching(run, &row, provider);
            return self.name_results(run, provider);
        }
        if !may_ask_again {
            return self.end_call(run, AttemptEnd::Failed(error("answer_lost"), Again::OutcomeUnknown));
        }
        if let Some(call) = self.calls.get_mut(&run) {
            call.attempt.job = None;
            call.is_announced = false;
        }
        self.remember(run, None)
    }

    /// Writes to the journal that the provider holds nothing any more. The attempt ends after that, with this error.
    fn forget_job(&mut self, run: RunId, code: &'static str, again: Again) -> Result<(), Wrong> {
        if let Some(call) = self.calls.get_mut(&run) {
            call.ends_with = Some((code, again));
        }
        self.remember(run, None)
    }

    fn remember(&mut self, run: RunId, job: Option<RemoteJob>) -> Result<(), Wrong> {
        let request = self.ask(PendingRequest::Remember(run));
        if let Some(call) = self.calls.get_mut(&run) {
            call.is_remembering = true;
        }
        self.feed(Event::RememberJob { request, run, job })
    }

    /// Handles the outcome of [`Self::remember`]: whether the journal has what the provider holds.
    pub fn remembered(&mut self, run: RunId, is_on_disk: bool) {
        let Some(call) = self.calls.get_mut(&run) else { return };
        call.is_remembering = false;
        // A job that is paid for is not submitted before the journal has it.
        if !is_on_disk && !call.is_fetching && !call.has_left && call.is_polled {
            call.ends_with = Some(("storage_failed", Again::Later(None)));
        }
    }

    /// The provider has made the results and says where they are.
    fn name_results(&mut self, run: RunId, provider: usize) -> Result<(), Wrong> {
        let (name, now) = (PROVIDERS[provider].name, self.now().wall);
        let job = if self.calls[&run].is_polled {
            RemoteJob::submitted(name, JobFields::from([("id".to_owned(), run.to_string())]), now)
        } else {
            RemoteJob::results(name, ["https://results.example/a.png"], now)
        };
        if let Some(call) = self.calls.get_mut(&run) {
            call.is_fetching = true;
            call.attempt.job = Some(Arc::new(job.clone()));
        }
        self.remember(run, Some(job))
    }

    fn fetch(&mut self, run: RunId, provider: usize) -> Result<(), Wrong> {
        let call = &self.calls[&run];
        let may_ask_again = call.attempt.job.as_ref().is_some_and(|job| job.may_ask_again());
        let (row, is_told) = (call.row.clone(), call.is_told_to_stop);
        self.model.fetching(run, &row, provider);
        let is_polled = self.calls[&run].is_polled;
        // A result that was paid for is fetched even if nobody wants it any more. Only a job can be cancelled.
        let may_stop = is_polled || !PROVIDERS[provider].is_paid;
        if is_told && may_stop && self.random.percent(50) {
            if is_polled {
                // The provider cancels the job.
                self.model.not_paid(run);
                return self.forget_job(run, "cancelled", Again::Never);
            }
            return self.end_call(run, AttemptEnd::Stopped);
        }
        let faults = self.options.provider_faults && !self.is_settling;
        match self.random.below(100) {
            0..10 if faults => {
                self.end_call(run, AttemptEnd::Failed(error("download_failed"), Again::Later(None)))
            }
            10..15 if faults && may_ask_again => {
                // A person has allowed another call if the results are gone.
                self.note(|| format!("the results of attempt {run} are gone"));
                self.model.not_paid(run);
                if let Some(call) = self.calls.get_mut(&run) {
                    (call.is_fetching, call.has_left, call.is_announced) = (false, false, false);
                    call.attempt.job = None;
                }
                self.remember(run, None)
            }
            15..25 if faults && self.calls[&run].is_polled => {
                self.note(|| format!("the job of attempt {run} fails"));
                self.model.not_paid(run);
                self.forget_job(run, "moderated", Again::Never)
            }
            10..15 if faults && PROVIDERS[provider].is_paid => {
                self.model.lost(run, &self.journal);
                self.end_call(run, AttemptEnd::Failed(error("answer_lost"), Again::OutcomeUnknown))
            }
            _ => self.make(run, provider),
        }
    }

    fn make(&mut self, run: RunId, provider: usize) -> Result<(), Wrong> {
        let made = Arc::new(Made {
            outputs: Vec::new(),
            provider: PROVIDERS[provider].name.to_owned(),
            model: None,
            made: self.now().wall,
            notes: Vec::new(),
            flaw: None,
        });
        let on_journal_failure =
            if PROVIDERS[provider].is_paid { paid_results_lost } else { free_results_lost };
        let end = AttemptEnd::Made {
            made,
            cost: Some(Cost { microusd: 40_000, is_estimate: false }),
            on_journal_failure,
        };
        self.give_permit_back(run);
        if let Some(call) = self.calls.get_mut(&run) {
            call.is_over = true;
        }
        self.feed(Event::Ended { run, end })
    }

    fn end_call(&mut self, run: RunId, end: AttemptEnd) -> Result<(), Wrong> {
        self.calls.remove(&run);
        self.give_permit_back(run);
        self.feed(Event::Ended { run, end })
    }

    fn give_permit_back(&mut self, run: RunId) {
        if self.around.0.borrow_mut().permits.remove(&run).is_some() {
            self.needs_tick = true;
        }
    }

    /// Closes a provider's gate for a random time.
    pub fn close(&mut self, provider: usize, is_down: bool) {
        let wait = 100 + self.random.below(20_000);
        self.was_unavailable[provider] |= is_down;
        self.around.0.borrow_mut().closed[provider] = Some((after(self.moment, wait), is_down));
        self.note(|| format!("{} is closed for {wait} ms, down: {is_down}", PROVIDERS[provider].name));
        self.needs_tick = true;
    }

    /// Returns a random cache mode, mostly `Use`.
    pub fn cache_mode(&mut self) -> CacheMode {
        match self.random.below(20) {
            0 => CacheMode::Fresh,
            1 => CacheMode::Off,
            _ => CacheMode::Use,
        }
    }
}
