//! The provider gateway: the one door to all provider instances.
//!
//! It owns the instances' order and routes each call to its own. The services ask it; it asks the instance's actor.

use actix::{Actor, Context, Handler, MessageResult, Recipient, ResponseFuture};
use reel_protocol::{ErrorCode, TaskError, methods::ProviderInfo};

use super::{Generate, GenerateError, GetProviders, Permits, Picture};

/// Calls that may wait; permits let far fewer through.
const MAILBOX: usize = 1_024;

/// One configured instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// As the wire shows it; `running` is filled in when it is asked for.
    pub info: ProviderInfo,
    /// Its actor.
    pub generate: Recipient<Generate>,
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
    type Result = ResponseFuture<Result<Vec<Picture>, GenerateError>>;

    fn handle(&mut self, call: Generate, _: &mut Self::Context) -> Self::Result {
        let instance = self.instances.iter().find(|instance| instance.info.name == call.provider);
        let sent = instance.map(|instance| instance.generate.send(call));
        Box::pin(async move {
            let lost = || GenerateError::Failed(unreachable_provider());
            sent.ok_or_else(lost)?.await.map_err(|_| lost())?
        })
    }
}

impl Handler<GetProviders> for ProviderGateway {
    type Result = MessageResult<GetProviders>;

    fn handle(&mut self, _: GetProviders, _: &mut Self::Context) -> Self::Result {
        let info = |instance: &Instance| {
            let (running, max_concurrent) = self.permits.usage(&instance.info.name);
            ProviderInfo { running, max_concurrent, ..instance.info.clone() }
        };
        MessageResult(self.instances.iter().map(info).collect())
    }
}

fn unreachable_provider() -> TaskError {
    TaskError {
        code: ErrorCode::NoProvider.name().to_owned(),
        message: "the provider is not configured any more".to_owned(),
        hint: Some("reel providers lists them".to_owned()),
        retryable: false,
        provider_status: None,
    }
}
