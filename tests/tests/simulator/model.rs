//! The reference model: what must be true whatever the machine does and whenever the daemon dies. It sees what was committed, what was sent to a
//! provider, and what was answered. It does not know the machine.

use std::collections::{BTreeMap, BTreeSet};

use reel_protocol::{TaskId, TaskState};
use reeld::tasks::machine::{AfterTransition, Outcome, RunId, Write};

use super::{
    journal::{Journal, TaskRow},
    providers::PROVIDERS,
};

/// The purpose of a paid request. Tasks that share their results have the same purpose, and any other task has its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Shared(usize, String),
    Own(TaskId),
}

impl Purpose {
    /// Returns the purpose of a task's request at a provider.
    pub fn of(row: &TaskRow, provider: usize) -> Self {
        if row.uses_cache { Self::Shared(provider, row.params.clone()) } else { Self::Own(row.id) }
    }

    /// Whether a task shares this purpose, whatever provider its row names.
    fn may_be_of(&self, row: &TaskRow) -> bool {
        match self {
            Self::Shared(_, params) => row.uses_cache && row.params == *params,
            Self::Own(id) => row.id == *id,
        }
    }

    fn is_of(&self, row: &TaskRow) -> bool {
        let is_there = |provider: usize| row.provider.as_deref() == Some(PROVIDERS[provider].name);
        self.may_be_of(row) && if let Self::Shared(provider, _) = self { is_there(*provider) } else { true }
    }
}

/// A request that was sent to a paid provider and whose outcome is not settled.
#[derive(Debug)]
struct Unsettled {
    /// The attempt, while it is in flight.
    run: Option<RunId>,
    /// The task for which the request was made.
    task: TaskId,
}

/// A description of a broken rule.
pub type Wrong = String;

/// Everything that was committed, sent to providers and answered.
#[derive(Debug, Default)]
pub struct Model {
    /// Ids that a client has seen.
    pub shown: BTreeSet<TaskId>,
    /// Tasks whose acceptance was acknowledged. They must stay in the journal until they are removed after their end.
    acknowledged: BTreeSet<TaskId>,
    /// Tasks that were removed from the history.
    gone: BTreeSet<TaskId>,
    unsettled: BTreeMap<Purpose, Unsettled>,
    /// The fingerprint and the first task of each acknowledged request id, by client and request id.
    requests: BTreeMap<(String, String), ([u8; 32], TaskId)>,
    /// The task of each attempt of this daemon whose begin is committed.
    pub begun: BTreeMap<RunId, TaskId>,
    /// The tasks whose last request was refused or not sent, so that an error may end them although an equal request is unsettled.
    refused: BTreeSet<TaskId>,
}

impl Model {
    /// Returns the tasks that were acknowledged and may still exist.
    pub fn known(&self) -> Vec<TaskId> {
        self.acknowledged.difference(&self.gone).copied().collect()
    }

    /// Checks a write that is about to be committed. `before` is the current row of its task.
    pub fn committing(&mut self, write: &Write, before: Option<&TaskRow>) -> Result<(), Wrong> {
        let Some(before) = before else { return Ok(()) };
        let after = match write {
            Write::Transition { transition, then } => {
                if *then != AfterTransition::Required {
                    // A person, or a program on a person's behalf, decided this.
                    self.allow(before);
                } else if before.is_unknown
                    && before.state == TaskState::Held
                    && transition.state != TaskState::Held
                {
                    return Err(format!(
                        "task {} may have been paid, and becomes {} though nobody decided it",
                        before.id,
                        transition.state.name()
                    ));
                }
                transition.state
            }
            Write::Start { .. } => TaskState::Running,
            Write::Finish(finish) => {
                self.check_end(before, finish.state)?;
                finish.state
            }
            _ => return Ok(()),
        };
        if before.state.is_finished() && !matches!(write, Write::Transition { .. }) {
            return Err(format!("task {} is over, and becomes {}", before.id, after.name()));
        }
        Ok(())
    }

    /// Records that a client lets a task go on: its request may be made, and paid for, again. An attempt that is in flight stays unsettled.
    fn allow(&mut self, row: &TaskRow) {
        self.unsettled.retain(|purpose, unsettled| {
            let is_own = unsettled.task == row.id;
            let is_in_flight = unsettled.run.is_some() && (!is_own || row.state == TaskState::Running);
            is_in_flight || !(purpose.may_be_of(row) || is_own)
        });
    }

    /// Records a write that was committed.
    pub fn committed(&mut self, write: &Write, outcome: &Outcome, journal: &Journal) -> Result<(), Wrong> {
        match (write, outcome) {
            (Write::Start { start, run: Some(run) }, _) if self.begun.insert(*run, start.id).is_some() => {
                return Err(format!("attempt {run} begins twice"));
            }
            (Write::Finish(finish), _) if finish.state == TaskState::Cancelled => {
                self.forget_given_up(journal);
            }
            (Write::Results { run, .. }, _) => {
                self.unsettled.retain(|_, unsettled| unsettled.run != Some(*run));
                // A held task may get these results, which another provider made while its own was not configured.
                self.forget_given_up(journal);
            }
            (Write::Remove { .. }, Outcome::Removed(Some(row))) if row.task.state.is_finished() => {
                self.gone.insert(row.task.id);
            }
            (Write::Prune { .. } | Write::PruneFor { .. }, Outcome::Pruned(pruned)) => {
                for task in &pruned.tasks {
                    if !task.state.is_finished() {
                        return Err(format!(
                            "task {} leaves the history and is {}",
                            task.id,
                            task.state.name()
                        ));
                    }
                    self.gone.insert(task.id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets requests that no task claims any more, because the tasks were given up by a person or have the results of another request.
    fn forget_given_up(&mut self, journal: &Journal) {
        let rows = journal.unfinished();
        let claims = |row: &TaskRow| row.is_unknown || row.state == TaskState::Running;
        self.unsettled.retain(|purpose, unsettled| {
            unsettled.run.is_some() || rows.iter().any(|row| claims(row) && purpose.is_of(row))
        });
    }

    /// Records that an attempt's request is sent to a paid provider. It is a broken rule if the outcome of an equal request is unknown.
    pub fn asked(&mut self, run: RunId, row: &TaskRow, provider: usize) -> Result<(), Wrong> {
        if !PROVIDERS[provider].is_paid {
            return Ok(());
        }
        let purpose = Purpose::of(row, provider);
        if let Some(former) = self.unsettled.get(&purpose) {
            return Err(format!(
                "{} is asked for task {} ({}), and nobody knows what became of the request for task {}",
                PROVIDERS[provider].name, row.id, row.params, former.task
            ));
        }
        if let Some((purpose, _)) =
            self.unsettled.iter().find(|(_, former)| former.task == row.id && former.run.is_none())
        {
            return Err(format!("task {} leaves {purpose:?}, whose outcome is unknown", row.id));
        }
        self.unsettled.insert(purpose, Unsettled { run: Some(run), task: row.id });
        self.refused.remove(&row.id);
        Ok(())
    }

    /// Returns whether the outcome of an equal request is unknown.
    pub fn is_unsettled(&self, row: &TaskRow, provider: usize) -> bool {
        self.unsettled.contains_key(&Purpose::of(row, provider))
    }

    /// Records that an attempt fetches what an earlier one had made.
    pub fn fetching(&mut self, run: RunId, row: &TaskRow, provider: usize) {
        if let Some(unsettled) = self.unsettled.get_mut(&Purpose::of(row, provider)) {
            unsettled.run = Some(run);
        }
    }

    /// Records that nothing was paid: an attempt's request was refused or not sent.
    pub fn not_paid(&mut self, run: RunId) {
        self.refused.extend(self.begun.get(&run));
        self.unsettled.retain(|_, unsettled| unsettled.run != Some(run));
    }

    /// Records that the outcome of an attempt's request is unknown.
    pub fn lost(&mut self, run: RunId, journal: &Journal) {
        for unsettled in self.unsettled.values_mut().filter(|unsettled| unsettled.run == Some(run)) {
            unsettled.run = None;
        }
        self.forget_given_up(journal);
    }

    /// Records that the daemon died.
    pub fn died(&mut self, journal: &Journal) -> Result<(), Wrong> {
        self.begun.clear();
        for unsettled in self.unsettled.values_mut() {
            unsettled.run = None;
        }
        self.forget_given_up(journal);
        self.check_acknowledged(journal)
    }

    /// Checks that every acknowledged task is in the journal.
    pub fn check_acknowledged(&self, journal: &Journal) -> Result<(), Wrong> {
        match self.acknowledged.difference(&self.gone).find(|id| journal.task(**id).is_none()) {
            Some(id) => Err(format!("task {id} was accepted, and is not in the journal")),
            None => Ok(()),
        }
    }

    /// Records that a client was told that these tasks are accepted.
    pub fn acknowledge(
        &mut self,
        ids: impl Iterator<Item = TaskId>,
        is_repeat_allowed: bool,
        journal: &Journal,
    ) -> Result<(), Wrong> {
        for id in ids {
            if !self.shown.insert(id) && !is_repeat_allowed {
                return Err(format!("the id {id} is given out twice"));
            }
            if journal.task(id).is_none() && !self.gone.contains(&id) {
                return Err(format!("task {id} is said to be accepted, and is not in the journal"));
            }
            self.acknowledged.insert(id);
        }
        Ok(())
    }

    /// Records that a request with a request id was accepted, at this time or earlier.
    pub fn acknowledge_request(
        &mut self,
        client: &str,
        request_id: &str,
        fingerprint: [u8; 32],
        first: TaskId,
    ) -> Result<(), Wrong> {
        let name = (client.to_owned(), request_id.to_owned());
        let known = *self.requests.entry(name).or_insert((fingerprint, first));
        if known != (fingerprint, first) && !self.gone.contains(&known.1) {
            return Err(format!(
                "the request {request_id} of {client} was task {} and is {first} now",
                known.1
            ));
        }
        Ok(())
    }

    /// Checks that a task that may have been paid for ends only by a person's decision. A refusal that comes after its task was held means that
    /// nothing was paid.
    fn check_end(&self, before: &TaskRow, end: TaskState) -> Result<(), Wrong> {
        let is_open = |(purpose, unsettled): (&Purpose, &Unsettled)| {
            unsettled.task == before.id || purpose.may_be_of(before)
        };
        let may_be_paid =
            before.is_unknown && before.state == TaskState::Held && self.unsettled.iter().any(is_open);
        let is_open = may_be_paid && !self.refused.contains(&before.id);
        if is_open && end == TaskState::Failed && before.after.is_empty() {
            return Err(format!("task {} may have been paid, and fails though nobody decided it", before.id));
        }
        Ok(())
    }

    /// Checks an attempt that begins: its row is committed, and the tasks named in `after` have succeeded.
    pub fn check_start(&self, run: RunId, journal: &Journal) -> Result<TaskRow, Wrong> {
        let id = self
            .begun
            .get(&run)
            .ok_or_else(|| format!("attempt {run} starts before its row is committed"))?;
        let row =
            journal.task(*id).ok_or_else(|| format!("attempt {run} starts for task {id}, which is gone"))?;
        for needed in &row.after {
            if let Some(before) = journal.task(*needed)
                && before.state != TaskState::Succeeded
            {
                return Err(format!(
                    "task {id} starts, and task {needed} before it is {}",
                    before.state.name()
                ));
            }
        }
        Ok(row)
    }
}
