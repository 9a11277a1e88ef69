//! The definitions that the daemon brings along, one file each in `provider/definitions/`.

use super::settings::CommandSettings;
use crate::nearest::nearest;

/// The name of each shipped definition, and the text of its file.
const SHIPPED: &[(&str, &str)] = &[
    ("edge-tts", include_str!("../definitions/edge-tts.toml")),
    ("espeak-ng", include_str!("../definitions/espeak-ng.toml")),
    ("piper", include_str!("../definitions/piper.toml")),
    ("sd.cpp", include_str!("../definitions/sd.cpp.toml")),
];

/// Why there is no such definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDefinition {
    /// The daemon brings none of that name.
    #[error("no definition of that name{}; there are {}", nearest.map_or_else(String::new, |near| format!(" (did you mean {near}?)")), names().join(", "))]
    Unknown {
        /// The name of a definition that is most similar to the mistyped one.
        nearest: Option<&'static str>,
    },
    /// The file that was built in does not parse; a test keeps this from ever happening.
    #[error("the definition does not parse: {0}")]
    Broken(String),
}

/// The names of all definitions.
pub fn names() -> Vec<&'static str> {
    SHIPPED.iter().map(|(name, _)| *name).collect()
}

/// The settings of a definition.
pub fn shipped(name: &str) -> Result<CommandSettings, NoDefinition> {
    let unknown = || NoDefinition::Unknown { nearest: nearest(name, SHIPPED.iter().map(|(name, _)| *name)) };
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    CommandSettings::parse(text).map_err(NoDefinition::Broken)
}
