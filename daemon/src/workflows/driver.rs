//! The driver of workflows. It submits the steps that are ready, waits until one ends, and asks the workflow for the next ones.

use std::collections::BTreeSet;

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use reel_protocol::TaskSpec;
use tokio::time::{Instant, timeout_at};

use super::{
    budget::WorkflowBudget,
    handles::{CannotContinue, Handles},
    step::{Step, StepEnd, StepEnds, Workflow},
};
use crate::{
    service::{RunTask, preview},
    tasks::Caller,
};

/// The interval between two searches for ready steps is at least this many times as long as the last search took.
const SEARCH_INTERVAL_FACTOR: u32 = 10;

/// Drives a workflow until no step is left that can be carried out. If the future is dropped, the submitted tasks go on.
pub(super) async fn drive(
    workflow: &dyn Workflow,
    handles: &Handles,
    task: &RunTask,
    mut budget: Option<WorkflowBudget>,
) -> Result<StepEnds, CannotContinue> {
    let caller = Caller { client: task.client.clone(), connection: 0 };
    let (mut ends, mut submitted) = (StepEnds::new(), BTreeSet::new());
    let mut under_way = FuturesUnordered::new();
    loop {
        let began = Instant::now();
        let ready = workflow.ready(&ends, &|name| submitted.contains(name));
        let (fraction, message) = workflow.progress(&ends);
        task.progress.report(fraction, message);
        // The search can run a few times a second for a large film, and uses the thread that all actors share.
        let next_search = began + began.elapsed() * SEARCH_INTERVAL_FACTOR;
        for step in ready {
            let refused = match &mut budget {
                Some(budget) => budget.reserve(&step.name, price(handles, &step).await?).err(),
                None => None,
            };
            // The running steps may cost less than their reservation, so the step is tried again when another one has ended.
            if refused.is_some() && budget.as_ref().is_some_and(WorkflowBudget::has_reserved) {
                continue;
            }
            submitted.insert(step.name.clone());
            let step = if let Some(error) = refused {
                std::future::ready(Ok((step.name, StepEnd::refused(error)))).left_future()
            } else {
                let spec = TaskSpec { priority: task.priority, ..step.spec };
                let workflow = (task.task, task.is_retry);
                handles.carry_out(caller.clone(), workflow, Step { spec, ..step }).right_future()
            };
            under_way.push(step);
        }
        let Some(mut ended) = under_way.next().await else { return Ok(ends) };
        loop {
            let (name, end) = ended?;
            if let Some(budget) = &mut budget {
                budget.settle(&name, end.may_be_charged(), end.cost.as_ref());
            }
            ends.insert(name, end);
            match timeout_at(next_search, under_way.next()).await {
                Ok(Some(another)) => ended = another,
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// Returns the price of a step, in millionths of a US dollar; None if it is unknown. The price is 0 for a cached result and for a step that cannot be
/// planned. The submit of the latter returns the reason.
async fn price(handles: &Handles, step: &Step) -> Result<Option<u64>, CannotContinue> {
    let Ok(trial) = handles.trial(step.spec.clone()).await? else { return Ok(Some(0)) };
    let Some(candidate) = trial.plan.candidates.first().filter(|_| trial.cached.is_none()) else {
        return Ok(Some(0));
    };
    let spec = &step.spec;
    let preview = preview(&spec.kind, &trial.plan.params, spec.cache, &candidate.key);
    let cost = preview.and_then(|preview| candidate.cost(None, &preview.quantity));
    Ok(cost.map(|cost| cost.microusd))
}
