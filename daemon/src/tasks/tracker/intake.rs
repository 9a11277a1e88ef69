//! Plans the tasks of a request and looks them up in the cache, before anything is accepted.
//!
//! A small request is planned in the handler of its message. Planning a large batch takes tenths of a second, and would delay all other messages. It
//! is planned on a thread that may block, and looked up in parts.

use std::sync::Arc;

use actix::{Context, Recipient};
use reel_protocol::{CacheMode, ErrorCode, TaskSpec};

use super::{Returned, TaskTracker};
use crate::{
    cache::{Key, LookUp},
    canonical_json::canonical,
    domain::Fingerprint,
    tasks::{
        PlanRefusal, PlanSpec, PlanTasks, TaskRefusal,
        machine::{Event, Intake, PlannedTask, RequestId, Unplanned},
    },
};

/// Most tasks that are planned in the handler, at a few microseconds each. Passing them to another thread would cost more.
const PLANNED_AT_ONCE: usize = 32;

/// Most requests in one look-up. The cache inspects a file for each hit, and 256 of them take half a millisecond.
const LOOKED_UP_TOGETHER: usize = 256;

/// Returns a digest of what the request means: the order of keys and the notation of numbers do not change it. All requests without a request id have
/// the same one, because they cannot be repeated. The priority of a step does not count: a person may change it while the workflow runs, and after a
/// restart the workflow must find its steps again.
fn fingerprint(intake: &Intake) -> Fingerprint {
    if intake.request_id.is_none() {
        return Fingerprint::NONE;
    }
    let mut meaning = blake3::Hasher::new();
    meaning.update(&[u8::from(intake.is_batch)]);
    meaning.update(&intake.batch.map_or(0, |batch| batch.0).to_le_bytes());
    let mut text = meaning.clone();
    let is_step = intake.step.is_some();
    for spec in &intake.specs {
        let without_priority = is_step.then(|| TaskSpec { priority: 0, ..spec.clone() });
        let spec = without_priority.as_ref().unwrap_or(spec);
        // This cannot fail: specs have no maps with keys other than text.
        text.update(&serde_json::to_vec(spec).unwrap_or_default());
        meaning.update(canonical(&serde_json::to_value(spec).unwrap_or_default()).as_bytes());
        for hasher in [&mut text, &mut meaning] {
            hasher.update(b"\n");
        }
    }
    Fingerprint { meaning: *meaning.finalize().as_bytes(), text: *text.finalize().as_bytes() }
}

fn not_planned() -> TaskRefusal {
    TaskRefusal::Plan(PlanRefusal {
        index: 0,
        code: ErrorCode::Internal,
        message: "the tasks could not be planned".to_owned(),
        hint: Some("reel daemon logs shows the cause".to_owned()),
    })
}

impl TaskTracker {
    /// Plans the tasks and looks them up in the cache. Then the event that `then` makes of the intake is passed to the machine. If the tasks cannot be
    /// planned, the request is refused.
    pub(super) fn take_in(
        &mut self,
        ctx: &mut Context<Self>,
        request: RequestId,
        mut intake: Box<Intake>,
        then: impl FnOnce(Box<Intake>) -> Event + 'static,
    ) {
        intake.disk_free_bytes = self.free_room.available_bytes(&self.parts.artifacts);
        let planner = Arc::clone(&self.parts.plan);
        if intake.specs.len() <= PLANNED_AT_ONCE {
            intake.plan(&*planner);
            if intake.keys().iter().all(Vec::is_empty) {
                return self.feed(ctx, then(intake));
            }
        }
        let (look_up, returns) = (self.parts.look_up.clone(), self.returns.clone());
        actix::spawn(async move {
            if intake.specs.len() > PLANNED_AT_ONCE {
                let planning = tokio::task::spawn_blocking(move || {
                    intake.plan(&*planner);
                    intake
                });
                intake = match planning.await {
                    Ok(planned) => planned,
                    Err(error) => {
                        tracing::error!(%error, "a batch could not be planned");
                        let refusal = not_planned();
                        return drop(
                            returns.send(Returned::Event(Box::new(Event::NotFound { request, refusal }))),
                        );
                    }
                };
            }
            intake.look_up(&look_up).await;
            drop(returns.send(Returned::Event(Box::new(then(intake)))));
        });
    }

    pub(super) fn plan_anew(&self, planner: Arc<dyn PlanTasks>, asked: Vec<Unplanned>) {
        let generation = planner.generation();
        let planning = tokio::task::spawn_blocking(move || {
            asked.iter().map(|asked| (asked.id, planner.plan(&asked.spec()))).collect::<Vec<_>>()
        });
        // If the planner panicked, the panic is in the log, and the tasks keep their plans.
        self.when_done(
            async move { Event::Planned { generation, plans: planning.await.unwrap_or_default() } },
        );
    }
}

impl Intake {
    /// Plans each task. If a plan is refused, the result is the refusal of the first such task.
    fn plan(&mut self, planner: &dyn PlanTasks) {
        self.fingerprint = fingerprint(self);
        let plan = |(index, spec): (usize, &TaskSpec)| {
            let asked = PlanSpec {
                kind: &spec.kind,
                params: &spec.params,
                provider: spec.provider.as_deref(),
                planned: None,
                refused_by: &[],
            };
            let plan = planner.plan(&asked).map_err(|refusal| PlanRefusal { index, ..refusal })?;
            Ok((plan, None))
        };
        self.planned =
            self.specs.iter().enumerate().map(plan).collect::<Result<_, PlanRefusal>>().map_err(Into::into);
    }

    /// Returns the cache keys of each task. Empty for tasks that do not read the cache.
    fn keys(&self) -> Vec<Vec<Key>> {
        let planned: &[PlannedTask] = self.planned.as_deref().unwrap_or_default();
        let keys = |((plan, _), spec): (&PlannedTask, &TaskSpec)| match spec.cache {
            CacheMode::Use => plan.keys().copied().collect(),
            CacheMode::Fresh | CacheMode::Off => Vec::new(),
        };
        planned.iter().zip(&self.specs).map(keys).collect()
    }

    async fn look_up(&mut self, cache: &Recipient<LookUp>) {
        let mut requests = self.keys();
        let mut found = Vec::with_capacity(requests.len());
        if requests.iter().all(Vec::is_empty) {
            return;
        }
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(LOOKED_UP_TOGETHER));
            match cache.send(LookUp { requests, is_counted: true }).await {
                Ok(mut part) => found.append(&mut part),
                Err(_) => return self.planned = Err(TaskRefusal::Stopping),
            }
            requests = rest;
        }
        if let Ok(planned) = &mut self.planned {
            for ((_, known), found) in planned.iter_mut().zip(found) {
                *known = found;
            }
        }
    }
}
