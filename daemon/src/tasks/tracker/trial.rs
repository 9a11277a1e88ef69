//! Returns how a task would run: makes the plan and the cache look-up of a submit, without accepting a task.

use actix::{Context, Handler, ResponseFuture};
use reel_protocol::CacheMode;

use super::TaskTracker;
use crate::{
    cache::LookUp,
    tasks::{PlanSpec, TaskRefusal, Trial, TryTask},
};

impl Handler<TryTask> for TaskTracker {
    type Result = ResponseFuture<Result<Trial, TaskRefusal>>;

    fn handle(&mut self, TryTask { spec }: TryTask, _: &mut Context<Self>) -> Self::Result {
        let asked = PlanSpec {
            kind: &spec.kind,
            params: &spec.params,
            provider: spec.provider.as_deref(),
            planned: None,
            refused_by: &[],
        };
        let planned = self.parts.plan.plan(&asked);
        let look_up = self.parts.look_up.clone();
        Box::pin(async move {
            let plan = planned?;
            let keys: Vec<_> = plan.keys().copied().collect();
            let cached = if spec.cache == CacheMode::Use && !keys.is_empty() {
                let found = look_up.send(LookUp { requests: vec![keys], is_counted: false }).await;
                // If the cache actor has stopped, the process ends.
                found.ok().and_then(|found| found.into_iter().next().flatten())
            } else {
                None
            };
            Ok(Trial { plan, cached })
        })
    }
}
