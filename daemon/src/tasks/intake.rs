//! One request for tasks on its way in, and what makes it the same request when it comes again. Pure.

use reel_protocol::{BatchId, TaskSpec};

use super::{Caller, PlanSpec};

/// A request.
pub(super) struct Intake {
    pub caller: Caller,
    pub request_id: Option<String>,
    pub batch: Option<BatchId>,
    pub is_batch: bool,
    pub name: Option<String>,
    pub specs: Vec<TaskSpec>,
}

impl Intake {
    /// Of all that it asks for; the same for each request that has no id to come again with.
    pub fn fingerprint(&self) -> [u8; 32] {
        if self.request_id.is_none() {
            return [0; 32];
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[u8::from(self.is_batch)]);
        hasher.update(&self.batch.map_or(0, |batch| batch.0).to_le_bytes());
        for spec in &self.specs {
            // It cannot fail: specs hold no maps with keys other than text.
            hasher.update(&serde_json::to_vec(spec).unwrap_or_default());
            hasher.update(b"\n");
        }
        *hasher.finalize().as_bytes()
    }
}

/// How the services are asked about a spec.
pub(super) fn plan_spec(spec: &TaskSpec) -> PlanSpec {
    PlanSpec {
        kind: spec.kind.clone(),
        params: spec.params.clone(),
        provider: spec.provider.clone(),
        planned: None,
    }
}
