//! Tells whether two requests with one request id are the same request. Pure.

/// The digests of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// The digest of its meaning, which the journal keeps: neither the order of keys nor the notation of numbers changes it.
    pub meaning: [u8; 32],
    /// The digest of its text as it was sent. Journals of earlier versions have this one.
    pub text: [u8; 32],
}

impl Fingerprint {
    /// The fingerprint of requests without an id, which cannot be repeated.
    pub const NONE: Self = Self { meaning: [0; 32], text: [0; 32] };

    /// Whether the digest in the journal is that of this request.
    pub fn is(&self, journaled: &[u8; 32]) -> bool {
        self.meaning == *journaled || self.text == *journaled
    }
}
