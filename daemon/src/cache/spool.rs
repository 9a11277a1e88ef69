//! Spools. A body is written to a temporary file of the disk tier while it arrives, and is hashed at the same time. A small body stays in memory
//! until it is complete, so that its file is written once and need not be read again for inspection.
//!
//! All functions here block. Dropping a spool removes its file. Files that a dead daemon left are removed at the next start.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Cursor, Seek, Write},
    path::{Path, PathBuf},
};

use reel_protocol::Digest;
use tempfile::NamedTempFile;

use super::disk_tier::{DiskTier, digest_of};

/// Most bytes that a spool holds in memory before it begins its file.
pub const SPOOL_BYTES: usize = 128 * 1024;
/// Size of the buffer through which a spool's file is written or read, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// The bytes of an artifact that is not in the store yet.
#[derive(Debug)]
pub enum Body {
    /// The bytes are in memory.
    Held(Vec<u8>),
    /// The bytes went through a spool, and may be in memory or in a temporary file.
    Spooled(Spooled),
}

impl Body {
    /// Returns the digest and the length in bytes. Hashes the bytes if they are in memory.
    pub fn identity(&self) -> (Digest, u64) {
        match self {
            Self::Held(bytes) => (digest_of(bytes), bytes.len() as u64),
            Self::Spooled(spooled) => (spooled.digest, spooled.size_bytes),
        }
    }

    /// Returns the length in bytes.
    pub const fn size_bytes(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.size_bytes,
        }
    }

    /// Returns the bytes of [`Body::Held`], else None.
    pub fn held(self) -> Option<Vec<u8>> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Spooled(_) => None,
        }
    }

    /// Returns how many of the bytes are in memory.
    pub const fn memory_bytes(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.memory_bytes(),
        }
    }
}

/// Creates spools. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spools {
    disk: DiskTier,
}

/// A body that is being received.
#[derive(Debug)]
pub struct Spool {
    disk: DiskTier,
    storage: SpoolStorage<BufWriter<NamedTempFile>>,
    /// Most bytes that it holds in memory before it begins its file.
    memory_bytes: usize,
    hasher: blake3::Hasher,
    size_bytes: u64,
}

/// A complete body, in memory or in a temporary file. The file is removed when it is dropped.
#[derive(Debug)]
pub struct Spooled {
    pub(super) storage: SpoolStorage<NamedTempFile>,
    /// The BLAKE3 digest of the body.
    pub digest: Digest,
    /// The length in bytes.
    pub size_bytes: u64,
}

/// Where the bytes of a spool are stored.
#[derive(Debug)]
pub(super) enum SpoolStorage<F> {
    /// In memory, at most [`SPOOL_BYTES`].
    Memory(Vec<u8>),
    File(F),
}

/// A readable and seekable body.
pub trait ReadSeek: BufRead + Seek {}

impl<T: BufRead + Seek> ReadSeek for T {}

/// A copy of a body in a file of its own, which other programs of this user can read. Dropping it removes the file.
#[derive(Debug)]
pub struct Preview(NamedTempFile);

impl Preview {
    /// Returns the path of the copy.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Spools {
    /// Creates spools whose temporary files are in `artifacts`, which is `<home>/artifacts`.
    pub fn new(artifacts: PathBuf) -> Self {
        Self { disk: DiskTier::new(artifacts) }
    }

    /// Copies a body into a file of its own with this extension. Blocks. Fails with `StorageFull` if the disk has too little room.
    pub fn preview(&self, body: &Spooled, extension: &str) -> io::Result<Preview> {
        if !self.has_room(body.size_bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut file = self.disk.temporary_with(&format!(".{extension}"))?;
        io::copy(&mut body.open()?, &mut file)?;
        Ok(Preview(file))
    }

    /// Returns whether the disk has room for so many bytes, beyond the room that is kept free for the journal.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.disk.has_room(bytes)
    }

    /// Returns an empty spool. It stays in memory up to [`SPOOL_BYTES`].
    pub fn create(&self) -> Spool {
        self.create_within(SPOOL_BYTES)
    }

    /// Returns an empty spool that uses a file from its first byte.
    pub fn create_file(&self) -> Spool {
        self.create_within(0)
    }

    /// Creates a temporary file on the disk of the artifacts. Dropping it removes the file. A file that a dead daemon left is removed at the next
    /// start.
    pub fn temporary(&self) -> io::Result<NamedTempFile> {
        self.disk.temporary()
    }

    fn create_within(&self, memory_bytes: usize) -> Spool {
        let storage = SpoolStorage::Memory(Vec::new());
        Spool { disk: self.disk.clone(), storage, memory_bytes, hasher: blake3::Hasher::new(), size_bytes: 0 }
    }
}

impl Spool {
    /// Returns how many bytes were written so far.
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Ends the body and returns it with its digest.
    pub fn finish(self) -> io::Result<Spooled> {
        let digest = Digest::from_bytes(*self.hasher.finalize().as_bytes());
        let storage = match self.storage {
            SpoolStorage::Memory(mut bytes) => {
                bytes.shrink_to_fit();
                SpoolStorage::Memory(bytes)
            }
            SpoolStorage::File(file) => {
                SpoolStorage::File(file.into_inner().map_err(io::IntoInnerError::into_error)?)
            }
        };
        Ok(Spooled { storage, digest, size_bytes: self.size_bytes })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let SpoolStorage::Memory(held) = &mut self.storage
            && held.len() + bytes.len() > self.memory_bytes
        {
            let mut file = BufWriter::with_capacity(PIECE_BYTES, self.disk.temporary()?);
            file.write_all(held)?;
            self.storage = SpoolStorage::File(file);
        }
        let written = match &mut self.storage {
            SpoolStorage::Memory(held) => {
                if held.capacity() == 0 {
                    // Reserved at once, as a vector that grows is copied each time.
                    held.reserve_exact(SPOOL_BYTES);
                }
                held.write(bytes)?
            }
            SpoolStorage::File(file) => file.write(bytes)?,
        };
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.storage {
            SpoolStorage::Memory(_) => Ok(()),
            SpoolStorage::File(file) => file.flush(),
        }
    }
}

impl Spooled {
    /// Returns how many of its bytes are in memory.
    pub const fn memory_bytes(&self) -> u64 {
        match &self.storage {
            SpoolStorage::Memory(_) => self.size_bytes,
            SpoolStorage::File(_) => 0,
        }
    }

    /// Returns a reader at the first byte.
    pub fn open(&self) -> io::Result<Box<dyn ReadSeek + '_>> {
        Ok(match &self.storage {
            SpoolStorage::Memory(bytes) => Box::new(Cursor::new(&**bytes)),
            SpoolStorage::File(file) => {
                let mut file = file.reopen()?;
                file.rewind()?;
                Box::new(BufReader::with_capacity(PIECE_BYTES, file))
            }
        })
    }
}
