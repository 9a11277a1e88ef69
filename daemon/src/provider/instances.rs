//! Makes the provider instances of a configuration, at the start and whenever the configuration changes.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reel_protocol::methods::ProviderInfo;

use super::{
    Equipment, GateLimits, Http, HttpLimits, Inspector, Provider,
    chosen_models::ChosenModels,
    command::{CommandRunner, find_program},
    film::FilmTools,
    kind::{find, kind_sections},
    kinds::{
        draft::Draft,
        ffmpeg::{self, Ffmpeg},
    },
    known_jobs::KnownJobs,
    loading::LoadingServers,
    machine::Machines,
};
use crate::{
    cache::Spools,
    config::{Config, HttpConfig, ProviderConfig},
    domain::{ProviderProfile, RemoteJob},
    memory::Budget,
    process::Launcher,
    secret::SecretSource,
};

/// The program that speaks if no provider for voices is configured. Its definition and its provider have the same name.
const ESPEAK: &str = "espeak-ng";

/// One provider instance, with what the gateway must know of it.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The properties that provider selection and cache keys depend on.
    pub profile: ProviderProfile,
    /// The limits of the instance's gate.
    pub limits: GateLimits,
    /// The address of the service, for people. None if the provider reaches none.
    pub address: Option<String>,
    /// Where the API key is read from. Another address or key means another service or account.
    pub api_key: Option<SecretSource>,
    /// The implementation that runs the calls.
    pub provider: Arc<dyn Provider>,
}

impl Instance {
    /// Whether both reach the same address with the same key. If so, the gate keeps its pauses and circuits.
    pub(super) fn is_same_service(&self, other: &Self) -> bool {
        (&self.profile.address, &self.api_key) == (&other.profile.address, &other.api_key)
    }

    /// Returns what `provider.list` shows. The gateway fills in what changes from moment to moment: `running`, `wait_reason` and `waits_until`.
    pub(super) fn info(&self) -> ProviderInfo {
        let profile = &self.profile;
        ProviderInfo {
            name: profile.name.clone(),
            kind: profile.kind.clone(),
            services: profile.services.clone(),
            model: profile.model.clone(),
            models: profile.models.clone(),
            is_embedded: profile.is_embedded,
            default_for: profile.default_for.clone(),
            billing: if profile.is_paid { "paid" } else { "free" }.to_owned(),
            max_concurrent: self.limits.max_concurrent,
            running: 0,
            requests_per_minute: self.limits.requests_per_minute,
            address: self.address.clone(),
            wait_reason: None,
            waits_until: None,
            machine: None,
            condition: None,
        }
    }
}

/// Makes instances. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InstanceFactory {
    budget: Budget,
    spools: Spools,
    inspector: Inspector,
    commands: CommandRunner,
    /// The HTTP client of the newest configuration. A reload with equal limits keeps it, and so its open connections.
    http: Arc<Mutex<Option<Http>>>,
    known_jobs: KnownJobs,
    loading: LoadingServers,
    chosen_models: ChosenModels,
    machines: Machines,
    draft: Instance,
}

impl InstanceFactory {
    /// Returns a factory whose instances reserve their memory in `budget` and write below `home`: files arrive in `artifacts`, and programs run in
    /// `runs`. `machines` has the servers that reel starts and stops.
    pub fn new(budget: &Budget, home: &Path, machines: Machines) -> Self {
        let spools = Spools::new(home.join("artifacts"));
        let commands = CommandRunner::new(Launcher::this_executable(), &home.join("runs"), budget.clone());
        Self {
            draft: Draft::instance(budget.clone(), spools.clone(), commands.clone()),
            commands,
            inspector: Inspector::new(budget.clone()),
            budget: budget.clone(),
            spools,
            http: Arc::default(),
            known_jobs: KnownJobs::default(),
            loading: LoadingServers::of_home(home),
            chosen_models: ChosenModels::of_home(home),
            machines,
        }
    }

    /// Whether reel has started a server that it will stop.
    pub fn will_stop_a_server(&self) -> bool {
        self.machines.will_stop_one()
    }

    /// Notes the jobs that unfinished tasks of the journal have at their services, so that the search for a lost job takes none of them.
    pub fn remember_jobs(&self, jobs: impl IntoIterator<Item = RemoteJob>) {
        for job in jobs {
            if let RemoteJob::Submitted { provider, fields, .. } = job {
                self.known_jobs.add(&provider, &fields);
            }
        }
    }

    /// Returns the configured instances in the order of selection. The embedded ones follow: `espeak-ng` if it is needed, `ffmpeg` if it is
    /// installed, and `draft`.
    pub fn build(&self, config: &Config) -> Vec<Instance> {
        let loading_patience = Duration::from_secs(config.http.loading_s.into());
        self.machines.configure(&config.providers, loading_patience);
        let equipment = Equipment {
            http: self.http(http_limits(&config.http)),
            patience: Duration::from_secs(config.http.fetch_s.into()),
            spools: self.spools.clone(),
            inspector: self.inspector.clone(),
            commands: self.commands.clone(),
            known_jobs: self.known_jobs.clone(),
            loading: self.loading.clone(),
            chosen_models: self.chosen_models.clone(),
            loading_patience,
            machines: self.machines.clone(),
            budget: self.budget.clone(),
        };
        let configured = config.providers.iter().filter_map(|provider| {
            let instance = instance(provider, &equipment);
            if instance.is_none() {
                tracing::error!(provider = provider.name, kind = provider.kind, "a provider cannot be made");
            }
            instance
        });
        let mut instances: Vec<_> = configured.collect();
        let espeak = espeak(config, &instances).and_then(|provider| instance(&provider, &equipment));
        instances.extend(espeak.map(|mut espeak| {
            espeak.profile.is_embedded = true;
            espeak
        }));
        if !instances.iter().any(|instance| instance.profile.name == ffmpeg::NAME) {
            instances.extend(Ffmpeg::instance(self.film_tools()));
        }
        instances.push(self.draft.clone());
        for Instance { profile, .. } in &mut instances {
            let own = config.defaults.iter().filter(|(_, name)| **name == profile.name);
            profile.default_for = own.map(|(service, _)| service.clone()).collect();
        }
        instances
    }

    fn film_tools(&self) -> FilmTools {
        FilmTools {
            budget: self.budget.clone(),
            spools: self.spools.clone(),
            commands: self.commands.clone(),
        }
    }

    fn http(&self, limits: HttpLimits) -> Http {
        let mut http = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        match &*http {
            Some(http) if http.limits() == limits => http.clone(),
            _ => http.insert(Http::new(limits)).clone(),
        }
    }
}

/// Makes one instance. None if the kind is unknown or lacks a setting. Both are impossible for a configuration that was read with [`kind_sections`].
fn instance(config: &ProviderConfig, equipment: &Equipment) -> Option<Instance> {
    let kind = find(config.kind)?;
    Some(Instance {
        profile: ProviderProfile {
            name: config.name.clone(),
            kind: config.kind.to_owned(),
            address: kind.address(config),
            model: config.model.clone(),
            models: config.models.clone(),
            adapter_version: kind.adapter_version().to_owned(),
            is_paid: config.is_paid,
            price: config.price.clone().map(Arc::new),
            is_fallback: false,
            is_embedded: false,
            default_for: Vec::new(),
            services: config.services.clone(),
            image: kind.image(config),
            speech: kind.speech(config),
            chat: kind.chat(config),
            video: kind.video(config),
        },
        limits: GateLimits {
            max_concurrent: config.max_concurrent,
            requests_per_minute: config.requests_per_minute,
        },
        address: config.own.remote.as_ref().map(|remote| remote.base_url.to_string()),
        api_key: config.own.remote.as_ref().and_then(|remote| remote.api_key.clone()),
        provider: kind.build(config, equipment)?,
    })
}

/// Returns the embedded provider `espeak-ng` if the program is installed, and if no configured provider speaks or `espeak-ng` is the default. None if
/// a configured provider has its name.
fn espeak(config: &Config, configured: &[Instance]) -> Option<ProviderConfig> {
    let is_default = config.defaults.get("voice").is_some_and(|name| name == ESPEAK);
    let is_needed = is_default || !configured.iter().any(|instance| instance.profile.serves("voice"));
    let is_named = configured.iter().any(|instance| instance.profile.name == ESPEAK);
    if !is_needed || is_named {
        return None;
    }
    if find_program(ESPEAK, None).is_err() {
        if is_default {
            tracing::warn!("defaults.voice is {ESPEAK}, which is not installed");
        }
        return None;
    }
    let section = format!("[providers.{ESPEAK}]\nkind = \"command\"\ndefinition = \"{ESPEAK}\"\n");
    Config::parse(&section, &kind_sections()).ok()?.providers.pop()
}

fn http_limits(config: &HttpConfig) -> HttpLimits {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    HttpLimits {
        per_host: config.per_host as usize,
        keep_alive: seconds(config.keep_alive_s),
        connect: seconds(config.connect_s),
        first_byte: seconds(config.first_byte_s),
        read: seconds(config.read_s),
        total: seconds(config.total_s),
    }
}
