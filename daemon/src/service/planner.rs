//! Plans how a task would run: checks its params, applies their defaults, chooses the providers, and computes the cache keys. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use reel_protocol::{Digest, ErrorCode};

use super::{BadParams, ProviderWork, SERVICES, Service, Work, find};
use crate::{
    domain::{
        Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks, ProviderProfile, Refused, references, resolve,
    },
    nearest::nearest,
};

/// Plans tasks for a list of providers. Every request begins with a plan, so the planner is a plain value and no actor.
#[derive(Debug, Clone)]
pub struct Planner {
    providers: Arc<[PlannedProvider]>,
    generation: u64,
}

/// A provider, with its name in a form that the plans can share.
#[derive(Debug)]
struct PlannedProvider {
    profile: ProviderProfile,
    name: Arc<str>,
}

impl PlanTasks for Planner {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal> {
        let refuse = |BadParams { code, message, hint }| PlanRefusal { index: 0, code, message, hint };
        self.checked_with_references(spec).map_err(refuse)
    }
}

impl Planner {
    /// A planner over these providers, in the order of selection.
    pub fn new(providers: Vec<ProviderProfile>) -> Self {
        /// How many planners were made. The first has the generation 1.
        static MADE: AtomicU64 = AtomicU64::new(0);

        let planned =
            |profile: ProviderProfile| PlannedProvider { name: Arc::from(profile.name.as_str()), profile };
        let generation = MADE.fetch_add(1, Relaxed) + 1;
        Self { providers: providers.into_iter().map(planned).collect(), generation }
    }

    /// Plans params that may refer to outputs of other tasks. These do not exist yet, so the params are only checked, with a digest of zeros in
    /// place of each reference, and the plan has no candidates.
    fn checked_with_references(&self, spec: &PlanSpec<'_>) -> Result<Plan, BadParams> {
        let references = references(spec.params).map_err(|error| {
            BadParams::new(
                error.to_string(),
                "a reference is such as {\"$output\": 7} or {\"$output\": 7, \"index\": 1}",
            )
        })?;
        if references.is_empty() {
            return self.checked(spec);
        }
        let any = Digest::from_bytes([0; 32]);
        let params = resolve(spec.params, references.iter().map(|_| any)).unwrap_or_default();
        self.checked(&PlanSpec { params: &params, ..*spec }).map_err(|bad| without_placeholder(bad, any))?;
        let params = spec.params.clone();
        Ok(Plan { params, references, generation: self.generation, ..Plan::default() })
    }

    fn checked(&self, spec: &PlanSpec<'_>) -> Result<Plan, BadParams> {
        let (service, method) = find(spec.kind).ok_or_else(|| unknown_kind(spec.kind))?;
        match service.check(method, spec.params)? {
            Work::AtProvider(work) => self.plan_at_provider(spec, service.provided_by(), &*work),
            Work::InDaemon(_) => {
                Ok(Plan { params: spec.params.clone(), generation: self.generation, ..Plan::default() })
            }
            Work::Workflow(inputs) => Ok(Plan {
                params: spec.params.clone(),
                inputs,
                generation: self.generation,
                is_workflow: true,
                ..Plan::default()
            }),
        }
    }

    fn plan_at_provider(
        &self,
        spec: &PlanSpec<'_>,
        service: &str,
        work: &dyn ProviderWork,
    ) -> Result<Plan, BadParams> {
        let gone = spec.planned.filter(|name| spec.provider.is_none() && self.find(name).is_none());
        let chosen = match (self.choose(spec, service, work), gone) {
            (Ok(chosen), Some(gone)) if chosen.iter().all(|provider| provider.profile.is_fallback) => {
                return Err(gone_provider(gone));
            }
            // These params were accepted for the provider that is gone, so its absence is the reason.
            (Err(_), Some(gone)) => return Err(gone_provider(gone)),
            (chosen, _) => chosen?,
        };
        let candidate = |provider: &&PlannedProvider| Candidate {
            provider: Arc::clone(&provider.name),
            model: work.model().or(provider.profile.model_for(service)).map(Arc::from),
            key: work.key(&provider.profile),
            is_paid: provider.profile.is_paid,
            price: provider.profile.price.clone(),
            is_alternative: work.model().is_none() || work.model() == provider.profile.model_for(service),
        };
        let candidates = chosen.iter().map(candidate).collect();
        let params =
            work.params().map_err(|error| BadParams::new(error.to_string(), "send plainer params"))?;
        let inputs = work.inputs();
        Ok(Plan { params, inputs, candidates, generation: self.generation, ..Plan::default() })
    }

    fn find(&self, name: &str) -> Option<&PlannedProvider> {
        self.providers.iter().find(|provider| *provider.name == *name)
    }

    /// Chooses the providers that can carry out a request: the provider of its earlier plan, then the others in the order of selection. The
    /// fallback never replaces a configured provider, because its picture would not be what was asked for.
    fn choose(
        &self,
        spec: &PlanSpec<'_>,
        service: &str,
        work: &dyn ProviderWork,
    ) -> Result<Vec<&PlannedProvider>, BadParams> {
        let allowed = match (spec.provider, spec.planned.and_then(|name| self.find(name))) {
            (Some(name), _) => vec![self.named(name, service)?],
            (None, Some(planned)) if planned.profile.is_fallback => vec![planned],
            (None, planned) => self.in_order(service, planned, spec.refused_by),
        };
        if allowed.is_empty() {
            return Err(no_provider(service));
        }
        let mut refusal = None;
        let mut chosen = Vec::with_capacity(allowed.len());
        for provider in allowed {
            match work.fits(&provider.profile) {
                Ok(()) => chosen.push(provider),
                Err(bad) => refusal = refusal.or(Some(bad)),
            }
        }
        match refusal {
            Some(refusal) if chosen.is_empty() => Err(refusal),
            _ => Ok(chosen),
        }
    }

    /// Finds the provider that a request names, which must serve the service.
    fn named(&self, name: &str, service: &str) -> Result<&PlannedProvider, BadParams> {
        let provider = self.find(name).ok_or_else(|| self.unknown_provider(name))?;
        if provider.profile.serves(service) {
            return Ok(provider);
        }
        let message = format!("the provider {name} is not configured for {service}");
        let hint = match provider.profile.services.as_slice() {
            [] => "reel providers shows what each one serves".to_owned(),
            services => format!("it serves {}; reel providers shows all", services.join(", ")),
        };
        Err(BadParams { code: ErrorCode::InvalidParams, message, hint: Some(hint) })
    }

    /// The providers for a request that names none: the one of its earlier plan, then the default of the service, then the others by rank.
    /// Providers that have refused the request are left out, unless all of them have.
    fn in_order(
        &self,
        service: &str,
        planned: Option<&PlannedProvider>,
        refused_by: &[Refused],
    ) -> Vec<&PlannedProvider> {
        let serving = || self.providers.iter().filter(|provider| provider.profile.serves(service));
        // A user who has chosen drafts as the default pays for nothing else.
        let draft = serving()
            .find(|provider| provider.profile.is_fallback && provider.profile.is_default_for(service));
        if let (Some(draft), None) = (draft, planned) {
            return vec![draft];
        }
        let has_real = serving().any(|provider| !provider.profile.is_fallback);
        let mut allowed: Vec<_> =
            serving().filter(|provider| !(has_real && provider.profile.is_fallback)).collect();
        // The sort is stable, so the others stay in the order of selection.
        allowed.sort_by_key(|provider| {
            let is_planned = planned.is_some_and(|planned| planned.name == provider.name);
            (!is_planned, !provider.profile.is_default_for(service))
        });
        let is_open = |provider: &&PlannedProvider| {
            !refused_by.iter().any(|refused| *refused.provider == *provider.name)
        };
        if allowed.iter().any(is_open) {
            allowed.retain(is_open);
        }
        allowed
    }

    fn unknown_provider(&self, name: &str) -> BadParams {
        let near = nearest(name, self.providers.iter().map(|provider| &*provider.name));
        let hint = near
            .map_or_else(|| "reel providers lists them".to_owned(), |near| format!("did you mean {near}?"));
        BadParams {
            code: ErrorCode::UnknownProvider,
            message: format!("there is no provider {name:?}"),
            hint: Some(hint),
        }
    }
}

fn gone_provider(name: &str) -> BadParams {
    BadParams {
        code: ErrorCode::NoProvider,
        message: format!("the provider {name} is not configured any more"),
        hint: Some("reel config edit, or submit it anew for another provider".to_owned()),
    }
}

fn no_provider(service: &str) -> BadParams {
    if service == "render" {
        return BadParams {
            code: ErrorCode::NoProvider,
            message: "films are rendered by ffmpeg, which is not installed".to_owned(),
            hint: Some("apt install ffmpeg, or brew install ffmpeg; then reel daemon reload".to_owned()),
        };
    }
    let results = match service {
        "image" => "pictures",
        "text" => "texts",
        "voice" => "speech",
        "video" => "videos",
        other => other,
    };
    BadParams {
        code: ErrorCode::NoProvider,
        message: format!("no provider of {results} is configured"),
        hint: Some("add one with reel providers add; reel providers shows what each one makes".to_owned()),
    }
}

/// Rewrites an error about the digest that stood for a reference, which the client has not sent.
fn without_placeholder(bad: BadParams, any: Digest) -> BadParams {
    let any = any.to_string();
    if !bad.message.contains(&any) {
        return bad;
    }
    let message = bad.message.replace(&format!("string \"{any}\""), "a reference to an output");
    BadParams {
        message: message.replace(&any, "a reference to an output"),
        hint: Some("{\"$output\": 7} stands only where params hold the digest of an artifact".to_owned()),
        ..bad
    }
}

fn unknown_kind(kind: &str) -> BadParams {
    let kinds_of = |service: &&'static dyn Service| {
        let name = service.name();
        service.methods().iter().map(move |method| format!("{name}.{method}"))
    };
    let kinds: Vec<_> = SERVICES.iter().flat_map(kinds_of).collect();
    let near = nearest(kind, kinds.iter().map(String::as_str));
    let hint = near
        .map_or_else(|| format!("served are {}", kinds.join(", ")), |near| format!("did you mean {near}?"));
    BadParams { code: ErrorCode::UnknownKind, message: format!("no service has {kind:?}"), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use reel_protocol::JsonText;

    use super::*;
    use crate::domain::ImageCapabilities;

    fn entry(name: &str, model: Option<&str>) -> ProviderProfile {
        ProviderProfile {
            name: name.to_owned(),
            model: model.map(str::to_owned),
            services: vec!["image".to_owned()],
            ..ProviderProfile::default()
        }
    }

    fn plan(kind: &str, params: &str, provider: Option<&str>) -> Result<Plan, PlanRefusal> {
        let planner = Planner::new(vec![entry("studio", Some("large")), entry("spare", None), draft()]);
        let params = JsonText::parse(params.to_owned()).unwrap();
        planner.plan(&PlanSpec { kind, params: &params, provider, planned: None, refused_by: &[] })
    }

    fn draft() -> ProviderProfile {
        ProviderProfile { is_fallback: true, ..entry("draft", None) }
    }

    #[test]
    fn a_task_keeps_its_provider_while_that_is_there_and_draft_stands_in_for_none() {
        let params = JsonText::parse(r#"{"prompt":"a"}"#.to_owned()).unwrap();
        let planned =
            |providers: Vec<ProviderProfile>, planned: Option<&'static str>, refused_by: &[&str]| {
                let refused_by: Vec<_> = refused_by
                    .iter()
                    .map(|name| Refused { provider: (*name).to_owned(), reason: String::new() })
                    .collect();
                let spec = spec(&params, planned, &refused_by);
                let plan = Planner::new(providers).plan(&spec).unwrap();
                plan.candidates.iter().map(|candidate| candidate.provider.to_string()).collect::<Vec<_>>()
            };
        let all = || vec![entry("studio", None), entry("spare", None), draft()];
        assert_eq!(planned(all(), None, &[]), ["studio", "spare"]);
        assert_eq!(planned(all(), Some("draft"), &[]), ["draft"]);
        assert_eq!(planned(all(), Some("gone"), &[]), ["studio", "spare"]);
        assert_eq!(planned(all(), Some("spare"), &[]), ["spare", "studio"]);
        assert_eq!(planned(all(), Some("studio"), &["studio"]), ["spare"]);
        assert_eq!(planned(all(), Some("studio"), &["studio", "spare"]), ["studio", "spare"]);
        let gone = spec(&params, Some("studio"), &[]);
        let refusal = Planner::new(vec![draft()]).plan(&gone).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::NoProvider, "a draft is not what was accepted");
        // Another provider is configured, but it cannot make what the missing one could.
        let narrow = ProviderProfile {
            image: ImageCapabilities { sides: 16..=64, ..ImageCapabilities::default() },
            ..entry("narrow", None)
        };
        let refusal = Planner::new(vec![narrow]).plan(&gone).unwrap_err();
        assert!(refusal.is_for_want_of_its_provider(), "{refusal}");
    }

    fn spec<'a>(params: &'a JsonText, planned: Option<&'a str>, refused_by: &'a [Refused]) -> PlanSpec<'a> {
        PlanSpec { kind: "image.generate", params, provider: None, planned, refused_by }
    }

    #[test]
    fn providers_are_candidates_in_their_order_with_the_model_that_is_used() {
        let names = |plan: Plan| -> Vec<(String, Option<String>)> {
            let own = |text: &Arc<str>| text.to_string();
            plan.candidates
                .iter()
                .map(|found| (own(&found.provider), found.model.as_ref().map(own)))
                .collect()
        };
        let pair = |name: &str, model: Option<&str>| (name.to_owned(), model.map(str::to_owned));
        for (params, provider, expected) in [
            (r#"{"prompt":"a"}"#, None, vec![pair("studio", Some("large")), pair("spare", None)]),
            (r#"{"prompt":"a"}"#, Some("draft"), vec![pair("draft", None)]),
            (
                r#"{"prompt":"a","model":"m"}"#,
                None,
                vec![pair("studio", Some("m")), pair("spare", Some("m"))],
            ),
        ] {
            assert_eq!(names(plan("image.generate", params, provider).unwrap()), expected, "{params}");
        }
    }

    #[test]
    fn the_default_of_a_service_comes_before_the_ranks_and_after_the_provider_of_before() {
        let params = JsonText::parse(r#"{"prompt":"a"}"#.to_owned()).unwrap();
        let planned = |default: &str, planned| {
            let mut providers = vec![entry("studio", None), entry("spare", None), draft()];
            for provider in &mut providers {
                provider.default_for =
                    (provider.name == default).then(|| "image".to_owned()).into_iter().collect();
            }
            let plan = Planner::new(providers).plan(&spec(&params, planned, &[])).unwrap();
            plan.candidates.iter().map(|candidate| candidate.provider.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(planned("spare", None), ["spare", "studio"]);
        assert_eq!(planned("spare", Some("studio")), ["studio", "spare"]);
        assert_eq!(planned("draft", None), ["draft"]);
        assert_eq!(
            planned("draft", Some("studio")),
            ["studio", "spare"],
            "an accepted task keeps its provider"
        );
    }

    #[test]
    fn a_provider_is_asked_only_for_what_it_serves() {
        let speaker = || ProviderProfile { services: vec!["voice".to_owned()], ..entry("speaker", None) };
        let params = JsonText::parse(r#"{"prompt":"a"}"#.to_owned()).unwrap();
        let plan = |providers, provider| {
            let spec = PlanSpec { provider, ..spec(&params, None, &[]) };
            Planner::new(providers).plan(&spec)
        };
        // A provider of another service does not keep the fallback from being chosen.
        let chosen = plan(vec![speaker(), draft()], None).unwrap();
        assert_eq!(chosen.provider().map(|name| &**name), Some("draft"));
        let refusal = plan(vec![speaker()], None).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::NoProvider, "{refusal}");
        let refusal = plan(vec![speaker(), draft()], Some("speaker")).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::InvalidParams, "{refusal}");
        assert!(refusal.hint.is_some_and(|hint| hint.contains("it serves voice")));
    }

    #[test]
    fn what_is_not_served_is_refused_with_the_nearest_name() {
        for (kind, provider, code, hint) in [
            ("image.generat", None, ErrorCode::UnknownKind, "did you mean image.generate?"),
            ("debug.nop", None, ErrorCode::UnknownKind, "did you mean debug.noop?"),
            ("image.generate", Some("draff"), ErrorCode::UnknownProvider, "did you mean draft?"),
        ] {
            let refusal = plan(kind, r#"{"prompt":"a"}"#, provider).unwrap_err();
            assert_eq!((refusal.code, refusal.hint.as_deref()), (code, Some(hint)), "{kind}");
        }
    }
}
