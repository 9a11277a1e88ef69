//! Random actions of clients, the configuration and the machine's environment, from a seed.

use std::{sync::Arc, time::Duration};

use reel_protocol::{JsonText, Seconds, TaskId, TaskSpec};
use reeld::{
    domain::{Fingerprint, PlanSpec, PlanTasks, StepOf},
    tasks::{
        Caller, Decision, SetTaskLimits, TaskRefusal,
        machine::{Event, Intake, RequestId, WaitOn},
    },
};

use super::{
    checks,
    model::Wrong,
    providers::{PROVIDERS, Planner, WORKFLOW, after},
    world::{PendingRequest, Wait, World},
};

impl World {
    /// Records a new request and returns its id.
    pub fn ask(&mut self, asked: PendingRequest) -> RequestId {
        let request = self.next_request;
        self.next_request += 1;
        self.requests.insert(request, asked);
        request
    }

    /// Performs one random action from outside the machine.
    pub fn command(&mut self) -> Result<(), Wrong> {
        match self.random.below(100) {
            0..36 => self.submit(),
            36..42 => self.call(),
            42..52 => self.wait(),
            52..76 if self.options.decisions => self.decide(),
            76..79 if self.options.decisions => self.remove(),
            79..82 => self.go_away(),
            82..85 => self.pause(),
            85..90 if self.options.config_changes => self.change_configuration(),
            90..92 if self.options.config_changes => self.change_limits(),
            92..94 if self.options.drains => self.drain(),
            94..96 => {
                self.change_memory();
                Ok(())
            }
            96..98 => {
                self.cache.clear();
                self.note(|| "the cache is emptied".to_owned());
                Ok(())
            }
            98..99 if self.options.provider_faults => {
                let (provider, is_down) = (self.random.below(3) as usize, self.random.percent(50));
                self.close(provider, is_down);
                Ok(())
            }
            _ => {
                let request = self.ask(PendingRequest::MakeRoom);
                self.feed(Event::MakeRoom { request, bytes: 1_000 })
            }
        }
    }

    fn client(&mut self) -> String {
        format!("client-{}", self.random.below(self.options.clients))
    }

    /// Returns a task that a client knows, if there is one.
    fn any_task(&mut self) -> Option<TaskId> {
        let known = self.model.known();
        // Mostly take one of the newest tasks, because they are the likeliest to be unfinished.
        let from = if self.random.percent(80) { known.len().saturating_sub(12) } else { 0 };
        (!known.is_empty()).then(|| self.random.one_of(&known[from..]))
    }

    /// Returns a task that the machine considers unfinished, or any other task if six tries find none.
    fn any_unfinished_task(&mut self) -> Option<TaskId> {
        let found: Vec<_> = (0..6).filter_map(|_| self.any_task()).collect();
        let live = found.iter().find(|id| self.machine.is_live(**id));
        live.or(found.first()).copied()
    }

    /// Returns a workflow, which is often unfinished.
    fn any_workflow(&mut self) -> Option<TaskId> {
        let mut found: Vec<_> = (0..6).filter_map(|_| self.any_unfinished_task()).collect();
        found.retain(|id| self.journal.task(*id).is_some_and(|row| row.kind == WORKFLOW));
        let live = found.iter().find(|id| self.machine.is_live(**id));
        live.or(found.first()).copied()
    }

    fn spec(&mut self, may_wait: bool) -> TaskSpec {
        let is_image = self.random.percent(80);
        let kind = match is_image {
            true => "image.generate",
            false if self.random.percent(40) => WORKFLOW,
            false => "debug.noop",
        };
        let params = format!(r#"{{"p":{}}}"#, self.random.below(self.options.prompts));
        let wanted = (is_image && self.random.percent(25)).then(|| self.random.one_of(&PROVIDERS_NAMES));
        let mut after = Vec::new();
        while may_wait && self.options.dependencies && self.random.percent(20) {
            after.extend(self.any_task());
        }
        let deadline_s =
            self.random.percent(8).then(|| Seconds(Duration::from_millis(500 + self.random.below(60_000))));
        TaskSpec {
            kind: kind.to_owned(),
            params: JsonText::parse(params).unwrap(),
            request_id: None,
            name: None,
            provider: wanted.map(str::to_owned),
            priority: if self.random.percent(30) { self.random.below(5) as i8 - 2 } else { 0 },
            after,
            cache: self.cache_mode(),
            max_attempts: self.random.percent(20).then_some(1),
            deadline_s,
            metadata: None,
        }
    }

    fn intake(&mut self, client: &str, specs: Vec<TaskSpec>, is_batch: bool) -> Intake {
        let caller = Caller { client: Arc::from(client), connection: self.random.below(3) };
        let plan = |spec: &TaskSpec| {
            let asked = PlanSpec {
                kind: &spec.kind,
                params: &spec.params,
                provider: spec.provider.as_deref(),
                planned: None,
                refused_by: &[],
            };
            let plan = self.planner.plan(&asked)?;
            let reads = spec.cache == reel_protocol::CacheMode::Use;
            let found = plan.keys().find_map(|key| self.cache.get(key)).filter(|_| reads).cloned();
            Ok((plan, found))
        };
        let planned: Result<Vec<_>, TaskRefusal> = specs.iter().map(plan).collect();
        let fingerprint = fingerprint(&format!("{specs:?}"));
        let mut intake = if is_batch {
            Intake::batch(caller, specs)
        } else {
            Intake { is_batch: false, ..Intake::batch(caller, specs) }
        };
        intake.planned = planned;
        intake.fingerprint = fingerprint;
        intake
    }

    fn submit(&mut self) -> Result<(), Wrong> {
        if self.random.percent(12) && !self.repeatable.is_empty() {
            return self.submit_again();
        }
        let client = self.client();
        let is_batch = self.random.percent(30);
        let count = if is_batch { 1 + self.random.below(6) } else { 1 };
        let specs: Vec<_> = (0..count).map(|_| self.spec(true)).collect();
        let mut intake = self.intake(&client, specs, is_batch);
        if is_batch && self.random.percent(20) && !self.batches.is_empty() {
            intake.batch = Some(self.random.one_of(&self.batches));
        }
        if !is_batch && self.random.percent(40) {
            intake.step = self.any_workflow().map(|parent| StepOf { parent, name: "step".into() });
        }
        if self.random.percent(30) && intake.step.is_none() {
            let request_id = format!("r{}", self.next_request);
            intake.request_id = Some(request_id.clone());
            if !is_batch {
                self.repeatable.push((client.clone(), request_id, intake.specs.clone()));
            }
        }
        self.send_submit(client, intake)
    }

    /// Repeats an earlier request, like a client that lost its connection, or sends another request with its id.
    fn submit_again(&mut self) -> Result<(), Wrong> {
        let place = self.random.below(self.repeatable.len() as u64) as usize;
        let (client, request_id, mut specs) = self.repeatable[place].clone();
        if self.random.percent(15) {
            specs = vec![self.spec(false)];
        }
        let mut intake = self.intake(&client, specs, false);
        intake.request_id = Some(request_id);
        self.send_submit(client, intake)
    }

    fn send_submit(&mut self, client: String, intake: Intake) -> Result<(), Wrong> {
        let (request_id, fingerprint) = (intake.request_id.clone(), intake.fingerprint.meaning);
        let request = self.ask(PendingRequest::Submit { client, request_id, fingerprint });
        self.feed(Event::Submit { request, intake: Box::new(intake) })
    }

    fn call(&mut self) -> Result<(), Wrong> {
        let (client, spec) = (self.client(), self.spec(true));
        let intake = self.intake(&client, vec![spec], false);
        let timeout = self.random.percent(50).then(|| Duration::from_millis(self.random.below(30_000)));
        let request = self.ask(PendingRequest::Call);
        self.feed(Event::Call { request, intake: Box::new(intake), timeout })
    }

    fn wait(&mut self) -> Result<(), Wrong> {
        let is_any = self.random.percent(30);
        let timeout = self.random.percent(50).then(|| self.random.below(30_000));
        let ends = timeout.map(|timeout| after(self.moment, timeout));
        let batch = if self.random.percent(40) && !self.batches.is_empty() {
            Some(self.random.one_of(&self.batches)).filter(|batch| self.journal.has_batch(*batch))
        } else {
            None
        };
        let mut tasks = Vec::new();
        if batch.is_none() {
            for _ in 0..=self.random.below(4) {
                tasks.extend(self.any_task().filter(|id| self.journal.task(*id).is_some()));
            }
            tasks.sort_unstable();
            tasks.dedup();
            if tasks.is_empty() {
                return Ok(());
            }
        }
        let mut had_settled = false;
        let on = match batch {
            None => WaitOn::Tasks(tasks.clone()),
            Some(batch) => {
                let rows = self.journal.tasks(&format!("batch = {}", batch.0));
                // The journal may have been read before a task was settled. It is read again once the machine knows of the wait.
                had_settled = rows.iter().any(|row| row.state.is_settled());
                WaitOn::Batch { batch, has_settled: had_settled && self.random.percent(50) }
            }
        };
        let mut wait = Wait { open: tasks, has_settled: false, is_unsure: false, batch, is_any, ends };
        wait.note_settled(&self.journal);
        let asked = wait.open.len();
        wait.open.retain(|id| !checks::is_changing(self, *id));
        wait.is_unsure = wait.open.len() < asked;
        wait.has_settled |= wait.is_unsure;
        let request = self.ask(PendingRequest::Wait(wait));
        self.feed(Event::Wait { request, on, is_any, timeout: timeout.map(Duration::from_millis) })?;
        if is_any && had_settled { self.feed(Event::HadSettled(request)) } else { Ok(()) }
    }

    fn decide(&mut self) -> Result<(), Wrong> {
        let id = if self.random.percent(60) { self.any_unfinished_task() } else { self.any_task() };
        let Some(id) = id else { return Ok(()) };
        let decision = match self.random.below(10) {
            0..3 => Decision::Cancel,
            3..5 => Decision::Retry,
            5..6 => Decision::Hold,
            6..9 => Decision::Release,
            _ => Decision::SetPriority(self.random.below(7) as i8 - 3),
        };
        if decision != Decision::Cancel {
            self.decided.insert(id);
        }
        let request = self.ask(PendingRequest::Decide(id));
        self.feed(Event::Decide { request, id, decision })
    }

    fn remove(&mut self) -> Result<(), Wrong> {
        let Some(id) = self.any_task() else { return Ok(()) };
        let request = self.ask(PendingRequest::Remove);
        self.feed(Event::Remove { request, id })
    }

    /// Lets a client that waits for an answer disconnect.
    fn go_away(&mut self) -> Result<(), Wrong> {
        let waiting =
            |asked: &PendingRequest| matches!(asked, PendingRequest::Wait(_) | PendingRequest::Call);
        let waits: Vec<_> =
            self.requests.iter().filter(|(_, asked)| waiting(asked)).map(|(request, _)| *request).collect();
        if waits.is_empty() {
            return Ok(());
        }
        let request = self.random.one_of(&waits);
        // The answer may say that the wait has timed out.
        if let Some(PendingRequest::Wait(wait)) = self.requests.get_mut(&request) {
            wait.ends = None;
        }
        self.feed(Event::Gone(request))
    }

    fn pause(&mut self) -> Result<(), Wrong> {
        self.is_paused = !self.is_paused;
        self.feed(Event::Pause(self.is_paused))
    }

    fn change_configuration(&mut self) -> Result<(), Wrong> {
        let mut configured = [true; PROVIDERS.len()];
        for is_configured in &mut configured {
            *is_configured = self.random.percent(75);
        }
        self.configure(configured)
    }

    /// Configures these providers for the machine.
    pub fn configure(&mut self, configured: [bool; PROVIDERS.len()]) -> Result<(), Wrong> {
        self.around.0.borrow_mut().configured = configured;
        self.planner = Arc::new(Planner { generation: self.planner.generation + 1, configured });
        for (was_unavailable, is_configured) in self.was_unavailable.iter_mut().zip(configured) {
            *was_unavailable |= !is_configured;
        }
        self.note(|| format!("configured: {configured:?}"));
        let planner: Arc<Planner> = Arc::clone(&self.planner);
        self.feed(Event::Replan(planner))
    }

    fn change_limits(&mut self) -> Result<(), Wrong> {
        self.limits = SetTaskLimits {
            max_concurrent: 1 + self.random.below(4) as usize,
            history: 5 + self.random.below(40),
            ..self.limits
        };
        self.feed(Event::Limits(self.limits))
    }

    fn drain(&mut self) -> Result<(), Wrong> {
        self.is_draining = true;
        let limit = Duration::from_millis(self.random.below(5_000));
        let paid = Duration::from_millis(self.random.below(60_000));
        let request = self.ask(PendingRequest::Drain);
        self.feed(Event::Drain { request, limit, paid })
    }

    fn change_memory(&mut self) {
        let mut state = self.around.0.borrow_mut();
        state.is_memory_critical = !state.is_memory_critical;
        let is_critical = state.is_memory_critical;
        drop(state);
        self.note(|| format!("memory is critical: {is_critical}"));
        self.needs_tick = true;
    }
}

const PROVIDERS_NAMES: [&str; 3] = [PROVIDERS[0].name, PROVIDERS[1].name, PROVIDERS[2].name];

/// Returns a digest of a request, to tell different requests apart.
fn fingerprint(text: &str) -> Fingerprint {
    let meaning = *blake3::hash(text.as_bytes()).as_bytes();
    Fingerprint { meaning, text: meaning }
}

impl World {
    /// Pauses the queue, and lets each of these clients submit a batch with this number of tasks.
    pub fn queue_noops(&mut self, clients: &[(&str, usize)]) -> Result<(), Wrong> {
        self.feed(Event::Pause(true))?;
        for (client, count) in clients {
            let spec = TaskSpec {
                kind: "debug.noop".to_owned(),
                params: JsonText::default(),
                request_id: None,
                name: None,
                provider: None,
                priority: 0,
                after: Vec::new(),
                cache: reel_protocol::CacheMode::Use,
                max_attempts: None,
                deadline_s: None,
                metadata: None,
            };
            let intake = self.intake(client, vec![spec; *count], true);
            self.send_submit((*client).to_owned(), intake)?;
        }
        Ok(())
    }
}
