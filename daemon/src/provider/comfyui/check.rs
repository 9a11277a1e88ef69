//! `provider.check` and `provider.models`: whether the server runs, and whether it has the nodes and the models of the workflows.

use std::{collections::BTreeMap, time::Duration};

use reel_protocol::{ErrorCode, TaskError};
use serde_json::Value;

use super::{
    ComfyProvider, ComfySettings,
    answers::choices,
    refusal::allowed_words,
    workflow::{Workflow, broken_links, inputs, is_value, title},
};
use crate::{
    domain::{Class, Failure},
    memory::Holder,
    provider::{condition::fault, remote::shown},
};

/// Longest duration of a check. A person waits for it.
const CHECK: Duration = Duration::from_secs(30);
/// Most faults that are named.
const SHOWN_FAULTS: usize = 4;

impl ComfyProvider {
    pub(super) async fn check_server(&self) -> Result<String, TaskError> {
        let late = || {
            let message = format!("{} did not answer within {} seconds", self.core.host(), CHECK.as_secs());
            Err(fault(ErrorCode::ProviderUnavailable, message))
        };
        tokio::time::timeout(CHECK, self.try_check()).await.unwrap_or_else(|_| late())
    }

    /// Lists the checkpoints of the server.
    pub(super) async fn list_checkpoints(&self) -> Result<Option<Vec<String>>, Failure> {
        let _share = self
            .answer_share()
            .map_err(|over| Failure::new(Class::Transient(None), over, "reel memory shows who holds what"))?;
        let listed = tokio::time::timeout(CHECK, self.checkpoints()).await;
        let listed = listed.unwrap_or_else(|_| Err("no answer".to_owned()));
        listed.map(Some).map_err(|reason| {
            let message = format!("{} lists no checkpoints: {reason}", self.core.config.name);
            Failure::new(Class::Transient(None), message, "is it running? reel providers check says more")
        })
    }

    fn answer_share(&self) -> Result<crate::memory::Reservation, String> {
        let bytes = super::server::ANSWER_BYTES as u64;
        self.core.equipment.budget.reserve(Holder::Body, bytes).map_err(|over| over.to_string())
    }

    /// Returns what is known about a usable server, or why it cannot be used and what to do about it.
    async fn try_check(&self) -> Result<String, TaskError> {
        let (name, host) = (&self.core.config.name, self.core.host());
        let failed = |message: String| fault(ErrorCode::ProviderFailed, message);
        let _share = self.answer_share().map_err(|over| fault(ErrorCode::OverMemory, over))?;
        let stats = self.get(&["system_stats"]).await.map_err(|reason| {
            let base_url = &self.core.remote.base_url;
            let message = format!(
                "{reason}; is ComfyUI running at {base_url}, and is providers.{name}.base_url right?"
            );
            fault(ErrorCode::ProviderUnavailable, message)
        })?;
        let stats = stats.json();
        let Some(system) = stats.get("system").filter(|system| system.is_object()) else {
            return Err(failed(format!(
                "{host} answers, and is no ComfyUI; providers.{name}.base_url is probably wrong"
            )));
        };
        let version =
            system.get("comfyui_version").and_then(Value::as_str).unwrap_or("of an unknown version");
        let checkpoints = self.checkpoints().await.map_err(failed)?;
        let mut faults = Vec::new();
        let mut types = BTreeMap::new();
        let serves = |service: &str| self.core.config.services.iter().any(|name| name == service);
        let of_image = if serves("image") { self.settings.image_workflows().to_vec() } else { Vec::new() };
        let of_video = self.settings.video.as_ref().filter(|_| serves("video"));
        let mut checked: Vec<&Workflow> = Vec::new();
        for workflow in of_image.into_iter().chain(of_video) {
            if checked.iter().any(|other| std::ptr::eq(*other, workflow)) {
                continue;
            }
            checked.push(workflow);
            self.faults(workflow, &mut types, &mut faults).await.map_err(failed)?;
        }
        let is_shipped = checked.iter().any(|workflow| ComfySettings::is_shipped(workflow));
        let used = if is_shipped {
            self.used(&checkpoints, &mut faults).await.map_err(failed)?
        } else {
            String::new()
        };
        faults.dedup();
        if faults.is_empty() {
            let count = checkpoints.len();
            return Ok(format!("{host} runs ComfyUI {version} with {count} checkpoints{used}"));
        }
        let more = faults.len().saturating_sub(SHOWN_FAULTS);
        faults.truncate(SHOWN_FAULTS);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let faults: Vec<_> = faults.iter().map(|fault| shown(fault, None)).collect();
        Err(failed(format!(
            "{host} runs ComfyUI {version}, and lacks something: {}{more}",
            faults.join("; ")
        )))
    }

    /// Returns the words about the checkpoint that shipped workflows use if no model is configured. Adds a fault if the server has no such checkpoint.
    async fn used(&self, checkpoints: &[String], faults: &mut Vec<String>) -> Result<String, String> {
        let name = &self.core.config.name;
        let Some(first) = checkpoints.first() else {
            faults.push(format!(
                "it has no checkpoint for the default workflow: put one into models/checkpoints, or set providers.{name}.workflow"
            ));
            return Ok(String::new());
        };
        if let Some(model) = self.core.config.model_for("image") {
            if !checkpoints.iter().any(|one| one == model) {
                let names: Vec<_> = checkpoints.iter().map(String::as_str).collect();
                faults.push(format!("it has no checkpoint {model:?}; {}", allowed_words(&names)));
            }
            return Ok(String::new());
        }
        let address = self.core.remote.base_url.as_str();
        let chosen = self.core.equipment.chosen_models.get(address).await;
        let chosen = chosen.map_err(|error| format!("which checkpoint is used cannot be read: {error}"))?;
        let chosen = chosen.unwrap_or_else(|| first.clone());
        if !checkpoints.contains(&chosen) {
            faults.push(format!("{}; {}", self.lost_checkpoint(&chosen, checkpoints), self.choose_hint()));
        }
        Ok(format!("; no model is configured, so it uses {}", shown(&chosen, None)))
    }

    /// Adds what the server lacks for a workflow: types of nodes, and models that the nodes name.
    async fn faults(
        &self,
        workflow: &Workflow,
        types: &mut BTreeMap<String, Value>,
        faults: &mut Vec<String>,
    ) -> Result<(), String> {
        for (id, node) in workflow.nodes() {
            let class = node.get("class_type").and_then(Value::as_str).unwrap_or_default();
            if !types.contains_key(class) {
                types.insert(class.to_owned(), self.node_type(class).await?);
            }
            let info = types.get(class).unwrap_or(&Value::Null);
            let named = format!("node {id} ({})", title(node));
            if info.is_null() {
                faults.push(format!("{named} is of the type {class}, which the server does not have: install the custom nodes that have it"));
                continue;
            }
            faults.extend(broken_links(workflow.nodes(), node).map(|link| format!("{named}: {link}")));
            for (input, value) in inputs(node).filter(|(_, value)| is_value(value)) {
                let (Some(given), Some(allowed)) = (value.as_str(), choices(info, input)) else { continue };
                let is_set_later = workflow.is_upload(id, input)
                    || (given.is_empty() && ComfySettings::is_shipped(workflow));
                if !is_set_later && !allowed.contains(&given) {
                    faults.push(format!("{named}: {input} is {given:?}, and {}", allowed_words(&allowed)));
                }
            }
        }
        Ok(())
    }
}
