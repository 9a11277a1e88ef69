//! The cache key of a request: a digest over everything that changes the result. Two requests are equal if their keys are. Pure.

use crate::domain::{CacheKey, ProviderProfile};

/// The bytes that are hashed: the values of a request that change its result, each with its name and with the lengths of both, so that
/// different requests never have the same bytes. They are hashed in one call, because many small updates cost more than the hash.
pub(super) struct KeyText(Vec<u8>);

impl KeyText {
    /// Begins the bytes of a request to this provider and model. `version` names the service, and changes when the meaning of what is hashed
    /// changes.
    pub fn new(version: &str, provider: &ProviderProfile, model: Option<&str>) -> Self {
        let mut key = Self(Vec::with_capacity(1_024));
        key.text("version", Some(version));
        key.text("kind", Some(&provider.kind));
        key.text("address", Some(&provider.address));
        key.text("adapter", Some(&provider.adapter_version));
        key.text("model", model);
        key
    }

    /// Returns the BLAKE3 digest of all fields that were added.
    pub fn hash(&self) -> CacheKey {
        *blake3::hash(&self.0).as_bytes()
    }

    /// Adds a field whose value is bytes.
    pub fn bytes(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(&(name.len() as u64).to_le_bytes());
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value);
    }

    /// Adds a field whose value is a text. Adds nothing if the value is None.
    pub fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.bytes(name, value.as_bytes());
        }
    }

    /// Adds a field whose value is a number. Adds nothing if the value is None.
    pub fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.bytes(name, &value.to_le_bytes());
        }
    }
}
