//! The provider instances of a configuration: made at the start, and anew whenever it changes.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix::{Actor, Recipient};
use reel_draft as draft;
use reel_protocol::methods::ProviderInfo;

use crate::{
    cache::{Shelver, Spools},
    config::{Config, HttpConfig, ProviderConfig, ProviderKind},
    domain::{ProviderProfile, Takes},
    memory::Budget,
    provider::{
        DraftProvider, GateLimits, Http, HttpLimits, Inspector, Instance, Openai, Permits, RemoteParts,
        RemoteProvider, SetInstances, Wire,
    },
    service::{Planner, SetImageProviders},
    tasks::Replan,
};

/// What instances are made from.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    budget: Budget,
    spools: Spools,
    shelver: Shelver,
    inspector: Inspector,
    /// The way to the network of the newest configuration: kept while its limits stay, so that a reload makes no second set of connections.
    http: Arc<Mutex<Option<Http>>>,
    draft: Instance,
}

/// All instances of a configuration, in the order of selection, for each room that knows them.
pub(super) struct Built {
    /// For the gateway.
    pub instances: Vec<Instance>,
    /// For the permits.
    pub limits: Vec<(Arc<str>, GateLimits)>,
    /// For the services.
    pub entries: Vec<ProviderProfile>,
}

/// The rooms that know the instances.
#[derive(Clone)]
pub struct ProviderRooms {
    pub(super) ground: Ground,
    pub(super) permits: Permits,
    pub(super) instances: Recipient<SetInstances>,
    pub(super) entries: Recipient<SetImageProviders>,
    pub(super) replan: Recipient<Replan>,
}

impl ProviderRooms {
    /// Takes the instances of another configuration. Attempts under way end as they began.
    pub async fn configure(&self, config: &Config) {
        let Built { instances, limits, entries } = self.ground.build(config);
        self.permits.configure(limits);
        let planner = Arc::new(Planner::new(entries.clone()));
        // All are told in one turn, so that no room goes on for long with what another has dropped.
        let told = (
            self.instances.send(SetInstances(instances)),
            self.entries.send(SetImageProviders(entries)),
            self.replan.send(Replan(planner)),
        );
        // A room that is gone takes the process with it; there is nobody to tell here.
        let _ = (told.0.await, told.1.await, told.2.await);
    }
}

impl Ground {
    /// Over this budget, for pictures that arrive in `<home>/artifacts` and are kept by the cache.
    pub fn new(budget: &Budget, artifacts: PathBuf, shelver: Shelver) -> Self {
        let draft = DraftProvider::new(budget.clone(), shelver.clone()).start();
        let draft = Instance {
            info: DraftProvider::info(),
            api_key: None,
            generate: draft.clone().recipient(),
            check: draft.recipient(),
        };
        let inspector = Inspector::new(budget.clone());
        let (budget, spools) = (budget.clone(), Spools::new(artifacts));
        Self { budget, spools, shelver, inspector, http: Arc::default(), draft }
    }

    /// Those that are configured, and `draft` last.
    pub fn build(&self, config: &Config) -> Built {
        let http = self.http(http_limits(&config.http));
        let patience = Duration::from_secs(config.http.fetch_s.into());
        let mut built = Built { instances: Vec::new(), limits: Vec::new(), entries: Vec::new() };
        for provider in &config.providers {
            let limits = GateLimits {
                max_concurrent: provider.max_concurrent,
                requests_per_minute: provider.requests_per_minute,
            };
            built.limits.push((Arc::from(provider.name.as_str()), limits));
            built.entries.push(entry(provider));
            built.instances.push(self.remote(provider, &http, patience));
        }
        let draft = &self.draft.info;
        let limits = GateLimits { max_concurrent: draft.max_concurrent, requests_per_minute: None };
        built.limits.push((Arc::from(draft.name.as_str()), limits));
        built.entries.push(ProviderProfile {
            name: draft.name.clone(),
            kind: draft.kind.clone(),
            address: "embedded".to_owned(),
            adapter_version: draft::VERSION.to_string(),
            is_fallback: true,
            takes: Takes { sides: draft::MIN_SIDE..=draft::MAX_SIDE, ..Takes::default() },
            ..ProviderProfile::default()
        });
        built.instances.push(self.draft.clone());
        built
    }

    fn http(&self, limits: HttpLimits) -> Http {
        let mut http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        match &*http {
            Some(http) if http.limits() == limits => http.clone(),
            _ => http.insert(Http::new(limits)).clone(),
        }
    }

    fn remote(&self, config: &ProviderConfig, http: &Http, patience: Duration) -> Instance {
        let wire: Arc<dyn Wire> = match config.kind {
            ProviderKind::Openai => Arc::new(Openai),
        };
        let provider = RemoteProvider::new(RemoteParts {
            config: config.clone(),
            wire,
            http: http.clone(),
            patience,
            spools: self.spools.clone(),
            shelver: self.shelver.clone(),
            inspector: self.inspector.clone(),
            budget: self.budget.clone(),
        })
        .start();
        let info = ProviderInfo {
            name: config.name.clone(),
            kind: config.kind.name().to_owned(),
            services: vec!["image".to_owned()],
            model: config.model.clone(),
            billing: if config.is_paid { "paid" } else { "free" }.to_owned(),
            max_concurrent: config.max_concurrent,
            running: 0,
            requests_per_minute: config.requests_per_minute,
            address: Some(config.base_url.to_string()),
            wait_reason: None,
            waits_until: None,
        };
        Instance {
            info,
            api_key: config.api_key.clone(),
            generate: provider.clone().recipient(),
            check: provider.recipient(),
        }
    }
}

fn entry(config: &ProviderConfig) -> ProviderProfile {
    let (adapter_version, takes) = match config.kind {
        ProviderKind::Openai => (Openai::VERSION, Openai::takes()),
    };
    ProviderProfile {
        name: config.name.clone(),
        kind: config.kind.name().to_owned(),
        address: config.base_url.to_string(),
        model: config.model.clone(),
        adapter_version: adapter_version.to_owned(),
        is_paid: config.is_paid,
        is_fallback: false,
        takes,
    }
}

fn http_limits(config: &HttpConfig) -> HttpLimits {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    HttpLimits {
        per_host: config.per_host as usize,
        dns_ttl: seconds(config.dns_ttl_s),
        keep_alive: seconds(config.keep_alive_s),
        connect: seconds(config.connect_s),
        first_byte: seconds(config.first_byte_s),
        read: seconds(config.read_s),
        total: seconds(config.total_s),
    }
}
