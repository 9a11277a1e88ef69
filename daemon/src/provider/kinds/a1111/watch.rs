//! Decides whether what the server is doing is our own run. Pure.
//!
//! A server has one lock and one progress for all of its users. `/internal/progress` knows a run by its id, and most servers have it. Without it,
//! our run is recognised only if the server was idle before our request, and as long as it stays with the same run.

use serde_json::Value;

/// What the server is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sight {
    /// It carries out our run. The field is the fraction that is done.
    Ours(f64),
    /// Our run waits for another one.
    Queued,
    /// It does nothing of ours, or that cannot be told.
    Unknown,
}

/// What has been seen of the server since our request.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Whether the server was idle right before our request.
    was_idle: bool,
    /// When the run began that is taken for ours, by the server's clock.
    began: Option<String>,
    /// Whether somebody interrupted our run.
    pub is_interrupted: bool,
}

impl Watch {
    /// Begins to watch. `state` is the server's state right before our request; None if it did not say it.
    pub(super) fn new(state: Option<&Value>) -> Self {
        Self { was_idle: state.is_some_and(is_idle), began: None, is_interrupted: false }
    }

    /// Ends the search for our run: one that was not recognised yet is not taken for ours any more, as our request may never have left.
    pub(super) const fn settle(&mut self) {
        self.was_idle &= self.began.is_some();
    }

    /// Reads the answer of `/internal/progress` for our id. None if the server does not know the id.
    pub(super) fn by_id(answer: &Value) -> Option<Sight> {
        let is = |name: &str| answer.get(name).and_then(Value::as_bool) == Some(true);
        match () {
            () if is("active") => Some(Sight::Ours(fraction(answer))),
            () if is("queued") => Some(Sight::Queued),
            () if is("completed") => Some(Sight::Unknown),
            () => None,
        }
    }

    /// Reads the answer of `/sdapi/v1/progress`. `known` is what `/internal/progress` has said.
    pub(super) fn by_state(&mut self, answer: &Value, known: Option<Sight>) -> Sight {
        let timestamp = timestamp(answer);
        let is_ours = match known {
            Some(Sight::Ours(_)) => true,
            Some(_) => false,
            None => {
                let is_same = self.began.is_none() || self.began == timestamp;
                self.was_idle && !is_idle(answer) && timestamp.is_some() && is_same
            }
        };
        if !is_ours {
            return known.unwrap_or(Sight::Unknown);
        }
        if !is_idle(answer) {
            self.is_interrupted |= is_interrupted(answer);
            self.began = timestamp;
        }
        known.unwrap_or_else(|| Sight::Ours(fraction(answer)))
    }

    /// Whether our run was interrupted, by the server's state after it. `began` is when the run began, as its answer says it.
    pub(super) fn was_interrupted(&self, answer: Option<&Value>, began: Option<&str>) -> bool {
        let began = began.or(self.began.as_deref());
        let after = answer.filter(|answer| began.is_some() && timestamp(answer).as_deref() == began);
        self.is_interrupted || after.is_some_and(is_interrupted)
    }
}

fn state<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    answer.get("state")?.get(name)
}

fn is_idle(answer: &Value) -> bool {
    let job = state(answer, "job").and_then(Value::as_str).unwrap_or_default();
    job.is_empty() && state(answer, "job_count").and_then(Value::as_i64) == Some(0)
}

fn is_interrupted(answer: &Value) -> bool {
    ["interrupted", "skipped"]
        .into_iter()
        .any(|name| state(answer, name).and_then(Value::as_bool) == Some(true))
}

/// When the run began that the server carries out, or that it carried out last. The server keeps the text until the next run.
fn timestamp(answer: &Value) -> Option<String> {
    let text = state(answer, "job_timestamp")?.as_str()?;
    (!text.is_empty() && text != "0").then(|| text.to_owned())
}

fn fraction(answer: &Value) -> f64 {
    answer.get("progress").and_then(Value::as_f64).unwrap_or_default().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn progress(timestamp: &str, job: &str, interrupted: bool) -> Value {
        let count = i32::from(!job.is_empty());
        json!({
            "progress": 0.5, "eta_relative": 3.0,
            "state": {
                "skipped": false, "interrupted": interrupted, "job": job, "job_count": count,
                "job_timestamp": timestamp, "job_no": 0, "sampling_step": 10, "sampling_steps": 20,
            },
        })
    }

    #[test]
    fn without_ids_only_a_run_on_an_idle_server_is_ours() {
        let idle = progress("1", "", false);
        let mut watch = Watch::new(Some(&idle));
        assert_eq!(watch.by_state(&idle, None), Sight::Unknown);
        assert_eq!(watch.by_state(&progress("2", "scripts_txt2img", false), None), Sight::Ours(0.5));
        assert_eq!(watch.by_state(&progress("3", "scripts_txt2img", true), None), Sight::Unknown);
        assert!(!watch.is_interrupted, "the run of somebody else was interrupted");
        let mut busy = Watch::new(Some(&progress("1", "scripts_img2img", false)));
        assert_eq!(busy.by_state(&progress("2", "scripts_txt2img", false), None), Sight::Unknown);
        let mut settled = Watch::new(Some(&idle));
        settled.settle();
        assert_eq!(settled.by_state(&progress("2", "x", false), None), Sight::Unknown);
        assert_eq!(Watch::new(None).by_state(&progress("2", "x", false), None), Sight::Unknown);
    }

    #[test]
    fn an_id_decides_where_the_server_knows_it() {
        for (answer, sight) in [
            (
                json!({ "active": true, "queued": false, "completed": false, "progress": 0.25 }),
                Some(Sight::Ours(0.25)),
            ),
            (json!({ "active": false, "queued": true, "completed": false }), Some(Sight::Queued)),
            (json!({ "active": false, "queued": false, "completed": true }), Some(Sight::Unknown)),
            (json!({ "active": false, "queued": false, "completed": false }), None),
        ] {
            assert_eq!(Watch::by_id(&answer), sight, "{answer}");
        }
        let mut watch = Watch::new(None);
        assert_eq!(watch.by_state(&progress("2", "x", true), Some(Sight::Queued)), Sight::Queued);
        assert!(!watch.is_interrupted);
        assert_eq!(watch.by_state(&progress("2", "x", true), Some(Sight::Ours(0.9))), Sight::Ours(0.9));
        assert!(watch.is_interrupted);
    }

    #[test]
    fn a_run_is_known_to_be_interrupted_after_its_end() {
        let watch = Watch::new(None);
        let after = progress("2", "", true);
        assert!(watch.was_interrupted(Some(&after), Some("2")));
        assert!(!watch.was_interrupted(Some(&after), Some("1")), "another run was");
        assert!(!watch.was_interrupted(Some(&after), None));
        assert!(!watch.was_interrupted(None, Some("2")));
    }
}
