//! An artifact that was made and is not in the store yet.

use super::Body;
use crate::{domain::Facts, memory::Reservation};

/// The bytes of a new artifact and what is known about it.
#[derive(Debug)]
pub struct NewArtifact {
    /// The encoded file.
    pub body: Body,
    /// Its share of the memory budget, if it is in memory.
    pub reservation: Option<Reservation>,
    /// Its type, and its size in pixels or its duration where known.
    pub facts: Facts,
}
