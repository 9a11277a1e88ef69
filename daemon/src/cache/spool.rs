//! Spools: bodies that are too large to hold go to a temporary file of the disk tier while they arrive, and are hashed on their way.
//!
//! Everything here blocks. A spool that is dropped takes its file with it; what a daemon that died left behind is removed at the next start.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use reel_protocol::Digest;
use tempfile::NamedTempFile;

use super::disk_tier::{DiskTier, digest_of};

/// The bytes of an artifact on their way into the store.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Held(Vec<u8>),
    /// In a temporary file.
    Spooled(Spooled),
}

impl Body {
    /// Digest and length.
    pub fn identity(&self) -> (Digest, u64) {
        match self {
            Self::Held(bytes) => (digest_of(bytes), bytes.len() as u64),
            Self::Spooled(spooled) => (spooled.digest, spooled.size_bytes),
        }
    }

    /// How many bytes.
    pub const fn size_bytes(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.size_bytes,
        }
    }

    /// The bytes, if they are in memory.
    pub fn held(self) -> Option<Vec<u8>> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Spooled(_) => None,
        }
    }
}

/// Makes spools; cheap to clone.
#[derive(Debug, Clone)]
pub struct Spools {
    disk: DiskTier,
}

/// A body on its way to disk.
#[derive(Debug)]
pub struct Spool {
    file: BufWriter<NamedTempFile>,
    hasher: blake3::Hasher,
    size_bytes: u64,
}

/// A body that is in a file as a whole, which has no name that lasts yet.
#[derive(Debug)]
pub struct Spooled {
    pub(super) file: NamedTempFile,
    /// Of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size_bytes: u64,
}

impl Spools {
    /// Spools in `<home>/artifacts`.
    pub fn new(artifacts: PathBuf) -> Self {
        Self { disk: DiskTier::new(artifacts) }
    }

    /// Whether the disk has room for so many bytes, and then some for the journal.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.disk.has_room(bytes)
    }

    /// An empty spool.
    pub fn create(&self) -> io::Result<Spool> {
        let file = BufWriter::with_capacity(64 * 1024, self.disk.temporary()?);
        Ok(Spool { file, hasher: blake3::Hasher::new(), size_bytes: 0 })
    }
}

impl Spool {
    /// How many bytes it took.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The body is complete.
    pub fn finish(self) -> io::Result<Spooled> {
        let digest = Digest::from_bytes(*self.hasher.finalize().as_bytes());
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Spooled { file, digest, size_bytes: self.size_bytes })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Spooled {
    /// The bytes, from the first on.
    pub fn open(&self) -> io::Result<File> {
        self.file.reopen()
    }
}
