//! `reel providers` without an action: a table of all providers, with the state of each, and what to do about those that do not work.

use reel_protocol::{
    ErrorCode, TaskError, Timestamp, WaitReason,
    methods::{Empty, MachineInfo, ProviderCondition, ProviderInfo, ProviderList},
};

use crate::{context::Context, exit::Exit, failure::Failure, table, why};

/// Lists the providers.
pub async fn list(context: &Context) -> Result<Exit, Failure> {
    let found = context.ask::<ProviderList>(&Empty {}).await?;
    context.output.document(&found)?;
    let now = Timestamp::now();
    let rows: Vec<_> = found
        .providers
        .iter()
        .map(|provider| {
            [
                provider.name.clone(),
                if provider.is_embedded {
                    format!("{}, built in", provider.kind)
                } else {
                    provider.kind.clone()
                },
                provider.billing.clone(),
                format!("{} of {}", provider.running, provider.max_concurrent),
                standing(provider, now),
                services(provider),
                models(provider),
            ]
        })
        .collect();
    let header = ["NAME", "KIND", "BILLING", "BUSY", "STATE", "SERVICES", "MODEL"];
    context.output.data(&table::columns(header, &rows, context.output.width()))?;
    for line in found.providers.iter().flat_map(advice) {
        context.output.note(&line);
    }
    if found.providers.iter().any(|provider| standing(provider, now) == UNTRIED) {
        context.output.note("reel providers check asks each provider whether it works; it costs nothing");
    }
    Ok(Exit::Done)
}

/// The state of a service on the network that was not asked since the daemon started.
const UNTRIED: &str = "not tried yet";

/// Lists the provider's services. The ones for which it is the default are marked.
fn services(provider: &ProviderInfo) -> String {
    let shown = |service: &String| {
        let is_default = provider.default_for.contains(service);
        if is_default { format!("{service} (default)") } else { service.clone() }
    };
    provider.services.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// Lists the provider's model, and the models of services that have their own.
fn models(provider: &ProviderInfo) -> String {
    let own = provider.models.iter().map(|(service, model)| format!("{service}: {model}"));
    own.chain(provider.model.clone()).collect::<Vec<_>>().join(", ")
}

/// Returns the error of a provider that does not work, as far as that is known.
fn error(provider: &ProviderInfo) -> Option<&TaskError> {
    provider.condition.as_ref()?.error.as_ref()
}

/// Describes in a few words whether the provider works, and if not, why.
fn standing(provider: &ProviderInfo, now: Timestamp) -> String {
    let of_gate = provider.wait_reason.map(|reason| {
        let words = why::provider(reason, provider.waits_until, now);
        words.strip_prefix("is ").map(str::to_owned).unwrap_or(words)
    });
    let is_key = error(provider).is_some_and(|error| is_of_the_key(&error.code));
    // A provider that does not work is busy for a moment while one call tries it again.
    let is_probed = provider.wait_reason == Some(WaitReason::Provider) && error(provider).is_some();
    let is_start_failed = provider.machine.as_ref().is_some_and(|machine| machine.state == "start_failed");
    let standing = match of_gate {
        // The wait for a server that was being started is over.
        _ if is_start_failed && provider.wait_reason == Some(WaitReason::ProviderLoading) => {
            "cannot be reached".to_owned()
        }
        Some(words) if !is_key && !is_probed => words,
        _ if is_start_failed && !is_key => "cannot be reached".to_owned(),
        _ => of_condition(provider.condition.as_ref(), provider.address.is_some()),
    };
    match &provider.machine {
        Some(machine) => format!("{standing}; {}", of_machine(machine, error(provider))),
        None => standing,
    }
}

fn is_of_the_key(code: &str) -> bool {
    [ErrorCode::KeyMissing, ErrorCode::ProviderAuth].into_iter().any(|one| one.name() == code)
}

/// Describes in a few words what the last call or check has shown.
fn of_condition(condition: Option<&ProviderCondition>, is_remote: bool) -> String {
    let error = match condition {
        None if is_remote => return UNTRIED.to_owned(),
        None | Some(ProviderCondition { error: None, .. }) => return "ready".to_owned(),
        Some(ProviderCondition { error: Some(error), .. }) => error,
    };
    match (ErrorCode::from_name(&error.code), error.provider_status) {
        (Some(ErrorCode::KeyMissing), _) => "no key".to_owned(),
        (Some(ErrorCode::ProviderAuth), _) => "key refused".to_owned(),
        (Some(ErrorCode::QuotaExceeded), _) => "quota used up".to_owned(),
        (Some(ErrorCode::NoProvider), _) => "not installed".to_owned(),
        (Some(ErrorCode::ConfigInvalid), _) => "wrong settings".to_owned(),
        (Some(ErrorCode::ProviderUnavailable), None) => "cannot be reached".to_owned(),
        (_, Some(status)) => format!("failed (status {status})"),
        (_, None) => "failed".to_owned(),
    }
}

/// Returns the lines that say what is wrong with a provider and what to do about it.
fn advice(provider: &ProviderInfo) -> Vec<String> {
    let Some(error) = error(provider) else { return Vec::new() };
    let name = &provider.name;
    let is_named = error.message.starts_with(name.as_str());
    let message = if is_named { error.message.clone() } else { format!("{name}: {}", error.message) };
    let hint = error.hint.as_ref().map(|hint| format!("  hint: {hint}"));
    std::iter::once(message).chain(hint).collect()
}

/// Returns what reel has done with the provider's server. `shown` is the error that is shown below the list, which is not repeated.
fn of_machine(machine: &MachineInfo, shown: Option<&TaskError>) -> String {
    let words = match machine.state.as_str() {
        "starting" => "reel is starting it",
        "start_failed" => "reel could not start it",
        "started" => "reel has started it",
        "stopping" => "reel is stopping it",
        "stopped" => "reel has stopped it",
        other => other,
    };
    let is_shown = |detail: &&String| shown.is_some_and(|error| error.message.contains(detail.as_str()));
    match machine.detail.as_ref().filter(|detail| !is_shown(detail)) {
        Some(detail) => format!("{words} ({detail})"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: &str = r#"{"name":"studio","kind":"openai","services":["image"],"model":null,"billing":"paid","max_concurrent":3,"running":0,"address":"http://studio.test/v1"}"#;

    fn provider(error: Option<(ErrorCode, Option<u16>)>, wait_reason: Option<WaitReason>) -> ProviderInfo {
        let error = error.map(|(code, provider_status)| TaskError {
            code: code.name().to_owned(),
            message: "it says no".to_owned(),
            hint: Some("ask again".to_owned()),
            retryable: false,
            provider_status,
        });
        let condition = Some(ProviderCondition { at: Timestamp::now(), error });
        ProviderInfo { condition, wait_reason, ..serde_json::from_str(PROVIDER).unwrap() }
    }

    #[test]
    fn a_state_says_what_is_wrong_and_ready_only_if_the_provider_has_answered() {
        let unreachable = Some(WaitReason::ProviderUnreachable);
        for (error, wait_reason, expected) in [
            (None, None, "ready"),
            (None, unreachable, "cannot be reached"),
            (Some((ErrorCode::ProviderUnavailable, Some(503))), Some(WaitReason::ProviderLoading), "loading"),
            (None, Some(WaitReason::Provider), "busy"),
            (Some((ErrorCode::KeyMissing, None)), None, "no key"),
            (Some((ErrorCode::KeyMissing, None)), unreachable, "no key"),
            (Some((ErrorCode::ProviderAuth, Some(401))), Some(WaitReason::Provider), "key refused"),
            (Some((ErrorCode::ProviderUnavailable, None)), Some(WaitReason::Provider), "cannot be reached"),
            (Some((ErrorCode::ProviderUnavailable, Some(503))), None, "failed (status 503)"),
            (Some((ErrorCode::QuotaExceeded, Some(429))), None, "quota used up"),
            (Some((ErrorCode::NoProvider, None)), None, "not installed"),
        ] {
            let words = standing(&provider(error, wait_reason), Timestamp::now());
            assert_eq!(words, expected, "{error:?} {wait_reason:?}");
        }
        let mut failed = provider(Some((ErrorCode::ProviderUnavailable, None)), unreachable);
        for (detail, expected) in [("it says no", ""), ("exit code 5", " (exit code 5)")] {
            let (state, detail) = ("start_failed".to_owned(), Some(detail.to_owned()));
            failed.machine = Some(MachineInfo { state, since: Timestamp::now(), detail });
            let words = standing(&failed, Timestamp::now());
            assert_eq!(words, format!("cannot be reached; reel could not start it{expected}"));
        }
        let mut unknown = provider(None, None);
        unknown.condition = None;
        assert_eq!(standing(&unknown, Timestamp::now()), UNTRIED);
        unknown.address = None;
        assert_eq!(standing(&unknown, Timestamp::now()), "ready");
        let refused = provider(Some((ErrorCode::ProviderAuth, Some(401))), None);
        assert_eq!(advice(&refused), ["studio: it says no", "  hint: ask again"]);
    }
}
