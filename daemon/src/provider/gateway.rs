//! The provider gateway, the actor through which services reach all provider instances.
//!
//! It owns the instances in the order of selection, and runs each call at the instance that the call names.

use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult, ResponseFuture};
use reel_protocol::{
    ErrorCode,
    methods::{MemoryLevel, ProviderCheckResult, ProviderInfo},
};
use tokio::task::JoinError;

use super::{
    CheckProvider, Generate, GenerateError, Generated, GetProviders, Instance, Machines, Permits,
    SetInstances, Shut, permits::wall_time,
};
use crate::{
    domain::{Class, Failure, Target},
    memory::PressureChanged,
};

/// Most messages in the mailbox. Permits let far fewer calls through.
const MAILBOX: usize = 1_024;

/// The actor that owns the provider instances, and shares the permits with the tracker.
#[derive(Debug)]
pub struct ProviderGateway {
    instances: Vec<Instance>,
    permits: Permits,
    machines: Machines,
}

impl ProviderGateway {
    /// Returns a gateway with these instances, which are in the order of selection. `machines` has the servers that reel starts and stops.
    pub fn new(instances: Vec<Instance>, permits: Permits, machines: Machines) -> Self {
        Self { instances, permits, machines }
    }

    pub(super) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    pub(super) fn find(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.profile.name == name)
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
        let run = self
            .find(&call.provider)
            .map(|instance| actix::spawn(Arc::clone(&instance.provider).generate(call)));
        Box::pin(async move {
            let Some(run) = run else { return Err(GenerateError::Failed(unreachable_provider())) };
            run.await.unwrap_or_else(|error| Err(GenerateError::Failed(lost_call(&error))))
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
            }
        }
        self.instances = instances;
    }
}

/// Providers whose servers do nothing are asked to free memory when it is critically short.
impl Handler<PressureChanged> for ProviderGateway {
    type Result = ();

    fn handle(&mut self, PressureChanged { level, .. }: PressureChanged, _: &mut Self::Context) {
        if level != MemoryLevel::Critical {
            return;
        }
        for instance in &self.instances {
            if self.permits.usage(&instance.profile.name).0 == 0 {
                actix::spawn(Arc::clone(&instance.provider).free_memory());
            }
        }
    }
}

impl Handler<CheckProvider> for ProviderGateway {
    type Result = ResponseFuture<Option<ProviderCheckResult>>;

    fn handle(&mut self, CheckProvider(name): CheckProvider, _: &mut Self::Context) -> Self::Result {
        let check = self.find(&name).map(|instance| Arc::clone(&instance.provider).check());
        Box::pin(async move { Some(check?.await) })
    }
}

impl Handler<GetProviders> for ProviderGateway {
    type Result = MessageResult<GetProviders>;

    fn handle(&mut self, _: GetProviders, _: &mut Self::Context) -> Self::Result {
        let info = |instance: &Instance| {
            let name = instance.profile.name.as_str();
            let (running, max_concurrent) = self.permits.usage(name);
            let model = instance.profile.model.as_deref().map(Arc::from);
            let shut = self.permits.shut(&Target { provider: name.into(), model });
            ProviderInfo {
                running,
                max_concurrent,
                wait_reason: shut.map(Shut::reason),
                waits_until: shut.and_then(Shut::until).map(wall_time),
                machine: self.machines.info(name),
                ..instance.info()
            }
        };
        MessageResult(self.instances.iter().map(info).collect())
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{LocalBoxFuture, ready};
    use reel_protocol::ImageParams;
    use tokio::sync::watch;

    use super::*;
    use crate::{
        domain::{ImageRequest, JobSink, ProgressSink, ProviderProfile, ServiceRequest},
        events::EventHub,
        provider::{GateLimits, Provider},
    };

    /// A provider for tests that succeeds at once and returns no files.
    #[derive(Debug, Default)]
    struct Idle {
        freed: Arc<AtomicUsize>,
    }

    impl Provider for Idle {
        fn generate(
            self: Arc<Self>,
            _: Generate,
        ) -> LocalBoxFuture<'static, Result<Generated, GenerateError>> {
            Box::pin(ready(Ok(Vec::new().into())))
        }

        fn check(self: Arc<Self>) -> LocalBoxFuture<'static, ProviderCheckResult> {
            Box::pin(ready(ProviderCheckResult { is_usable: true, detail: "idle".to_owned() }))
        }

        fn free_memory(self: Arc<Self>) -> LocalBoxFuture<'static, ()> {
            self.freed.fetch_add(1, Ordering::Relaxed);
            Box::pin(ready(()))
        }
    }

    fn instance(name: &str) -> Instance {
        Instance {
            profile: ProviderProfile { name: name.to_owned(), ..ProviderProfile::default() },
            limits: GateLimits { max_concurrent: 1, requests_per_minute: None },
            address: None,
            api_key: None,
            provider: Arc::new(Idle::default()),
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
    async fn only_providers_without_a_call_free_memory_and_only_when_it_is_critical() {
        let freed = <[Arc<AtomicUsize>; 2]>::default();
        let names = ["busy", "idle"];
        let instances = names.iter().zip(&freed).map(|(name, freed)| {
            let provider = Arc::new(Idle { freed: Arc::clone(freed) });
            Instance { provider, ..instance(name) }
        });
        let limits = GateLimits { max_concurrent: 1, requests_per_minute: None };
        let permits = Permits::new(names.map(|name| (name.into(), limits)), EventHub::default());
        let _call = permits.try_acquire(&Target { provider: "busy".into(), model: None }).unwrap();
        let gateway = ProviderGateway::new(instances.collect(), permits, Machines::default()).start();
        for level in [MemoryLevel::Normal, MemoryLevel::High, MemoryLevel::Critical, MemoryLevel::Normal] {
            gateway.send(PressureChanged { level, resident_bytes: 1 }).await.unwrap();
        }
        let counts = freed.map(|freed| freed.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 1]);
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
        let listed = gateway.send(GetProviders).await.unwrap();
        assert_eq!(listed.iter().map(|info| info.name.as_str()).collect::<Vec<_>>(), ["spare"]);
    }
}
