//! Remembers whether each provider works, as its last call or check has shown. It also words the errors of checks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reel_protocol::{
    ErrorCode, TaskError, Timestamp,
    methods::{ProviderCheckResult, ProviderCondition},
};

use tokio::time::timeout;

use super::{GenerateError, Generated, Instance, key::load_key};
use crate::domain::{Class, Failure};

/// Longest time in which the key of a provider is read for a list.
const KEY_READ: Duration = Duration::from_secs(1);
/// Words of the parts of hints that say what happens to a task.
const OF_A_TASK: [&str; 4] = ["reel retry", "it is tried again", "the task", "it is waited for"];

/// The last known condition of each provider, by its name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Conditions(Arc<Mutex<BTreeMap<String, ProviderCondition>>>);

impl Conditions {
    fn of(&self, name: &str) -> Option<ProviderCondition> {
        self.table().get(name).cloned()
    }

    /// Returns the condition of an instance, and finds out anew what shows without a request over the network: whether its key can be read, or its program
    /// is installed.
    pub async fn now(&self, instance: &Instance) -> Option<ProviderCondition> {
        let name = &instance.profile.name;
        let at = Timestamp::now();
        if instance.address.is_none() {
            let checked = Arc::clone(&instance.provider).check().await;
            return Some(ProviderCondition { at, error: checked.err() });
        }
        if let Some(source) = &instance.api_key {
            // A directory of the network may hang, and a list must not.
            let loading = timeout(KEY_READ, load_key(name, source)).await;
            if let Ok(Err(Failure { error, .. })) = loading {
                return Some(ProviderCondition { at, error: Some(error) });
            }
        }
        // The key can be read now.
        let is_old = |condition: &ProviderCondition| {
            condition.error.as_ref().is_some_and(|error| error.code == ErrorCode::KeyMissing.name())
        };
        self.of(name).filter(|condition| !is_old(condition))
    }

    /// Records what the end of a call says about the provider.
    pub fn call_ended(&self, name: &str, ended: &Result<Generated, GenerateError>) {
        let mut table = self.table();
        let former = table.get(name).and_then(|condition| condition.error.as_ref());
        match after_call(former, ended) {
            News::None => {}
            News::Works => put(&mut table, name, None),
            News::Fails(error) => put(&mut table, name, Some(error)),
        }
    }

    /// Records the end of a check.
    pub fn check_ended(&self, name: &str, error: Option<&TaskError>) {
        put(&mut self.table(), name, error.cloned());
    }

    /// Forgets the condition of a provider, because another service is configured under its name or because its key has changed.
    pub fn forget(&self, name: &str) {
        self.table().remove(name);
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, ProviderCondition>> {
        // Nothing that runs under the lock can leave the table half changed, so a poisoned lock may be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(table: &mut BTreeMap<String, ProviderCondition>, name: &str, error: Option<TaskError>) {
    table.insert(name.to_owned(), ProviderCondition { at: Timestamp::now(), error });
}

/// What the end of a call says about its provider.
#[derive(Debug, PartialEq, Eq)]
enum News {
    None,
    Works,
    Fails(TaskError),
}

/// Decides what the end of a call says about the provider. `former` is what was wrong with it before.
fn after_call(former: Option<&TaskError>, ended: &Result<Generated, GenerateError>) -> News {
    let Failure { class, error, .. } = match ended {
        Ok(_) | Err(GenerateError::Flawed(..)) => return News::Works,
        Err(GenerateError::Stopped) => return News::None,
        Err(GenerateError::Failed(failure)) => failure,
    };
    match class {
        Class::Unreached
        | Class::Loading
        | Class::Transient(_)
        | Class::Auth
        | Class::Quota
        | Class::QuotaWindow(_)
        | Class::Unknown => News::Fails(error.clone()),
        // The service has answered, so it can be reached. Whether it accepts the key is as unknown as before.
        Class::RateLimited(_) | Class::Invalid | Class::Moderated => match former {
            Some(former) if former.code != ErrorCode::ProviderUnavailable.name() => News::None,
            _ => News::Works,
        },
        Class::Ambiguous | Class::Gone => News::None,
    }
}

/// Returns the error of a check that is not the failure of an attempt.
pub fn fault(code: ErrorCode, message: impl Into<String>) -> TaskError {
    TaskError {
        code: code.name().to_owned(),
        message: message.into(),
        hint: None,
        retryable: false,
        provider_status: None,
    }
}

/// Returns the result of a check of the provider `name`.
pub fn check_result(name: &str, checked: &Result<String, TaskError>) -> ProviderCheckResult {
    match checked {
        Ok(detail) => ProviderCheckResult::usable(detail),
        Err(error) => ProviderCheckResult {
            is_usable: false,
            detail: words_of_check(name, error),
            code: Some(error.code.clone()),
        },
    }
}

/// Returns an error as the words of a check. The parts of its hint that concern a task are left out, as a check has none.
fn words_of_check(name: &str, error: &TaskError) -> String {
    let TaskError { message, hint, .. } = error;
    let Some(hint) = hint else { return message.clone() };
    let is_of_a_task = |part: &&str| OF_A_TASK.iter().any(|words| part.contains(words));
    let parts: Vec<_> = hint.split("; ").filter(|part| !is_of_a_task(part)).collect();
    if parts.is_empty() {
        format!("{message}; reel providers check {name} asks again")
    } else {
        format!("{message}; {}", parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_whether_its_provider_works_and_a_refusal_of_one_request_does_not() {
        let failed = |class| Err(GenerateError::Failed(Failure::new(class, "m", "h")));
        let fails = |class: Class| News::Fails(Failure::new(class, "m", "h").error);
        let unreached = Failure::new(Class::Unreached, "m", "h").error;
        let refused_key = Failure::new(Class::Auth, "m", "h").error;
        for (former, ended, expected) in [
            (None, Ok(Vec::new().into()), News::Works),
            (Some(&refused_key), Ok(Vec::new().into()), News::Works),
            (None, Err(GenerateError::Stopped), News::None),
            (None, failed(Class::Auth), fails(Class::Auth)),
            (Some(&refused_key), failed(Class::Unreached), fails(Class::Unreached)),
            (None, failed(Class::Transient(None)), fails(Class::Transient(None))),
            (None, failed(Class::Invalid), News::Works),
            (Some(&unreached), failed(Class::Invalid), News::Works),
            (Some(&refused_key), failed(Class::Invalid), News::None),
            (Some(&unreached), failed(Class::RateLimited(None)), News::Works),
            (Some(&unreached), failed(Class::Ambiguous), News::None),
        ] {
            assert_eq!(after_call(former, &ended), expected, "{former:?} {ended:?}");
        }
    }

    #[test]
    fn the_words_of_a_check_leave_out_what_concerns_a_task() {
        for (hint, expected) in [
            (None, "refused"),
            (Some("is it running? the task waits"), "refused; reel providers check a asks again"),
            (Some("is it running?; the task waits"), "refused; is it running?"),
        ] {
            let hint = hint.map(str::to_owned);
            let error = TaskError { hint, ..fault(ErrorCode::ProviderUnavailable, "refused") };
            assert_eq!(words_of_check("a", &error), expected);
        }
    }
}
