//! A request for tasks on its way in: how its tasks would run and what the cache has of them, before anything is accepted.
//!
//! A small request is planned in the turn that took it. A large batch takes tenths of a second, which nobody else shall wait: it is planned on
//! a thread that may block, and looked up a part at a time.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use reel_protocol::{BatchId, CacheMode, TaskSpec};

use super::{Caller, Plan, PlanRefusal, PlanSpec, PlanTasks, TaskRefusal, TaskTracker};
use crate::cache::{LookUp, Made};

/// Tasks that are planned at once, at some microseconds each: another thread costs more than these.
const PLANNED_AT_ONCE: usize = 32;

/// Requests of one question to the cache, which looks at a file for each that it has: half a millisecond.
const LOOKED_UP_TOGETHER: usize = 256;

/// One request for tasks.
pub(super) struct Intake {
    pub caller: Caller,
    pub request_id: Option<String>,
    /// Of all that it asks for, as [`Intake::compute_fingerprint`] computes it: known once it is planned.
    pub fingerprint: [u8; 32],
    pub batch: Option<BatchId>,
    pub is_batch: bool,
    pub name: Option<String>,
    pub specs: Vec<TaskSpec>,
    /// Results that had been made when the cache was asked about it.
    pub results: u64,
}

impl Intake {
    /// A request for one task.
    pub fn single(caller: Caller, spec: TaskSpec) -> Self {
        let (request_id, fingerprint) = (None, [0; 32]);
        Self {
            caller,
            request_id,
            fingerprint,
            batch: None,
            is_batch: false,
            name: None,
            specs: vec![spec],
            results: 0,
        }
    }

    /// The same for each request that has no id to come again with.
    fn compute_fingerprint(&self) -> [u8; 32] {
        if self.request_id.is_none() {
            return [0; 32];
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(self.is_batch)]);
        hasher.update(&self.batch.map_or(0, |batch| batch.0).to_le_bytes());
        for spec in &self.specs {
            // It cannot fail: specs hold no maps with keys other than text.
            hasher.update(&serde_json::to_vec(spec).unwrap_or_default());
            hasher.update(b"\n");
        }
        *hasher.finalize().as_bytes()
    }
}

/// How each task would run, and what the cache has of it.
pub(super) type Planned = Result<Vec<(Plan, Option<Arc<Made>>)>, TaskRefusal>;

impl TaskTracker {
    /// Plans the tasks and asks the cache what it has; `then` finds the tracker as it is by then.
    pub(super) fn plan_then(
        &mut self,
        ctx: &mut Context<Self>,
        mut intake: Intake,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Intake, Planned) + 'static,
    ) {
        if intake.specs.len() <= PLANNED_AT_ONCE {
            intake.fingerprint = intake.compute_fingerprint();
            let plans = plan_all(&*self.parts.plan, &intake.specs);
            return self.look_up_then(ctx, intake, plans, then);
        }
        let plan = self.parts.plan.clone();
        let planning = tokio::task::spawn_blocking(move || {
            intake.fingerprint = intake.compute_fingerprint();
            let plans = plan_all(&*plan, &intake.specs);
            (intake, plans)
        });
        ctx.spawn(planning.into_actor(self).map(move |planned, tracker, ctx| match planned {
            Ok((intake, plans)) => tracker.look_up_then(ctx, intake, plans, then),
            // Whoever asked is told by the answer that never comes.
            Err(error) => tracing::error!(%error, "a batch could not be planned"),
        }));
    }

    fn look_up_then(
        &mut self,
        ctx: &mut Context<Self>,
        mut intake: Intake,
        plans: Result<Vec<Plan>, PlanRefusal>,
        then: impl FnOnce(&mut Self, &mut Context<Self>, Intake, Planned) + 'static,
    ) {
        intake.results = self.results;
        let plans = match plans {
            Ok(plans) => plans,
            Err(refusal) => return then(self, ctx, intake, Err(refusal.into())),
        };
        let keys = |(plan, spec): (&Plan, &TaskSpec)| match spec.cache {
            CacheMode::Use => plan.candidates.iter().map(|candidate| candidate.key).collect(),
            CacheMode::Fresh | CacheMode::Off => Vec::new(),
        };
        if let ([plan], [spec]) = (&*plans, &*intake.specs)
            && spec.cache == CacheMode::Use
            && let Some(made) = self.parts.shelves.look_now(plan.keys())
        {
            let planned = plans.into_iter().map(|plan| (plan, Some(Arc::clone(&made)))).collect();
            return then(self, ctx, intake, Ok(planned));
        }
        let mut requests: Vec<Vec<_>> = plans.iter().zip(&intake.specs).map(keys).collect();
        if requests.iter().all(Vec::is_empty) {
            let planned = plans.into_iter().map(|plan| (plan, None)).collect();
            return then(self, ctx, intake, Ok(planned));
        }
        let look_up = self.parts.look_up.clone();
        let planned = async move {
            let mut found = Vec::with_capacity(plans.len());
            while !requests.is_empty() {
                let rest = requests.split_off(requests.len().min(LOOKED_UP_TOGETHER));
                let asked = look_up.send(LookUp { requests, is_counted: true });
                found.append(&mut asked.await.map_err(|_| TaskRefusal::Stopping)?);
                requests = rest;
            }
            Ok(plans.into_iter().zip(found).collect())
        };
        ctx.spawn(
            planned.into_actor(self).map(move |planned, tracker, ctx| then(tracker, ctx, intake, planned)),
        );
    }
}

/// Each task's plan, or why the first that does not hold does not.
fn plan_all(planner: &dyn PlanTasks, specs: &[TaskSpec]) -> Result<Vec<Plan>, PlanRefusal> {
    let plan = |(index, spec): (usize, &TaskSpec)| {
        let asked = PlanSpec {
            kind: &spec.kind,
            params: &spec.params,
            provider: spec.provider.as_deref(),
            planned: None,
            refused_by: &[],
        };
        planner.plan(&asked).map_err(|refusal| PlanRefusal { index, ..refusal })
    };
    specs.iter().enumerate().map(plan).collect()
}
