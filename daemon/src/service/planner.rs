//! Says how a task would run: whether what it asks for holds, its defaults, who can do it, and what its result is cached under. Pure.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use reel_protocol::{ErrorCode, ImageParams, JsonText};

use super::{
    debug,
    image::{self, BadParams},
    key::image_key,
    registry::SERVICES,
};
use crate::{
    domain::{Candidate, Plan, PlanRefusal, PlanSpec, PlanTasks, ProviderProfile, Refused},
    nearest::nearest,
};

/// A planner over the providers in the order of selection. A value rather than a question to the registry: every request begins with it,
/// and an answer from the cache takes less time than two hops between actors.
#[derive(Debug, Clone)]
pub struct Planner {
    image_providers: Arc<[Known]>,
    generation: u64,
}

/// A provider with its names ready to be shared by the plans.
#[derive(Debug)]
struct Known {
    entry: ProviderProfile,
    name: Arc<str>,
    model: Option<Arc<str>>,
}

impl PlanTasks for Planner {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal> {
        let refuse = |BadParams { code, message, hint }| PlanRefusal { index: 0, code, message, hint };
        self.checked(spec).map_err(refuse)
    }
}

impl Planner {
    /// Over those that can make pictures.
    pub fn new(image_providers: Vec<ProviderProfile>) -> Self {
        /// Planners that were made; the first has the number 1.
        static MADE: AtomicU64 = AtomicU64::new(0);

        let known = |entry: ProviderProfile| Known {
            name: Arc::from(entry.name.as_str()),
            model: entry.model.as_deref().map(Arc::from),
            entry,
        };
        Self {
            image_providers: image_providers.into_iter().map(known).collect(),
            generation: MADE.fetch_add(1, Relaxed) + 1,
        }
    }

    fn checked(&self, spec: &PlanSpec<'_>) -> Result<Plan, BadParams> {
        let (service, method) = spec.kind.split_once('.').unwrap_or((spec.kind, ""));
        match (service, method) {
            ("image", "generate") => self.plan_image(spec),
            ("debug", method) => match debug::check(method, spec.params) {
                Some(checked) => checked.map(|_| Plan {
                    params: spec.params.clone(),
                    generation: self.generation,
                    ..Plan::default()
                }),
                None => Err(unknown_kind(spec.kind)),
            },
            _ => Err(unknown_kind(spec.kind)),
        }
    }

    fn plan_image(&self, spec: &PlanSpec<'_>) -> Result<Plan, BadParams> {
        let params = image::check(spec.params)?;
        let gone = spec.planned.filter(|name| spec.provider.is_none() && self.find(name).is_none());
        let chosen = match (self.choose(spec, &params), gone) {
            (Ok(chosen), Some(gone)) if chosen.iter().all(|provider| provider.entry.is_fallback) => {
                return Err(gone_provider(gone));
            }
            // The provider that took these params is the one that is gone.
            (Err(_), Some(gone)) => return Err(gone_provider(gone)),
            (chosen, _) => chosen?,
        };
        let candidate = |provider: &&Known| Candidate {
            provider: Arc::clone(&provider.name),
            model: params.model.as_deref().map(Arc::from).or_else(|| provider.model.clone()),
            key: image_key(&params, &provider.entry),
            is_paid: provider.entry.is_paid,
            is_alternative: params.model.is_none() || params.model == provider.entry.model,
        };
        let candidates = chosen.iter().map(candidate).collect();
        let params = JsonText::from_value(&params)
            .map_err(|error| BadParams::new(error.to_string(), "send plainer params"))?;
        Ok(Plan { params, candidates, generation: self.generation, missing: None })
    }

    fn find(&self, name: &str) -> Option<&Known> {
        self.image_providers.iter().find(|provider| *provider.name == *name)
    }

    /// The providers that can do it: the one that it was planned for before, then the others in the order of selection. The fallback stands
    /// in for none that is configured: its picture would not be what was asked for.
    fn choose(&self, spec: &PlanSpec<'_>, params: &ImageParams) -> Result<Vec<&Known>, BadParams> {
        let allowed = match (spec.provider, spec.planned.and_then(|name| self.find(name))) {
            (Some(name), _) => vec![self.find(name).ok_or_else(|| self.unknown_provider(name))?],
            (None, Some(planned)) if planned.entry.is_fallback => vec![planned],
            (None, planned) => self.in_order(planned, spec.refused_by),
        };
        let mut refusal = None;
        let mut chosen = Vec::with_capacity(allowed.len());
        for provider in allowed {
            match image::check_against(&provider.entry.image, params, &provider.name) {
                Ok(()) => chosen.push(provider),
                Err(bad) => refusal = refusal.or(Some(bad)),
            }
        }
        match refusal {
            Some(refusal) if chosen.is_empty() => Err(refusal),
            _ => Ok(chosen),
        }
    }

    /// The providers that a request may go to that names none.
    fn in_order(&self, planned: Option<&Known>, refused_by: &[Refused]) -> Vec<&Known> {
        let has_real = self.image_providers.iter().any(|provider| !provider.entry.is_fallback);
        let mut allowed: Vec<_> = self
            .image_providers
            .iter()
            .filter(|provider| !(has_real && provider.entry.is_fallback))
            .collect();
        // A stable sort: the others stay in the order of selection.
        allowed.sort_by_key(|provider| planned.is_none_or(|planned| planned.name != provider.name));
        let is_open =
            |provider: &&Known| !refused_by.iter().any(|refused| *refused.provider == *provider.name);
        if allowed.iter().any(is_open) {
            allowed.retain(is_open);
        }
        allowed
    }

    fn unknown_provider(&self, name: &str) -> BadParams {
        let near = nearest(name, self.image_providers.iter().map(|provider| &*provider.name));
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

fn unknown_kind(kind: &str) -> BadParams {
    let kinds: Vec<_> = SERVICES
        .iter()
        .flat_map(|(service, methods)| methods.iter().map(move |method| format!("{service}.{method}")))
        .collect();
    let near = nearest(kind, kinds.iter().map(String::as_str));
    let hint = near
        .map_or_else(|| format!("served are {}", kinds.join(", ")), |near| format!("did you mean {near}?"));
    BadParams { code: ErrorCode::UnknownKind, message: format!("no service has {kind:?}"), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ImageCapabilities;

    fn entry(name: &str, model: Option<&str>) -> ProviderProfile {
        ProviderProfile {
            name: name.to_owned(),
            model: model.map(str::to_owned),
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
        // Another provider is there, and cannot make what the one that is gone could.
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
