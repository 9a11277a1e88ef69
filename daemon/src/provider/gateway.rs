//! The provider gateway, the actor through which services reach all provider instances.
//!
//! It owns the instances in the order of selection, and runs each call at the instance that the call names.

use std::{sync::Arc, time::Duration};

use actix::{Actor, AsyncContext as _, Context, Handler, ResponseFuture, SpawnHandle};
use futures_util::future::join_all;
use reel_protocol::{
    ErrorCode, WaitReason,
    methods::{MemoryLevel, ProviderCheckResult, ProviderInfo},
};
use tokio::task::JoinError;

use super::{
    CheckProvider, Generate, GenerateError, Generated, GetProviders, Instance, Machines, Permits,
    SetInstances, WhyNot,
    condition::{Conditions, check_result},
    permits::wall_time,
    shortage::Shortage,
};
use crate::{
    domain::{Class, Failure, Target},
    memory::PressureChanged,
};

/// Most messages in the mailbox. Permits let far fewer calls through.
const MAILBOX: usize = 1_024;
/// How often it is checked, while memory is short, whether a server that is still to be asked to free memory has become idle.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// The actor that owns the provider instances, and shares the permits with the tracker.
#[derive(Debug)]
pub struct ProviderGateway {
    instances: Vec<Instance>,
    permits: Permits,
    machines: Machines,
    shortage: Shortage,
    conditions: Conditions,
    /// The timer that runs while servers are still to be asked to free memory.
    idle_check: Option<SpawnHandle>,
}

impl ProviderGateway {
    /// Returns a gateway with these instances, which are in the order of selection. `machines` has the servers that reel starts and stops.
    pub fn new(instances: Vec<Instance>, permits: Permits, machines: Machines) -> Self {
        Self {
            instances,
            permits,
            machines,
            shortage: Shortage::default(),
            conditions: Conditions::default(),
            idle_check: None,
        }
    }

    pub(super) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    pub(super) fn find(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.profile.name == name)
    }

    /// Asks the servers that are idle to free memory, and looks again later if others are still to be asked.
    fn free_idle(&mut self, ctx: &mut Context<Self>) {
        for provider in self.shortage.take_idle(|name| self.permits.usage(name).0 > 0) {
            actix::spawn(provider.free_memory());
        }
        match (self.shortage.is_due(), self.idle_check) {
            (true, None) => self.idle_check = Some(ctx.run_interval(IDLE_CHECK, Self::free_idle)),
            (false, Some(timer)) => {
                ctx.cancel_future(timer);
                self.idle_check = None;
            }
            _ => {}
        }
    }
}

impl Actor for ProviderGateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Generate> for ProviderGateway {
    type Result = ResponseFuture<Result<Generated, GenerateError>>;

    fn handle(&mut self, call: Generate, _: &mut Self::Context) -> Self::Result {
        // The call runs in a task of its own, because actix polls all futures of an actor whenever it polls one.
        let (name, conditions) = (call.provider.clone(), self.conditions.clone());
        let run = self
            .find(&call.provider)
            .map(|instance| actix::spawn(Arc::clone(&instance.provider).generate(call)));
        Box::pin(async move {
            let Some(run) = run else { return Err(GenerateError::Failed(unreachable_provider())) };
            let ended = run.await.unwrap_or_else(|error| Err(GenerateError::Failed(lost_call(&error))));
            conditions.call_ended(&name, &ended);
            ended
        })
    }
}

impl Handler<SetInstances> for ProviderGateway {
    type Result = ();

    fn handle(&mut self, SetInstances(instances): SetInstances, _: &mut Self::Context) {
        for new in &instances {
            let name = &new.profile.name;
            if !self.find(name).is_some_and(|former| former.is_same_service(new)) {
                self.permits.renew(name);
                self.conditions.forget(name);
            }
        }
        self.instances = instances;
    }
}

/// Servers that do nothing for reel are asked to free memory, once for each time that the memory of the machine is critically short. The daemon's
/// own size is no reason to do so, as it would not become smaller.
impl Handler<PressureChanged> for ProviderGateway {
    type Result = ();

    fn handle(&mut self, PressureChanged { machine, .. }: PressureChanged, ctx: &mut Self::Context) {
        self.shortage.set(machine == MemoryLevel::Critical, &self.instances);
        self.free_idle(ctx);
    }
}

impl Handler<CheckProvider> for ProviderGateway {
    type Result = ResponseFuture<Option<ProviderCheckResult>>;

    fn handle(&mut self, CheckProvider(name): CheckProvider, _: &mut Self::Context) -> Self::Result {
        let check = self.find(&name).map(|instance| Arc::clone(&instance.provider).check());
        let conditions = self.conditions.clone();
        Box::pin(async move {
            let checked = check?.await;
            conditions.check_ended(&name, checked.as_ref().err());
            Some(check_result(&name, &checked))
        })
    }
}

impl Handler<GetProviders> for ProviderGateway {
    type Result = ResponseFuture<Vec<ProviderInfo>>;

    fn handle(&mut self, wanted: GetProviders, _: &mut Self::Context) -> Self::Result {
        let info = |instance: &Instance| {
            let name = instance.profile.name.as_str();
            let (running, max_concurrent) = self.permits.usage(name);
            let model = instance.profile.model.as_deref().map(Arc::from);
            let why_not = self.permits.why_not(&Target { provider: name.into(), model });
            let reason = why_not.map(WhyNot::reason);
            // A server that loads is busy for a moment while one call tries it again.
            let is_probed = reason == Some(WaitReason::Provider) && self.permits.is_loading(name);
            ProviderInfo {
                running,
                max_concurrent,
                wait_reason: if is_probed { Some(WaitReason::ProviderLoading) } else { reason },
                waits_until: why_not.and_then(WhyNot::until).map(wall_time),
                machine: self.machines.info(name),
                ..instance.info()
            }
        };
        let mut list: Vec<_> = self.instances.iter().map(info).collect();
        let instances = if wanted.with_conditions { self.instances.clone() } else { Vec::new() };
        let conditions = self.conditions.clone();
        Box::pin(async move {
            let known = instances.iter().map(|instance| conditions.now(instance));
            for (info, condition) in list.iter_mut().zip(join_all(known).await) {
                info.condition = condition;
            }
            list
        })
    }
}

/// The provider was removed from the configuration after the attempt began. The class makes the task wait for the provider.
fn unreachable_provider() -> Failure {
    let message = "the provider is not configured any more";
    Failure::with_code(Class::Unreached, ErrorCode::NoProvider, message, "reel providers lists them")
}

/// The task of the call ended without a result because of a panic. The process then ends as well.
fn lost_call(error: &JoinError) -> Failure {
    let message = format!("the call was lost: {error}");
    Failure::with_code(Class::Ambiguous, ErrorCode::Internal, message, "reel daemon logs shows the cause")
}

#[cfg(test)]
mod tests {
    use futures_util::future::{LocalBoxFuture, ready};
    use reel_protocol::{ImageParams, TaskError};
    use tokio::sync::watch;

    use super::*;
    use crate::{
        domain::{ImageRequest, JobSink, ProgressSink, ProviderProfile, ServiceRequest},
        provider::{GateLimits, Provider},
    };

    /// A provider for tests that succeeds at once and returns no files.
    #[derive(Debug)]
    struct Idle;

    impl Provider for Idle {
        fn generate(
            self: Arc<Self>,
            _: Generate,
        ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
            Box::pin(ready(Ok(Vec::new().into())))
        }

        fn check(self: Arc<Self>) -> LocalBoxFuture<'static, Result<String, TaskError>> {
            Box::pin(ready(Ok("idle".to_owned())))
        }
    }

    fn instance(name: &str) -> Instance {
        Instance {
            profile: ProviderProfile { name: name.to_owned(), ..ProviderProfile::default() },
            limits: GateLimits { max_concurrent: 1, requests_per_minute: None },
            address: None,
            api_key: None,
            provider: Arc::new(Idle),
        }
    }

    fn call(provider: &str) -> Generate {
        let params = ImageParams::new("a lighthouse");
        Generate {
            provider: provider.to_owned(),
            request: ServiceRequest::Image(ImageRequest {
                params,
                seed: 1,
                style_suffix: None,
                style_negative: None,
                inputs: Vec::new(),
            }),
            job: None,
            permit: None,
            cancel: watch::channel(false).1,
            progress: ProgressSink::new(|_, _| ()),
            jobs: JobSink::new(|_| Box::pin(async { true })),
        }
    }

    #[actix::test]
    async fn a_call_goes_to_the_instance_that_it_names_and_waits_where_that_has_gone() {
        let gateway =
            ProviderGateway::new(vec![instance("studio")], Permits::default(), Machines::default()).start();
        assert!(gateway.send(call("studio")).await.unwrap().is_ok());
        let check = gateway.send(CheckProvider("studio".to_owned())).await.unwrap();
        assert_eq!(check.map(|check| check.detail).as_deref(), Some("idle"));
        gateway.send(SetInstances(vec![instance("spare")])).await.unwrap();
        assert!(gateway.send(CheckProvider("studio".to_owned())).await.unwrap().is_none());
        let refused = gateway.send(call("studio")).await.unwrap();
        // The request was not sent, so the task waits and uses up no attempt.
        assert!(
            matches!(&refused, Err(GenerateError::Failed(failure)) if failure.class == Class::Unreached),
            "{refused:?}"
        );
        let listed = gateway.send(GetProviders { with_conditions: true }).await.unwrap();
        assert_eq!(listed.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["spare"]);
    }
}
