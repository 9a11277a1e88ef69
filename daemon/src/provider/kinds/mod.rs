//! The kinds of providers. Each has its own file, and each kind that a configuration may name has a row in [`KINDS`].

mod a1111;
mod comfyui;
mod command;
pub(super) mod draft;
pub(super) mod ffmpeg;
mod ollama;
mod openai;
mod sdcpp;

use super::Kind;

/// The kinds that a section `[providers.NAME]` may name, in the order in which messages list them.
pub static KINDS: &[&dyn Kind] =
    &[&a1111::A1111, &comfyui::Comfyui, &command::Command, &ollama::Ollama, &openai::Openai, &sdcpp::Sdcpp];

#[cfg(test)]
pub(super) use openai::Openai;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::KINDS;

    #[test]
    fn kinds_have_different_names_and_serve_something() {
        let names: BTreeSet<_> = KINDS.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), KINDS.len());
        assert!(!names.contains(super::draft::NAME), "draft is embedded and has no section");
        assert!(KINDS.iter().all(|kind| !kind.services().is_empty()));
    }
}
