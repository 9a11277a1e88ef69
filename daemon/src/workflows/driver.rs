//! The driver of workflows. It submits the steps that are ready, waits until one ends, and asks the workflow for the next ones.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use reel_protocol::TaskSpec;
use tokio::time::{Instant, timeout_at};

use super::{
    budget::WorkflowBudget,
    handles::{CannotContinue, Handles},
    step::{Step, StepEnd, StepEnds, Workflow},
};
use crate::{
    domain::Candidate,
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
    // The prices of steps for which the budget had no room yet. Each is asked for once.
    let mut prices = BTreeMap::new();
    loop {
        let began = Instant::now();
        let ready = workflow.ready(&ends, &|name| submitted.contains(name));
        for step in ready {
            let refused = match &mut budget {
                Some(budget) => {
                    let price = match prices.get(&step.name) {
                        Some(price) => *price,
                        None => price(handles, &step).await?,
                    };
                    prices.insert(step.name.clone(), price);
                    budget.reserve(&step.name, price).err()
                }
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
        let (fraction, message) = workflow.progress(&ends, &|name| submitted.contains(name));
        task.progress.report(fraction, message);
        // The search can run a few times a second for a large film, and uses the thread that all actors share.
        let next_search = began + began.elapsed() * SEARCH_INTERVAL_FACTOR;
        let Some(mut ended) = under_way.next().await else { return Ok(ends) };
        loop {
            let (name, end) = ended?;
            if let Some(budget) = &mut budget {
                budget.settle(&name, &end);
            }
            ends.insert(name, end);
            match timeout_at(next_search, under_way.next()).await {
                Ok(Some(another)) => ended = another,
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// Returns the price of a step, in millionths of a US dollar: that of the dearest provider which may carry it out. None if one of the prices is
/// unknown. The price is 0 for a cached result and for a step that cannot be planned. The submit of the latter returns the reason.
async fn price(handles: &Handles, step: &Step) -> Result<Option<u64>, CannotContinue> {
    let Ok(trial) = handles.trial(step.spec.clone()).await? else { return Ok(Some(0)) };
    if trial.cached.is_some() {
        return Ok(Some(0));
    }
    let spec = &step.spec;
    let price = |candidate: &Candidate| {
        let preview = preview(&spec.kind, &trial.plan.params, spec.cache, &candidate.key);
        preview.and_then(|preview| candidate.cost(None, &preview.quantity)).map(|cost| cost.microusd)
    };
    let candidates = trial.plan.candidates.iter().enumerate();
    let candidates = candidates.filter(|(index, one)| *index == 0 || one.is_alternative).map(|(_, one)| one);
    let prices: Option<Vec<u64>> = candidates.map(price).collect();
    Ok(prices.map(|prices| prices.into_iter().max().unwrap_or_default()))
}
