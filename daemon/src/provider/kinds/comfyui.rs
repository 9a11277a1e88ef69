//! The kind `comfyui`: pictures and videos by workflows that a server of ComfyUI runs.

use std::sync::Arc;

use crate::{
    config::{KindConfig, KindSection, ProviderConfig, Section, Settings},
    domain::{ImageCapabilities, VideoCapabilities},
    provider::{
        Equipment, Kind, Provider,
        comfyui::{ComfyProvider, ComfySettings},
    },
};

/// The default `base_url`: the address at which ComfyUI listens by default.
const ADDRESS: &str = "http://127.0.0.1:8188";

/// Params of a picture that a workflow has a place for or not, each with the name of the place.
const IMAGE_PARAMS: [(&str, &str); 8] = [
    ("model", "model"),
    ("negative_prompt", "negative_prompt"),
    ("seed", "seed"),
    ("steps", "steps"),
    ("guidance", "guidance"),
    ("strength", "strength"),
    ("input_images", "image"),
    ("mask", "mask"),
];
/// Params of a video that a workflow has a place for or not.
const VIDEO_PARAMS: [&str; 7] = ["image", "last_image", "width", "height", "fps", "seed", "model"];
/// What a user can do so that a workflow takes a param.
const REMEDY: &str =
    "its workflow takes a param if a node has the title reel:PARAM, or reel:frames for duration_s";

/// The kind `comfyui`, whose instances use a server of ComfyUI.
#[derive(Debug)]
pub struct Comfyui;

impl KindSection for Comfyui {
    fn name(&self) -> &'static str {
        "comfyui"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[
            "base_url",
            "api_key",
            "job_timeout_s",
            "workflow",
            "patch",
            "edit_workflow",
            "edit_patch",
            "video_workflow",
            "video_patch",
        ]
    }

    fn services(&self) -> &'static [&'static str] {
        &["image", "video"]
    }

    fn is_paid(&self) -> bool {
        false
    }

    /// The server runs one job at a time.
    fn max_concurrent(&self) -> u32 {
        1
    }

    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
        let remote = section.remote(ADDRESS);
        let settings = ComfySettings::read(section);
        let (remote, settings) = (remote?, settings?);
        let wants_video = section.has("services")
            && section
                .shaped::<Vec<String>>("services", "a list of texts")?
                .iter()
                .any(|name| name == "video");
        if wants_video && settings.video.is_none() {
            section.complain(
                "services",
                "has \"video\", which needs video_workflow, a workflow that saves a video",
            );
            return None;
        }
        let makes_only_videos =
            settings.video.is_some() && settings.image.is_none() && settings.edit.is_none();
        let image = (!makes_only_videos).then(|| "image".to_owned());
        let video = settings.video.is_some().then(|| "video".to_owned());
        Some(KindConfig {
            services: Some(image.into_iter().chain(video).collect()),
            settings: Settings::new(settings),
            ..remote.into()
        })
    }
}

impl Kind for Comfyui {
    fn adapter_version(&self) -> &'static str {
        "2"
    }

    /// A param is refused if none of the workflows for pictures has a place for it. The attempt checks the workflow that the request needs.
    fn image(&self, config: &ProviderConfig) -> ImageCapabilities {
        let settings = settings(config);
        let workflows = settings.image_workflows();
        let mut ignored: Vec<_> = IMAGE_PARAMS
            .iter()
            .filter(|(_, place)| !workflows.iter().any(|workflow| workflow.takes(place)))
            .map(|(param, _)| *param)
            .collect();
        if workflows.iter().all(|workflow| workflow.own_names().next().is_none()) {
            ignored.push("extra");
        }
        ImageCapabilities { ignored, max_inputs: settings.most_inputs(), ..ImageCapabilities::default() }
    }

    fn video(&self, config: &ProviderConfig) -> VideoCapabilities {
        let Some(workflow) = settings(config).video else { return VideoCapabilities::default() };
        let mut ignored: Vec<_> = VIDEO_PARAMS.into_iter().filter(|name| !workflow.takes(name)).collect();
        if workflow.own_names().next().is_none() {
            ignored.push("extra");
        }
        let counts_frames = workflow.takes("frames") && !workflow.takes("duration_s");
        if !counts_frames && !workflow.takes("duration_s") {
            ignored.push("duration_s");
        }
        // A workflow that has its own frame rate needs none of the request.
        let duration_needs_fps = counts_frames && workflow.number("fps").is_none();
        if duration_needs_fps && ignored.contains(&"fps") {
            ignored.push("duration_s");
        }
        VideoCapabilities {
            ignored,
            remedy: Some(REMEDY),
            duration_needs_fps,
            ..VideoCapabilities::default()
        }
    }

    /// The workflows are part of the address: with another workflow the same request makes something else.
    fn address(&self, config: &ProviderConfig) -> String {
        let base = config.own.remote.as_ref().map(|remote| remote.base_url.to_string()).unwrap_or_default();
        format!("{base} {}", settings(config).fingerprint())
    }

    fn build(&self, config: &ProviderConfig, equipment: &Equipment) -> Option<Arc<dyn Provider>> {
        Some(Arc::new(ComfyProvider::new(config, equipment)?))
    }
}

fn settings(config: &ProviderConfig) -> ComfySettings {
    config.own.settings.get::<ComfySettings>().cloned().unwrap_or_default()
}
