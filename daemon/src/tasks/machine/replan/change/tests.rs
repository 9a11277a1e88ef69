//! Tables of what a new plan changes.

use std::sync::Arc;

use reel_protocol::{CacheMode, ErrorCode, HoldReason, JsonText, TaskId, Timestamp};

use super::*;
use crate::{
    domain::{Inputs, Refused, RemoteJob},
    store::NewTask,
    tasks::{
        live::live_task,
        machine::{Moment, Now},
        ready::Lane,
    },
};

fn plan(providers: &[&str]) -> Plan {
    let candidate = |name: &&str| Candidate {
        provider: Arc::from(*name),
        model: None,
        key: *blake3::hash(name.as_bytes()).as_bytes(),
        is_paid: true,
        price: None,
        is_alternative: true,
    };
    Plan { candidates: providers.iter().map(candidate).collect(), ..Plan::default() }
}

fn refusal(code: ErrorCode) -> PlanRefusal {
    PlanRefusal { index: 0, code, message: "refused".to_owned(), hint: None }
}

/// Changes a task of a table.
type Alter = fn(&mut LiveTask);

/// Returns a queued task that is planned for the provider `a`, with the changes of `alter`.
fn task(alter: impl FnOnce(&mut LiveTask)) -> LiveTask {
    let row = NewTask {
        id: TaskId(7),
        kind: "image.generate".to_owned(),
        name: None,
        state: TaskState::Queued,
        priority: 0,
        after: Vec::new(),
        is_incomplete: false,
        wanted_provider: None,
        provider: None,
        model: None,
        params: JsonText::default(),
        metadata: None,
        cache: CacheMode::Use,
        attempts_left: 1,
        deadline: None,
        inputs: Inputs::default(),
        outputs: Vec::new(),
        notes: Vec::new(),
        step: None,
    };
    let now = Now { moment: Moment::default(), wall: Timestamp::from_unix_ms(0) };
    let mut task = live_task(&row, plan(&["a"]), Arc::from("client"), None, Lane::Connection(1), now);
    alter(&mut task);
    task
}

fn refused(provider: &str) -> Refused {
    Refused { provider: provider.to_owned(), reason: String::new() }
}

/// Describes a change in a word, and in the providers of the plan that it sets.
fn described(change: Change) -> String {
    match change {
        Change::Keep => "keep".to_owned(),
        Change::Hold(error) => format!("hold: {}", error.code),
        Change::Fail(error) => format!("fail: {}", error.code),
        Change::Set(plan) => {
            let names: Vec<_> = plan.candidates.iter().map(|candidate| &*candidate.provider).collect();
            format!("set {} {}", names.join(","), plan.missing.as_deref().unwrap_or_default())
        }
    }
}

fn is_waiting(task: &mut LiveTask) {
    task.state = TaskState::Waiting;
}

fn is_running(task: &mut LiveTask) {
    task.state = TaskState::Running;
}

fn is_held(task: &mut LiveTask) {
    (task.state, task.hold_reason) = (TaskState::Held, Some(HoldReason::User));
}

/// The task may have paid the provider `a`.
fn is_unknown(task: &mut LiveTask) {
    (task.state, task.hold_reason) = (TaskState::Held, Some(HoldReason::OutcomeUnknown));
    task.last_provider = Some(Arc::from("a"));
}

/// The provider `a` has made the results of the task.
fn has_results(task: &mut LiveTask) {
    task.job = Some(Arc::new(RemoteJob::results("a", ["http://a/1"], Timestamp::from_unix_ms(0))));
}

#[test]
fn a_new_plan_is_set_unless_the_task_may_have_paid_another_provider() {
    let table: [(&str, Alter, &[&str], &str); 12] = [
        ("queued", |_| (), &["b", "c"], "set b,c "),
        ("waiting", is_waiting, &["b"], "set b "),
        ("running", is_running, &["b"], "keep"),
        ("the result of an attempt is being committed", |task| task.run = Some(1), &["b"], "keep"),
        ("held on request", is_held, &["b"], "set b "),
        ("the paid provider is planned", is_unknown, &["a"], "set a "),
        ("the paid provider is not configured", is_unknown, &["b"], "keep"),
        ("made by the planned provider", has_results, &["a"], "set a "),
        ("made by another provider", has_results, &["b"], "hold: answer_lost"),
        (
            "made by another provider, and a person allowed to pay again",
            |task| {
                has_results(task);
                task.job = task.job.take().map(|job| Arc::new(job.or_ask_again()));
            },
            &["b"],
            "set b ",
        ),
        ("b refused it", |task| task.refused_by = vec![refused("b")], &["b", "c"], "set c "),
        ("all refused it", |task| task.refused_by = vec![refused("b")], &["b"], "set b "),
    ];
    for (name, alter, providers, expected) in table {
        assert_eq!(described(change(&task(alter), Ok(plan(providers)), 3)), expected, "{name}");
    }
}

#[test]
fn a_refused_plan_fails_the_task_unless_only_its_provider_is_missing() {
    use ErrorCode::{InvalidParams, NoProvider, UnknownProvider};
    let table: [(&str, Alter, ErrorCode, &str); 7] = [
        ("its provider is missing", |_| (), NoProvider, "set  a"),
        (
            "the requested provider is missing",
            |task| task.requested_provider = Some(Arc::from("r")),
            UnknownProvider,
            "set  r",
        ),
        ("no provider is known", |task| task.plan = Plan::default(), NoProvider, "fail: no_provider"),
        ("refused for another reason", |_| (), InvalidParams, "fail: invalid_params"),
        ("held", is_held, InvalidParams, "keep"),
        ("held and its provider is missing", is_held, NoProvider, "keep"),
        ("running", is_running, InvalidParams, "keep"),
    ];
    for (name, alter, code, expected) in table {
        assert_eq!(described(change(&task(alter), Err(refusal(code)), 3)), expected, "{name}");
    }
}
