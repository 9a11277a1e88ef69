//! The provider gateway: the one door to all provider instances.
//!
//! It owns the instances' order and routes each call to its own. The services ask it; it asks the instance's actor.

use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult, Recipient, ResponseFuture};
use reel_protocol::{
    ErrorCode, Timestamp,
    methods::{ProviderCheckResult, ProviderInfo},
};
use tokio::time::Instant;

use super::{
    CheckNamed, CheckProvider, Generate, GenerateError, Generated, GetProviders, Permits, SetInstances, Shut,
};
use crate::{
    domain::{Class, Failure, Target},
    secret::SecretSource,
};

/// Calls that may wait; permits let far fewer through.
const MAILBOX: usize = 1_024;

/// One configured instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// As the wire shows it; what changes is filled in when it is asked for.
    pub info: ProviderInfo,
    /// Where its key comes from: with another address or key it is another service, or another account.
    pub api_key: Option<SecretSource>,
    /// Its actor.
    pub generate: Recipient<Generate>,
    /// Its actor.
    pub check: Recipient<CheckProvider>,
}

impl Instance {
    /// Whether the same service is asked with the same key: then it goes on as it stands.
    fn is_same_service(&self, other: &Self) -> bool {
        (&self.info.address, &self.api_key) == (&other.info.address, &other.api_key)
    }
}

/// The actor.
#[derive(Debug)]
pub struct ProviderGateway {
    instances: Vec<Instance>,
    permits: Permits,
}

impl ProviderGateway {
    /// A gateway over instances in the order of selection.
    pub fn new(instances: Vec<Instance>, permits: Permits) -> Self {
        Self { instances, permits }
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
        let instance = self.instances.iter().find(|instance| instance.info.name == call.provider);
        let sent = instance.map(|instance| instance.generate.send(call));
        Box::pin(async move {
            let lost = || GenerateError::Failed(unreachable_provider());
            sent.ok_or_else(lost)?.await.map_err(|_| lost())?
        })
    }
}

impl Handler<SetInstances> for ProviderGateway {
    type Result = ();

    fn handle(&mut self, SetInstances(instances): SetInstances, _: &mut Self::Context) {
        for new in &instances {
            let former = self.instances.iter().find(|former| former.info.name == new.info.name);
            if !former.is_some_and(|former| former.is_same_service(new)) {
                self.permits.renew(&new.info.name);
            }
        }
        self.instances = instances;
    }
}

impl Handler<CheckNamed> for ProviderGateway {
    type Result = ResponseFuture<Option<ProviderCheckResult>>;

    fn handle(&mut self, CheckNamed(name): CheckNamed, _: &mut Self::Context) -> Self::Result {
        let instance = self.instances.iter().find(|instance| instance.info.name == name);
        let sent = instance.map(|instance| instance.check.send(CheckProvider));
        Box::pin(async move { sent?.await.ok() })
    }
}

impl Handler<GetProviders> for ProviderGateway {
    type Result = MessageResult<GetProviders>;

    fn handle(&mut self, _: GetProviders, _: &mut Self::Context) -> Self::Result {
        let info = |instance: &Instance| {
            let (running, max_concurrent) = self.permits.usage(&instance.info.name);
            let model = instance.info.model.as_deref().map(Arc::from);
            let shut = self.permits.shut(&Target { provider: instance.info.name.as_str().into(), model });
            let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_millis() as u64;
            let at = |until| Timestamp::from_unix_ms(Timestamp::now().unix_ms() + left(until));
            ProviderInfo {
                running,
                max_concurrent,
                wait_reason: shut.map(Shut::reason),
                waits_until: shut.and_then(Shut::until).map(at),
                ..instance.info.clone()
            }
        };
        MessageResult(self.instances.iter().map(info).collect())
    }
}

/// A provider that left the configuration between the begin of the attempt and its call: the task waits for it.
fn unreachable_provider() -> Failure {
    let message = "the provider is not configured any more";
    Failure::with_code(Class::Unreached, ErrorCode::NoProvider, message, "reel providers lists them")
}
