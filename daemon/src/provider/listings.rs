//! The gateway's queries about its instances: their models, their voices, and a preview of the requests that they would send.

use std::sync::Arc;

use actix::{Handler, MessageResult, ResponseFuture};
use reel_protocol::methods::{PlannedRequest, ProviderModelsResult, ProviderVoicesResult, VoicesOfProvider};

use super::{Instance, ListModels, ListVoices, PreviewRequests, ProviderGateway, VoiceList};
use crate::domain::Failure;

impl Instance {
    /// Returns the configured models without duplicates. The model for all services comes first.
    fn configured_models(&self) -> Vec<String> {
        let mut models: Vec<String> = Vec::new();
        for model in self.profile.model.iter().chain(self.profile.models.values()) {
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        models
    }
}

impl Handler<ListModels> for ProviderGateway {
    type Result = ResponseFuture<Option<Result<ProviderModelsResult, Failure>>>;

    fn handle(&mut self, ListModels(name): ListModels, _: &mut Self::Context) -> Self::Result {
        let found = self.find(&name);
        let asked = found.map(|one| (one.configured_models(), Arc::clone(&one.provider).models()));
        Box::pin(async move {
            let (configured, listing) = asked?;
            Some(listing.await.map(|listed| match listed {
                Some(models) => ProviderModelsResult { models, is_listed: true },
                None => ProviderModelsResult { models: configured, is_listed: false },
            }))
        })
    }
}

impl Handler<ListVoices> for ProviderGateway {
    type Result = ResponseFuture<Option<Result<ProviderVoicesResult, Failure>>>;

    fn handle(&mut self, ListVoices(name): ListVoices, _: &mut Self::Context) -> Self::Result {
        let is_wanted = |instance: &&Instance| match &name {
            Some(name) => instance.profile.name == *name,
            None => instance.profile.serves("voice"),
        };
        let ask = |instance: &Instance| (instance.profile.clone(), Arc::clone(&instance.provider).voices());
        let asked: Vec<_> = self.instances().iter().filter(is_wanted).map(ask).collect();
        Box::pin(async move {
            if name.is_some() && asked.is_empty() {
                return None;
            }
            let mut providers = Vec::with_capacity(asked.len());
            for (profile, listing) in asked {
                let listed = if profile.serves("voice") {
                    listing.await
                } else {
                    Ok(VoiceList::none("it is not configured for voice"))
                };
                // A failure of one provider must not hide the voices of the others.
                let VoiceList { voices, note } = match listed {
                    Err(failure) if name.is_some() => return Some(Err(failure)),
                    Err(failure) => VoiceList::none(failure.error.message),
                    Ok(listed) => listed,
                };
                providers.push(VoicesOfProvider { name: profile.name, voices, note });
            }
            Some(Ok(ProviderVoicesResult { providers }))
        })
    }
}

impl Handler<PreviewRequests> for ProviderGateway {
    type Result = MessageResult<PreviewRequests>;

    fn handle(&mut self, asked: PreviewRequests, _: &mut Self::Context) -> Self::Result {
        let found = self.find(&asked.provider);
        let requests: Vec<PlannedRequest> =
            found.map(|instance| instance.provider.requests(&asked.request)).unwrap_or_default();
        MessageResult(requests)
    }
}
