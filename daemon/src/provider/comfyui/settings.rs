//! The workflows of a provider's section, and those that are shipped for sections without one.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path, sync::LazyLock};

use super::workflow::{IMAGES, Pointers, Workflow};
use crate::config::Section;

/// Largest workflow file, in bytes. The largest that people share have some hundred kilobytes.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

static TEXT_TO_IMAGE: LazyLock<Workflow> =
    LazyLock::new(|| shipped(include_str!("shipped/text_to_image.json")));
static IMAGE_TO_IMAGE: LazyLock<Workflow> =
    LazyLock::new(|| shipped(include_str!("shipped/image_to_image.json")));
static REPAINT: LazyLock<Workflow> = LazyLock::new(|| shipped(include_str!("shipped/repaint.json")));

/// Reads a shipped workflow. A test reads all of them.
fn shipped(text: &str) -> Workflow {
    Workflow::read(text, &BTreeMap::new()).unwrap_or_default()
}

/// The workflows of one provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComfySettings {
    /// The user's workflow for pictures.
    pub image: Option<Workflow>,
    /// The user's workflow for pictures that are made from pictures.
    pub edit: Option<Workflow>,
    /// The user's workflow for videos.
    pub video: Option<Workflow>,
}

impl ComfySettings {
    /// Reads the keys of a section and the files that they name. None if one of them cannot be used; the section then has the complaint.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        Some(Self {
            image: workflow(section, "workflow", "patch")?,
            edit: workflow(section, "edit_workflow", "edit_patch")?,
            video: workflow(section, "video_workflow", "video_patch")?,
        })
    }

    /// Returns the workflow for a picture that is made from a prompt, or from pictures, or from a picture with a mask.
    pub fn for_image(&self, has_inputs: bool, has_mask: bool) -> &Workflow {
        let own = if has_inputs { self.edit.as_ref().or(self.image.as_ref()) } else { self.image.as_ref() };
        match own {
            Some(own) => own,
            None if has_mask => &REPAINT,
            None if has_inputs => &IMAGE_TO_IMAGE,
            None => &TEXT_TO_IMAGE,
        }
    }

    /// Whether this workflow is a shipped one, which needs the name of a checkpoint.
    pub fn is_shipped(workflow: &Workflow) -> bool {
        [&*TEXT_TO_IMAGE, &*IMAGE_TO_IMAGE, &*REPAINT]
            .into_iter()
            .any(|shipped| std::ptr::eq(shipped, workflow))
    }

    /// Returns the workflows that a request for pictures may use.
    pub fn image_workflows(&self) -> [&Workflow; 3] {
        [self.for_image(false, false), self.for_image(true, false), self.for_image(true, true)]
    }

    /// Returns a text that differs if any workflow differs.
    pub fn fingerprint(&self) -> String {
        let workflows = self.image_workflows().into_iter().chain(&self.video);
        let mut hasher = blake3::Hasher::new();
        for workflow in workflows {
            hasher.update(format!("{workflow:?}").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Returns the most input pictures of a request.
    pub fn most_inputs(&self) -> usize {
        let workflow = self.for_image(true, false);
        IMAGES.iter().take_while(|name| workflow.takes(name)).count()
    }
}

/// Reads the file that a key names. The inner None means that the section does not name one.
#[expect(clippy::option_option, reason = "the outer None is that of all readers of a section")]
fn workflow(section: &mut Section<'_>, key: &str, patch_key: &str) -> Option<Option<Workflow>> {
    let shape = "a table of JSON pointers, such as { prompt = \"/6/inputs/text\" }";
    let patch: BTreeMap<String, Pointers> =
        if section.has(patch_key) { section.shaped(patch_key, shape)? } else { BTreeMap::new() };
    if !section.has(key) {
        if section.has(patch_key) {
            section.complain(patch_key, &format!("needs {key}, the file in which it names inputs"));
            return None;
        }
        return Some(None);
    }
    let path = section.path(key)?;
    let read = text(&path).and_then(|text| Workflow::read(&text, &patch));
    match read {
        Ok(workflow) => Some(Some(workflow)),
        Err(why) => {
            section.complain(key, &format!("({}) {why}", path.display()));
            None
        }
    }
}

fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    // Opening a pipe would block until somebody writes to it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no file".to_owned());
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_workflows_have_a_place_for_every_param() {
        let settings = ComfySettings::default();
        for (workflow, places) in settings.image_workflows().into_iter().zip([
            &["prompt", "negative_prompt", "width", "height", "n", "seed", "steps", "guidance", "model"][..],
            &[
                "prompt",
                "negative_prompt",
                "width",
                "height",
                "n",
                "seed",
                "steps",
                "guidance",
                "model",
                "image",
                "strength",
            ],
            &[
                "prompt",
                "negative_prompt",
                "width",
                "height",
                "n",
                "seed",
                "steps",
                "guidance",
                "model",
                "image",
                "strength",
                "mask",
            ],
        ]) {
            assert!(ComfySettings::is_shipped(workflow));
            for place in places {
                assert!(workflow.takes(place), "{place}: {workflow:?}");
            }
        }
        assert_eq!(settings.most_inputs(), 1);
    }
}
