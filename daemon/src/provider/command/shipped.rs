//! The definitions that are built into the daemon, one file each in `provider/definitions/`.

use super::settings::CommandSettings;
use crate::nearest::nearest;

/// The name of each shipped definition, and the text of its file.
const SHIPPED: &[(&str, &str)] = &[
    ("edge-tts", include_str!("../definitions/edge-tts.toml")),
    ("espeak-ng", include_str!("../definitions/espeak-ng.toml")),
    ("piper", include_str!("../definitions/piper.toml")),
    ("sd.cpp", include_str!("../definitions/sd.cpp.toml")),
];

/// Why a shipped definition cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDefinition {
    /// No shipped definition has that name.
    #[error("no definition of that name{}; there are {}", nearest.map_or_else(String::new, |near| format!(" (did you mean {near}?)")), names().join(", "))]
    Unknown {
        /// The name of a definition that is most similar to the mistyped one.
        nearest: Option<&'static str>,
    },
    /// The built-in file does not parse. A test checks that every one does.
    #[error("the definition does not parse: {0}")]
    Broken(String),
}

/// Returns the names of all shipped definitions.
pub fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// Returns the settings of the shipped definition of that name.
pub fn shipped(name: &str) -> Result<CommandSettings, NoDefinition> {
    let unknown = || NoDefinition::Unknown { nearest: nearest(name, SHIPPED.iter().map(|(name, _)| *name)) };
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    CommandSettings::parse(text).map_err(NoDefinition::Broken)
}
