//! Presets of well-known services and programs: the address, the usual variable of the key, and a model for each service.

use super::section::{KeySource, ModelChoice, NewSection};

/// The values that are filled in for a preset.
#[derive(Debug)]
pub struct Preset {
    /// The name that `--preset` accepts.
    pub name: &'static str,
    /// A description for people who choose a preset.
    pub about: &'static str,
    kind: &'static str,
    definition: Option<&'static str>,
    base_url: Option<&'static str>,
    /// The environment variable from which the service's own tools read the key.
    pub key_variable: Option<&'static str>,
    /// Pairs of service and model.
    models: &'static [(&'static str, &'static str)],
    is_free: bool,
}

impl Preset {
    const fn remote(name: &'static str, about: &'static str, base_url: &'static str) -> Self {
        Self {
            name,
            about,
            kind: "openai",
            definition: None,
            base_url: Some(base_url),
            key_variable: None,
            models: &[],
            is_free: false,
        }
    }

    const fn program(name: &'static str, about: &'static str) -> Self {
        Self {
            kind: "command",
            definition: Some(name),
            base_url: None,
            is_free: true,
            ..Self::remote(name, about, "")
        }
    }

    /// Returns the section with the values of this preset.
    pub fn section(&self) -> NewSection {
        let own = |text: Option<&'static str>| text.map(str::to_owned);
        let model = |(service, model): &(&str, &str)| ModelChoice {
            service: Some((*service).to_owned()),
            model: (*model).to_owned(),
        };
        NewSection {
            kind: self.kind.to_owned(),
            definition: own(self.definition),
            base_url: own(self.base_url),
            api_key: own(self.key_variable).map(KeySource::Env),
            models: self.models.iter().map(model).collect(),
            // A program is free by default, so its section does not need to say so.
            billing: (self.is_free && self.definition.is_none()).then(|| "free".to_owned()),
            ..NewSection::default()
        }
    }
}

/// All presets, in the order in which they are listed.
pub static PRESETS: &[Preset] = &[
    Preset {
        key_variable: Some("OPENAI_API_KEY"),
        models: &[("image", "gpt-image-2"), ("voice", "gpt-4o-mini-tts"), ("text", "gpt-5-mini")],
        ..Preset::remote("openai", "OpenAI: pictures, speech and answers", "https://api.openai.com/v1")
    },
    Preset {
        key_variable: Some("DEEPSEEK_API_KEY"),
        models: &[("text", "deepseek-v4-flash")],
        ..Preset::remote("deepseek", "DeepSeek: answers", "https://api.deepseek.com")
    },
    Preset {
        kind: "sdcpp",
        base_url: None,
        ..Preset::remote("sd-server", "sd-server of stable-diffusion.cpp on this machine: pictures", "")
    },
    Preset {
        kind: "ollama",
        base_url: None,
        ..Preset::remote("ollama", "Ollama on this machine: answers", "")
    },
    Preset {
        kind: "a1111",
        base_url: None,
        ..Preset::remote("a1111", "the web UI of AUTOMATIC1111 or Forge on this machine: pictures", "")
    },
    Preset {
        kind: "comfyui",
        base_url: None,
        ..Preset::remote("comfyui", "ComfyUI on this machine: pictures", "")
    },
    Preset::program("sd.cpp", "stable-diffusion.cpp as a program; --model names a file"),
    Preset::program("espeak-ng", "espeak-ng: speech, many languages, no key"),
    Preset::program("piper", "piper: speech; --model names a file"),
    Preset::program("edge-tts", "edge-tts: speech by Microsoft's service for its browser"),
];

/// Returns the preset with this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
