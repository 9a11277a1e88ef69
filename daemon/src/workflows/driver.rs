//! The driver: submits the steps of a workflow that are ready, waits for them, and asks the workflow again.

use std::collections::BTreeSet;

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use reel_protocol::TaskSpec;
use tokio::time::{Instant, timeout_at};

use super::{
    budget::WorkflowBudget,
    handles::{Ended, Handles},
    step::{Step, StepEnd, StepEnds, Workflow},
};
use crate::{
    service::{RunTask, preview},
    tasks::Caller,
};

/// How many times as long as the last look took the driver waits at least until it looks again which steps are ready.
const LOOK_SHARE: u32 = 10;

/// Drives a workflow until no step is left that could be carried out. Dropped, it leaves its steps as they are.
pub(super) async fn drive(
    workflow: &dyn Workflow,
    handles: &Handles,
    task: &RunTask,
    mut budget: Option<WorkflowBudget>,
) -> Result<StepEnds, Ended> {
    let caller = Caller { client: task.client.clone(), connection: 0 };
    let (mut ends, mut submitted) = (StepEnds::new(), BTreeSet::new());
    let mut under_way = FuturesUnordered::new();
    loop {
        let began = Instant::now();
        let ready = workflow.ready(&ends, &|name| submitted.contains(name));
        let (fraction, message) = workflow.progress(&ends);
        task.progress.report(fraction, message);
        // A large film is asked again a few times a second: what it takes is time of the thread that everybody shares.
        let next_look = began + began.elapsed() * LOOK_SHARE;
        for step in ready {
            let refused = match &mut budget {
                Some(budget) => budget.reserve(&step.name, price(handles, &step).await?).err(),
                None => None,
            };
            // What is reserved may come to less: the step is looked at again once another one has ended.
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
            match timeout_at(next_look, under_way.next()).await {
                Ok(Some(another)) => ended = another,
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// What a step may cost, in millionths of a US dollar; none where nobody knows it. A step that is refused costs nothing: its submit says why.
async fn price(handles: &Handles, step: &Step) -> Result<Option<u64>, Ended> {
    let Ok(trial) = handles.trial(step.spec.clone()).await? else { return Ok(Some(0)) };
    let Some(candidate) = trial.plan.candidates.first().filter(|_| trial.cached.is_none()) else {
        return Ok(Some(0));
    };
    let spec = &step.spec;
    let preview = preview(&spec.kind, &trial.plan.params, spec.cache, &candidate.key);
    let cost = preview.and_then(|preview| candidate.cost(None, &preview.quantity));
    Ok(cost.map(|cost| cost.microusd))
}
