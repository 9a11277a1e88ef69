//! Checks the params against the limits of the protocol: lengths, ranges and counts. The rooms make further checks. Pure.

use reel_protocol::{
    ErrorCode, JsonText, MAX_ID, RpcError, Seconds, TaskSpec, TaskState,
    limits::{BATCH_TASKS, LINE_BYTES, LIST_ROWS, NAME_BYTES, NAMED_TASKS, READ_BYTES, WAIT_IDS},
    methods::{
        ArtifactReadParams, ServiceCallParams, SubmitBatchParams, SubscribeParams, TaskListParams,
        TaskWaitParams, Topic,
    },
    printable,
};

/// The highest priority. The lowest is its negative.
const MAX_PRIORITY: i8 = 100;
/// The most attempts of one task. A provider that fails more often will not recover by further requests.
const MAX_ATTEMPTS: u32 = 100;
/// The longest drain, in seconds: a day, which is also the largest `http.total_s`.
const MAX_DRAIN_S: u64 = 86_400;

/// The result of a check.
pub(super) type Checked = Result<(), RpcError>;

fn invalid(message: impl Into<String>, hint: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::InvalidParams, message).hint(hint)
}

/// Checks a name that is shown and compared. It must not be empty or longer than [`NAME_BYTES`].
pub(super) fn name(field: &str, value: &str) -> Checked {
    if value.is_empty() {
        return Err(invalid(format!("`{field}` is empty"), "leave it out, or fill it in"));
    }
    if value.len() > NAME_BYTES {
        let message = format!("`{field}` has {} bytes, at most {NAME_BYTES} are allowed", value.len());
        return Err(invalid(message, "shorten it"));
    }
    Ok(())
}

/// Checks a client's name. Logs and terminals show it, so it must not contain characters that break a line, change the text direction or are
/// invisible.
pub(super) fn client(value: &str) -> Checked {
    name("client", value)?;
    if value.contains(['\n', '\t']) || printable(value) != value {
        return Err(invalid(
            "`client` holds control or invisible characters",
            "use a name that can be shown on one line",
        ));
    }
    Ok(())
}

fn optional_name(field: &str, value: Option<&str>) -> Checked {
    value.map_or(Ok(()), |value| name(field, value))
}

/// Checks the id of a task, batch or subscription. Larger ids are not exact in every language, and the journal cannot store them.
pub(super) fn id(field: &str, value: u64) -> Checked {
    if value > MAX_ID {
        return Err(invalid(format!("`{field}` must be below 2^53"), "use a number that an answer gave"));
    }
    Ok(())
}

fn count(field: &str, count: usize, most: usize) -> Checked {
    if count > most {
        let message = format!("`{field}` names {count}, at most {most} are allowed");
        return Err(invalid(message, "ask for them in several requests"));
    }
    Ok(())
}

fn object(field: &str, value: &JsonText) -> Checked {
    if value.is_object() {
        return Ok(());
    }
    Err(invalid(format!("`{field}` must be an object"), r#"such as {"key": "value"}, or leave it out"#))
}

/// Checks the priority of a task.
pub(super) fn priority(value: i8) -> Checked {
    if value.unsigned_abs() > MAX_PRIORITY.unsigned_abs() {
        let message = format!("`priority` is {value}, it goes from -{MAX_PRIORITY} to {MAX_PRIORITY}");
        return Err(invalid(message, "0 is the default, higher goes first"));
    }
    Ok(())
}

/// Checks the params of `task.submit`.
pub(super) fn spec(spec: &TaskSpec) -> Checked {
    name("kind", &spec.kind)?;
    object("params", &spec.params)?;
    optional_name("request_id", spec.request_id.as_deref())?;
    optional_name("name", spec.name.as_deref())?;
    optional_name("provider", spec.provider.as_deref())?;
    priority(spec.priority)?;
    count("after", spec.after.len(), NAMED_TASKS)?;
    spec.after.iter().try_for_each(|task| id("after", task.0))?;
    if let Some(attempts) = spec.max_attempts
        && !(1..=MAX_ATTEMPTS).contains(&attempts)
    {
        let message = format!("`max_attempts` is {attempts}, it goes from 1 to {MAX_ATTEMPTS}");
        return Err(invalid(message, "leave it out for the configured number"));
    }
    spec.metadata.as_ref().map_or(Ok(()), |metadata| object("metadata", metadata))
}

/// Checks the params of `task.submit_batch`. An error of an entry names its index.
pub(super) fn batch(params: &SubmitBatchParams) -> Checked {
    optional_name("request_id", params.request_id.as_deref())?;
    optional_name("name", params.name.as_deref())?;
    params.batch.map_or(Ok(()), |batch| id("batch", batch.0))?;
    if params.tasks.is_empty() {
        return Err(invalid("`tasks` is empty", "name at least one task"));
    }
    count("tasks", params.tasks.len(), BATCH_TASKS)
        .map_err(|error| error.hint("send the rest with the `batch` that this one answers"))?;
    for (index, entry) in params.tasks.iter().enumerate() {
        if entry.request_id.is_some() {
            let hint = "give the whole batch one `request_id`";
            return Err(at_entry(index, invalid("`request_id` is not for the entries of a batch", hint)));
        }
        spec(entry).and_then(|()| entry_size(entry)).map_err(|error| at_entry(index, error))?;
    }
    Ok(())
}

/// Checks that an entry of a batch is not larger than a `task.submit` may be, so that every task can be shown.
fn entry_size(entry: &TaskSpec) -> Checked {
    let metadata = entry.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len());
    let bytes = entry.params.as_str().len() + metadata;
    if bytes > LINE_BYTES {
        let message = format!("`params` and `metadata` have {bytes} bytes, at most {LINE_BYTES} are allowed");
        return Err(RpcError::new(ErrorCode::RequestTooLarge, message)
            .hint("keep large data in a file, and name the file in `metadata`"));
    }
    Ok(())
}

/// Returns the same error with the index of its entry in the message.
pub(super) fn at_entry(index: usize, mut error: RpcError) -> RpcError {
    error.message = format!("tasks[{index}]: {}", error.message);
    error
}

/// Checks the params of `task.list`, except for the cursor.
pub(super) fn list(params: &TaskListParams) -> Checked {
    if params.state == Some(TaskState::Unknown) {
        let names = TaskState::ALL.map(TaskState::name).join(", ");
        return Err(invalid("`state` is no state", format!("the states are {names}")));
    }
    params.batch.map_or(Ok(()), |batch| id("batch", batch.0))?;
    params.parent.map_or(Ok(()), |parent| id("parent", parent.0))?;
    if params.parent.is_some() && params.steps == Some(false) {
        let message = "`parent` asks for the steps of a task, and `steps` leaves them out";
        return Err(invalid(message, "leave out one of the two"));
    }
    optional_name("name", params.name.as_deref())?;
    optional_name("client", params.client.as_deref())?;
    if let Some(limit) = params.limit
        && !(1..=LIST_ROWS).contains(&limit)
    {
        let message = format!("`limit` is {limit}, it goes from 1 to {LIST_ROWS}");
        return Err(invalid(message, "ask for the next page with `cursor`"));
    }
    Ok(())
}

/// Checks the params of `task.wait`.
pub(super) fn wait(params: &TaskWaitParams) -> Checked {
    match (params.ids.is_empty(), params.batch) {
        (true, None) => {
            return Err(invalid("`ids` or `batch` is missing", "name the tasks, or their batch"));
        }
        (false, Some(_)) => {
            return Err(invalid("`ids` and `batch` are both given, one is needed", "leave one of them out"));
        }
        (_, Some(batch)) => id("batch", batch.0)?,
        (_, None) => {}
    }
    count("ids", params.ids.len(), WAIT_IDS)?;
    params.ids.iter().try_for_each(|task| id("ids", task.0))
}

/// Checks the params of `service.call`.
pub(super) fn service_call(params: &ServiceCallParams) -> Checked {
    name("service", &params.service)?;
    name("method", &params.method)
}

/// Checks the params of `artifact.read`.
pub(super) fn read(params: &ArtifactReadParams) -> Checked {
    if params.length > READ_BYTES {
        let message = format!("`length` is {}, at most {READ_BYTES} bytes are read at once", params.length);
        return Err(invalid(message, "read on from `offset`, or open the file that artifact.path names"));
    }
    Ok(())
}

/// Checks the params of `events.subscribe`.
pub(super) fn subscribe(params: &SubscribeParams) -> Checked {
    let topics = "the topics are task, memory, cache, provider, daemon";
    if params.topics.is_empty() {
        return Err(invalid("`topics` is empty", topics));
    }
    if params.topics.contains(&Topic::Unknown) {
        return Err(invalid("`topics` names a topic that is not served", topics));
    }
    params.batch.map_or(Ok(()), |batch| id("batch", batch.0))?;
    let ids = params.task_ids.as_deref().unwrap_or_default();
    count("task_ids", ids.len(), NAMED_TASKS)
        .map_err(|error| error.hint("submit them as one batch and name the `batch`"))?;
    ids.iter().try_for_each(|task| id("task_ids", task.0))
}

/// Checks the drain time of `daemon.shutdown`.
pub(super) fn drain(drain: Option<Seconds>) -> Checked {
    if drain.is_some_and(|drain| drain.0.as_secs() > MAX_DRAIN_S) {
        let message = format!("`drain_s` is more than a day ({MAX_DRAIN_S} seconds)");
        return Err(invalid(message, "leave it out for the usual time"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses params from JSON and checks them. Returns the message of the refusal.
    fn refusal<P: serde::de::DeserializeOwned>(check: impl Fn(&P) -> Checked, json: &str) -> Option<String> {
        check(&serde_json::from_str(json).unwrap()).err().map(|error| {
            assert_eq!(error.data.code, "invalid_params");
            error.message
        })
    }

    #[test]
    fn specs_are_held_to_the_limits_of_the_wire() {
        let long = "x".repeat(NAME_BYTES + 1);
        for (json, part) in [
            (r#"{"kind":""}"#.to_owned(), "`kind` is empty"),
            (format!(r#"{{"kind":"{long}"}}"#), "`kind` has 257 bytes"),
            (r#"{"kind":"a.b","params":[]}"#.into(), "`params` must be an object"),
            (r#"{"kind":"a.b","metadata":1}"#.into(), "`metadata` must be an object"),
            (format!(r#"{{"kind":"a.b","name":"{long}"}}"#), "`name` has 257"),
            (format!(r#"{{"kind":"a.b","request_id":"{long}"}}"#), "`request_id` has 257"),
            (r#"{"kind":"a.b","request_id":""}"#.into(), "`request_id` is empty"),
            (format!(r#"{{"kind":"a.b","provider":"{long}"}}"#), "`provider` has 257"),
            (r#"{"kind":"a.b","priority":101}"#.into(), "`priority` is 101"),
            (r#"{"kind":"a.b","priority":-128}"#.into(), "`priority` is -128"),
            (r#"{"kind":"a.b","max_attempts":0}"#.into(), "`max_attempts` is 0"),
            (r#"{"kind":"a.b","max_attempts":101}"#.into(), "`max_attempts` is 101"),
            (r#"{"kind":"a.b","after":[9007199254740992]}"#.into(), "below 2^53"),
            (format!(r#"{{"kind":"a.b","after":{:?}}}"#, vec![1; 1001]), "`after` names 1001"),
        ] {
            let found = refusal(spec, &json);
            assert!(found.as_deref().is_some_and(|found| found.contains(part)), "{json}: {found:?}");
        }
        let good =
            r#"{"kind":"a.b","priority":-100,"max_attempts":100,"after":[1],"metadata":{},"name":"n"}"#;
        assert_eq!(refusal(spec, good), None);
    }

    #[test]
    fn a_bad_entry_of_a_batch_is_named_by_its_index() {
        assert_eq!(
            refusal(batch, r#"{"tasks":[{"kind":"a.b"},{"kind":"a.b","priority":120}]}"#).unwrap(),
            "tasks[1]: `priority` is 120, it goes from -100 to 100"
        );
        assert_eq!(
            refusal(batch, r#"{"tasks":[{"kind":"a.b","request_id":"r"}]}"#).unwrap(),
            "tasks[0]: `request_id` is not for the entries of a batch"
        );
        assert_eq!(refusal(batch, r#"{"tasks":[]}"#).unwrap(), "`tasks` is empty");
        let many = vec![TaskSpec { kind: "a.b".into(), ..TaskSpec::default() }; BATCH_TASKS + 1];
        assert!(batch(&SubmitBatchParams { tasks: many, ..SubmitBatchParams::default() }).is_err());
        assert_eq!(refusal(batch, r#"{"request_id":"r","tasks":[{"kind":"a.b"}]}"#), None);
        for (bytes, is_refused) in [(LINE_BYTES - 20, false), (LINE_BYTES, true)] {
            let metadata = JsonText::from_value(&serde_json::json!({ "a": "x".repeat(bytes) })).ok();
            let tasks = vec![TaskSpec { kind: "a.b".into(), metadata, ..TaskSpec::default() }];
            let refused = batch(&SubmitBatchParams { tasks, ..SubmitBatchParams::default() }).err();
            assert_eq!(
                refused.map(|error| error.data.code).is_some_and(|code| code == "request_too_large"),
                is_refused
            );
        }
    }

    #[test]
    fn waits_lists_reads_and_subscriptions_are_held_to_their_limits() {
        for json in ["{}", r#"{"ids":[1],"batch":2}"#, r#"{"batch":9007199254740992}"#] {
            assert!(refusal(wait, json).is_some(), "{json}");
        }
        assert!(refusal(wait, &format!(r#"{{"ids":{:?}}}"#, vec![1; 1001])).is_some());
        assert!(refusal(wait, r#"{"ids":[1]}"#).or(refusal(wait, r#"{"batch":1}"#)).is_none());
        for json in [r#"{"limit":0}"#, r#"{"limit":1001}"#, r#"{"state":"runing"}"#, r#"{"name":""}"#] {
            assert!(refusal(list, json).is_some(), "{json}");
        }
        assert_eq!(refusal(list, r#"{"limit":1000,"state":"running"}"#), None);
        let digest = "0".repeat(64);
        assert!(refusal(read, &format!(r#"{{"digest":"{digest}","length":4194305}}"#)).is_some());
        assert_eq!(refusal(read, &format!(r#"{{"digest":"{digest}","length":4194304}}"#)), None);
        for json in [r#"{"topics":[]}"#, r#"{"topics":["task","weather"]}"#] {
            assert!(refusal(subscribe, json).is_some(), "{json}");
        }
        assert_eq!(refusal(subscribe, r#"{"topics":["task"],"task_ids":[1],"batch":1}"#), None);
        for bad in
            ["", "a\nb", "a\tb", "a\u{9b}b", "a\u{202e}b", "a\u{2028}b", "edit\u{200b}or", "\u{feff}editor"]
        {
            assert!(client(bad).is_err(), "{bad:?}");
        }
        assert!(client("editor").is_ok() && client("संपादक").is_ok());
        assert!(drain(Some(Seconds(std::time::Duration::from_secs(86_401)))).is_err());
    }
}
