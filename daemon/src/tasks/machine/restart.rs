//! Takes over the journal's unfinished tasks at the start. Tasks that were running when the last daemon ended are first settled on disk.

use std::{collections::HashSet, sync::Arc};

use reel_protocol::{ErrorCode, HoldReason, TaskError, TaskId, TaskState};

use super::{Effect, Machine, Now, Surroundings, Todo};
use crate::{
    store::{Dependencies, NewTask, Recovered, Recovery, Transition},
    tasks::{
        Plan, PlanRefusal, PlanSpec, PlanTasks,
        crash::{AfterCrash, OpenAttempt, after_crash},
        end::{End, task_error},
        live::{Counted, LONGEST_DELAY, LiveTask, held_bytes, live_task, span_left},
        ready::Lane,
    },
};

impl Recovered {
    /// Returns the request for the planner.
    pub(super) fn plan_spec(&self) -> PlanSpec<'_> {
        let NewTask { kind, params, wanted_provider, provider, .. } = &self.task;
        PlanSpec {
            kind,
            params,
            provider: wanted_provider.as_deref(),
            planned: provider.as_deref(),
            refused_by: &self.refused_by,
        }
    }
}

type Planned = Result<Plan, PlanRefusal>;

/// The tasks of an earlier daemon. The transitions must be committed before [`Machine::restore`] is called.
#[derive(Debug)]
pub struct Restart {
    rows: Vec<(Recovered, Planned)>,
    counts: Vec<(TaskState, bool, u64)>,
    ids_below: u64,
    interrupted: HashSet<TaskId>,
    transitions: Arc<Vec<Transition>>,
}

impl Restart {
    /// Applies the crash rule to tasks that were running. Each task is planned on its own, so that a plan that is refused fails only its own task,
    /// and not the start.
    pub fn new(recovery: Recovery, planner: &dyn PlanTasks, now: Now) -> Self {
        let Recovery { unfinished, counts, ids_below, .. } = recovery;
        let plan = |row: Recovered| {
            let plan = planner.plan(&row.plan_spec());
            (row, plan)
        };
        let mut rows: Vec<_> = unfinished.into_iter().map(plan).collect();
        let interrupted = rows.iter_mut().filter(|(row, _)| row.task.state == TaskState::Running);
        let transitions: Vec<_> = interrupted.map(|(row, plan)| settle_interrupted(row, plan, now)).collect();
        let interrupted = transitions.iter().map(|transition| transition.id).collect();
        Self { rows, counts, ids_below, interrupted, transitions: Arc::new(transitions) }
    }

    /// Returns the transitions that must be committed first.
    pub fn transitions(&self) -> Arc<Vec<Transition>> {
        Arc::clone(&self.transitions)
    }
}

/// Applies the crash rule to a task that was running when the daemon ended. This updates its row in memory, and returns the transition for the journal.
fn settle_interrupted(row: &mut Recovered, plan: &Planned, now: Now) -> Transition {
    let used = row.task.provider.as_deref();
    let candidates = plan.iter().flat_map(|plan| &plan.candidates);
    let candidate = candidates.into_iter().find(|candidate| Some(&*candidate.provider) == used);
    row.deaths += 1;
    let after = after_crash(OpenAttempt {
        // A provider that is not configured may have been a paid one.
        is_paid: candidate.map_or(used.is_some(), |candidate| candidate.is_paid),
        // A task whose provider is not configured waits for the provider, and then fetches the results.
        has_remote_id: row.remote_job().is_some()
            && plan.as_ref().err().is_none_or(PlanRefusal::is_for_want_of_its_provider),
        deaths: row.deaths,
        is_workflow: plan.as_ref().is_ok_and(|plan| plan.is_workflow),
    });
    tracing::warn!(task = row.task.id.0, then = after.name(), "was running when the daemon ended");
    let error = match after {
        AfterCrash::Hold(HoldReason::CrashSuspect) => Some(why_suspected(row.deaths)),
        AfterCrash::Hold(_) => Some(why_held("died", used)),
        AfterCrash::Queue | AfterCrash::PollOn => None,
    };
    (row.task.state, row.hold_reason) = match after {
        AfterCrash::Queue | AfterCrash::PollOn => (TaskState::Queued, None),
        AfterCrash::Hold(reason) => (TaskState::Held, Some(reason)),
    };
    row.rev += 1;
    // The attempt did not fail by itself, so it does not count.
    row.task.attempts_left += 1;
    Transition {
        id: row.task.id,
        rev: row.rev,
        at: now.wall,
        is_retry: false,
        state: row.task.state,
        hold_reason: row.hold_reason,
        not_before: None,
        priority: row.task.priority,
        attempts_left: row.task.attempts_left,
        deaths: row.deaths,
        left_provider: None,
        attempt_outcome: Some("daemon_died".to_owned()),
        error,
        resolved: None,
    }
}

/// Returns the error of a task that may have been paid. `ended` says what happened to the daemon: it died, or was stopped.
pub(super) fn why_held(ended: &str, provider: Option<&str>) -> TaskError {
    let message = provider.map_or_else(
        || format!("the daemon {ended} while it was running"),
        |provider| format!("the daemon {ended} while {provider} was asked, so its answer is lost"),
    );
    let hint = "reel release asks again, and may pay again; reel cancel cancels the task";
    task_error(ErrorCode::AnswerLost, message, hint, true)
}

/// Returns the error of a task that was running at several daemon deaths. Nothing was paid for it.
fn why_suspected(deaths: u32) -> TaskError {
    TaskError {
        code: HoldReason::CrashSuspect.name().to_owned(),
        message: format!(
            "the daemon died {deaths} times while it was running, so it may be what the daemon dies of"
        ),
        hint: Some("reel release tries it again; reel cancel cancels the task".to_owned()),
        retryable: true,
        provider_status: None,
    }
}

/// Returns a live task from its row in the journal.
pub(super) fn revived(row: &Recovered, plan: Plan, now: Now) -> LiveTask {
    let lane = row.batch.map_or(Lane::Connection(0), |batch| Lane::Batch(batch.0));
    let mut task = live_task(&row.task, plan, Arc::from(row.client.as_str()), row.batch, lane, now);
    task.rev = row.rev;
    task.hold_reason = row.hold_reason;
    task.attempts = row.attempts;
    task.unreached = row.unreached;
    task.deaths = row.deaths;
    task.not_before = row.not_before;
    let left = |deadline| span_left(deadline, row.created, now.wall);
    task.deadline = row.task.deadline.map(|deadline| now.moment + left(deadline));
    task.job = row.remote_job().map(Arc::new);
    task.refused_by.clone_from(&row.refused_by);
    task.last_provider = row.task.provider.as_deref().map(Arc::from);
    task
}

impl<S: Surroundings> Machine<S> {
    /// Takes over the tasks of an earlier daemon, after their steps are committed. It must be called once, before any event.
    pub fn restore(&mut self, restart: Restart, now: Now) -> Vec<Effect> {
        self.now = now;
        let Restart { mut rows, counts, ids_below, interrupted, .. } = restart;
        self.ids.begin_at(ids_below);
        self.counts = counts.into_iter().map(|(state, is_step, count)| ((state, is_step), count)).collect();
        // A task that was running, or that may have been paid, leads its flight again.
        let leads = |row: &Recovered| {
            interrupted.contains(&row.task.id) || row.hold_reason == Some(HoldReason::OutcomeUnknown)
        };
        rows.sort_by_key(|(row, _)| (!leads(row), row.task.id));
        if !rows.is_empty() {
            tracing::info!(tasks = rows.len(), "restoring unfinished tasks");
        }
        for (row, plan) in rows {
            if interrupted.contains(&row.task.id) {
                let counted = Counted { batch: None, is_step: row.task.step.is_some() };
                self.count(counted, Some(TaskState::Running), Some(row.task.state));
            }
            self.restore_one(row, plan);
        }
        self.warn_of_missing_providers();
        self.finish_turn()
    }

    fn restore_one(&mut self, mut row: Recovered, plan: Planned) {
        let id = row.task.id;
        let (plan, refusal) = match plan {
            Ok(plan) => (plan, None),
            Err(refusal) => self.plan_of_refused(&row, refusal),
        };
        if let Some(provider) = &plan.missing {
            self.missing.insert(id, Arc::clone(provider));
        }
        let open = std::mem::replace(&mut row.open, Ok(Vec::new()));
        let mut task = revived(&row, plan, self.now);
        // An accepted task is kept even if it does not fit into the memory budget any more.
        let bytes = held_bytes(&row.task, open.as_ref().map_or(0, Vec::len));
        task.held_bytes = self.around.reserve(bytes).map_or(0, |()| bytes);
        self.count_recovered(task.batch, task.state);
        if let Some(deadline) = task.deadline {
            self.timers.add_deadline(deadline, id);
        }
        let state = task.state;
        self.note_step(&task);
        self.live.insert(id, Box::new(task));
        // A person decides about a held task. If it cannot be planned, its release says so.
        if let Some(refusal) = refusal.filter(|_| state != TaskState::Held) {
            let hint = refusal.hint.unwrap_or_default();
            return self.finish(id, End::failed(task_error(refusal.code, refusal.message, &hint, true)));
        }
        self.resume(id, state, &row, open);
        if state == TaskState::Held && self.is_unknown(id) {
            self.keep_key(id);
        }
        if row.is_given_up {
            self.when_settled(id, Todo::GiveUp);
        }
    }

    fn resume(&mut self, id: TaskId, state: TaskState, row: &Recovered, open: Dependencies) {
        match (state, open) {
            // A released task may be queued although a dependency failed while it was held: the daemon died before it could end the task.
            (TaskState::Waiting | TaskState::Held | TaskState::Queued, Err(failed)) => {
                self.when_settled(id, Todo::FailAfter(failed));
            }
            (TaskState::Waiting, Ok(open)) if open.is_empty() => self.stop_waiting(id),
            (TaskState::Waiting | TaskState::Held, Ok(open)) => self.dependencies.add(id, open),
            (TaskState::Queued, _) => self.resume_queued(id, row),
            _ => {}
        }
    }

    /// Returns the plan of a task that the planner refused. A task whose provider is not configured waits for it. Any other refusal ends the task.
    fn plan_of_refused(&self, row: &Recovered, refusal: PlanRefusal) -> (Plan, Option<PlanRefusal>) {
        let params = row.task.params.clone();
        let PlanSpec { provider, planned, .. } = row.plan_spec();
        match provider.or(planned).filter(|_| refusal.is_for_want_of_its_provider()) {
            Some(provider) => {
                (Plan::without_provider(params, provider.into(), self.planner.generation()), None)
            }
            None => (Plan { params, ..Plan::default() }, Some(refusal)),
        }
    }

    fn resume_queued(&mut self, id: TaskId, row: &Recovered) {
        if let Some(until) = row.not_before {
            let wall = self.now.wall;
            let left = span_left(until, row.attempt_ended.unwrap_or(wall), wall).min(LONGEST_DELAY);
            if !left.is_zero() {
                self.delay(id, self.now.moment + left);
            }
        }
        self.enter_queue(id);
    }
}
