//! A simulated daemon: its machine, its journal, what is pending between them, its clients and its providers, and how it starts and dies.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use reel_protocol::{BatchId, TaskError, TaskId, Timestamp};
use reeld::{
    cache::Made,
    domain::Again,
    store::StoreError,
    tasks::{
        SetTaskLimits,
        machine::{Event, Machine, Moment, Now, Outcome, RequestId, Restart, RunId, Write},
    },
};

use super::{
    calls::Call,
    journal::{Journal, Schema},
    model::{Model, Wrong},
    providers::{PROVIDERS, Planner, SimulatedSurroundings},
    random::Random,
};

/// What may happen in a run. The shrinker turns these off one by one.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Number of random steps before the last phase, in which everything must end.
    pub steps: u32,
    pub crashes: bool,
    pub refused_commits: bool,
    pub clock_steps: bool,
    pub config_changes: bool,
    pub drains: bool,
    pub decisions: bool,
    pub dependencies: bool,
    pub provider_faults: bool,
    /// Number of clients that submit.
    pub clients: u64,
    /// Number of different prompts. The fewer there are, the more requests are equal.
    pub prompts: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            steps: 400,
            crashes: true,
            refused_commits: true,
            clock_steps: true,
            config_changes: true,
            drains: true,
            decisions: true,
            dependencies: true,
            provider_faults: true,
            clients: 3,
            prompts: 5,
        }
    }
}

/// The trace of a run, for the reader of a failure.
pub type Trace = Rc<RefCell<Vec<String>>>;

/// A request that was not answered yet.
#[derive(Debug, Clone)]
pub enum PendingRequest {
    Submit { client: String, request_id: Option<String>, fingerprint: [u8; 32] },
    Call,
    Wait(Wait),
    Decide(TaskId),
    Remove,
    MakeRoom,
    Drain,
    Remember(RunId),
}

/// A wait for tasks.
#[derive(Debug, Clone)]
pub struct Wait {
    /// The tasks that have not been settled at any time since the wait began.
    pub open: Vec<TaskId>,
    /// Whether one of its tasks has been settled since the wait began.
    pub has_settled: bool,
    /// Whether one of its tasks was changing when the wait began, so that it is unknown whether it was settled then.
    pub is_unsure: bool,
    /// The batch for which it waits, if it does not wait for ids.
    pub batch: Option<BatchId>,
    pub is_any: bool,
    pub ends: Option<Moment>,
}

impl Wait {
    /// Records which of its tasks are settled at this time.
    pub fn note_settled(&mut self, journal: &Journal) {
        let before = self.open.len();
        self.open.retain(|id| journal.task(*id).is_some_and(|row| !row.state.is_settled()));
        self.has_settled |= self.open.len() < before;
    }
}

/// Something that the machine asked for, and whose answer comes later.
pub enum Pending {
    LookUp { run: RunId, keys: Vec<[u8; 32]> },
    Event(Box<Event>),
}

/// The reason why a run stopped.
pub enum Stop {
    /// A rule is broken.
    Wrong(Wrong),
    /// The daemon dies at this point.
    Death,
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

/// A simulated daemon with its clients and providers.
pub struct World {
    pub random: Random,
    pub options: Options,
    pub trace: Trace,
    pub journal: Journal,
    pub around: SimulatedSurroundings,
    pub planner: Arc<Planner>,
    pub machine: Machine<SimulatedSurroundings>,
    pub limits: SetTaskLimits,
    /// The highest limit of tasks at once since the oldest attempt in flight began. A lower limit does not end attempts.
    pub most_slots: usize,
    pub is_paused: bool,
    pub is_draining: bool,
    /// Whether the last phase has begun, in which there are no faults and everything must end.
    pub is_settling: bool,
    pub moment: Moment,
    pub wall_ms: u64,
    pub to_commit: VecDeque<Arc<Write>>,
    pub to_hand_back: VecDeque<(Arc<Write>, Result<Outcome, StoreError>)>,
    pub pending: Vec<Pending>,
    pub calls: BTreeMap<RunId, Call>,
    pub wake: Option<Moment>,
    pub needs_tick: bool,
    pub requests: BTreeMap<RequestId, PendingRequest>,
    pub next_request: RequestId,
    pub cache: BTreeMap<[u8; 32], Arc<Made>>,
    pub model: Model,
    pub batches: Vec<BatchId>,
    /// Tasks about which a client has decided something other than to give them up.
    pub decided: BTreeSet<TaskId>,
    /// Requests with a request id that may be sent again: client name, request id and tasks.
    pub repeatable: Vec<(String, String, Vec<reel_protocol::TaskSpec>)>,
    /// When the machine last learnt that a write was refused. Its tasks may wait for a second.
    pub refused_at: Option<Moment>,
    /// Providers that were out of order or not configured since the daemon started. Tasks that were planned there may have gone to another provider,
    /// and their rows do not say so.
    pub was_unavailable: [bool; PROVIDERS.len()],
    /// The clients of the attempts that began, in the order in which they began.
    pub begun_by: Vec<String>,
}

impl World {
    pub fn new(seed: u64, options: Options, schema: &Schema, trace: Trace) -> Self {
        let around = SimulatedSurroundings::default();
        let configured = [true; PROVIDERS.len()];
        let planner = Arc::new(Planner { generation: 1, configured });
        {
            let mut state = around.0.borrow_mut();
            state.budget_bytes = 200_000;
            state.configured = configured;
        }
        let mut random = Random::new(seed);
        let limits = SetTaskLimits {
            max_concurrent: 1 + random.below(4) as usize,
            history: 5 + random.below(40),
            queue_limit: 60,
            default_attempts: 3,
        };
        let (moment, wall_ms) = (Moment::default(), 1_800_000_000_000);
        let now = Now { moment, wall: Timestamp::from_unix_ms(wall_ms) };
        let machine = Machine::new(around.clone(), limits, Arc::<Planner>::clone(&planner), now);
        Self {
            random,
            options,
            trace,
            journal: Journal::new(schema),
            around,
            planner,
            machine,
            limits,
            most_slots: limits.max_concurrent,
            is_paused: false,
            is_draining: false,
            is_settling: false,
            moment,
            wall_ms,
            to_commit: VecDeque::new(),
            to_hand_back: VecDeque::new(),
            pending: Vec::new(),
            calls: BTreeMap::new(),
            wake: None,
            needs_tick: false,
            requests: BTreeMap::new(),
            next_request: 1,
            cache: BTreeMap::new(),
            model: Model::default(),
            batches: Vec::new(),
            decided: BTreeSet::new(),
            repeatable: Vec::new(),
            refused_at: None,
            was_unavailable: [false; PROVIDERS.len()],
            begun_by: Vec::new(),
        }
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        self.trace.borrow_mut().push(line());
    }

    pub fn now(&self) -> Now {
        Now { moment: self.moment, wall: Timestamp::from_unix_ms(self.wall_ms) }
    }

    /// Starts the daemon on the existing journal, which may be empty.
    pub fn start(&mut self) -> Result<(), Wrong> {
        loop {
            self.note(|| "the daemon starts".to_owned());
            let restart = Restart::new(self.journal.recover(), &*self.planner, self.now());
            if self.dies_here(10) {
                continue;
            }
            self.journal.commit_transitions(&restart.transitions());
            if self.dies_here(10) {
                continue;
            }
            let planner = Arc::<Planner>::clone(&self.planner);
            self.machine = Machine::new(self.around.clone(), self.limits, planner, self.now());
            let effects = self.machine.restore(restart, self.now());
            match self.carry_out(effects) {
                Ok(()) => {
                    if self.is_paused {
                        // A pause ends with the daemon.
                        self.is_paused = false;
                    }
                    return Ok(());
                }
                Err(Stop::Wrong(wrong)) => return Err(wrong),
                Err(Stop::Death) => self.forget()?,
            }
        }
    }

    fn dies_here(&mut self, percent: u64) -> bool {
        self.options.crashes && !self.is_settling && self.random.percent(percent)
    }

    /// Kills the daemon and starts it again. Everything that was not committed is lost.
    pub fn die(&mut self) -> Result<(), Wrong> {
        self.note(|| "the daemon dies".to_owned());
        self.forget()?;
        self.start()
    }

    fn forget(&mut self) -> Result<(), Wrong> {
        self.to_commit.clear();
        self.to_hand_back.clear();
        self.pending.clear();
        self.calls.clear();
        self.requests.clear();
        self.wake = None;
        self.needs_tick = false;
        self.is_draining = false;
        self.refused_at = None;
        let mut state = self.around.0.borrow_mut();
        state.permits.clear();
        state.reserved_bytes = 0;
        self.was_unavailable = std::array::from_fn(|provider| {
            !state.configured[provider] || state.closed[provider].is_some_and(|(_, is_down)| is_down)
        });
        drop(state);
        self.model.died(&self.journal)
    }
}

/// Returns what happens when the rows of paid results cannot be written.
pub fn paid_results_lost(_: StoreError) -> (TaskError, Again) {
    (error("storage_failed"), Again::OutcomeUnknown)
}

/// Returns what happens when the rows of free results cannot be written.
pub fn free_results_lost(_: StoreError) -> (TaskError, Again) {
    (error("storage_failed"), Again::Later(None))
}

/// Returns an error with this code.
pub fn error(code: &str) -> TaskError {
    TaskError {
        code: code.to_owned(),
        message: format!("simulated: {code}"),
        hint: None,
        retryable: true,
        provider_status: None,
    }
}
