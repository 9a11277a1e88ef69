//! Spools: bodies go to a temporary file of the disk tier while they arrive, and are hashed on their way. One that is small stays in memory
//! until it is whole: its file is then written once, and not read again to be looked at.
//!
//! Everything here blocks. A spool that is dropped takes its file with it; what a daemon that died left behind is removed at the next start.

use std::{
    io::{self, BufRead, BufReader, BufWriter, Cursor, Seek, Write},
    path::{Path, PathBuf},
};

use reel_protocol::Digest;
use tempfile::NamedTempFile;

use super::disk_tier::{DiskTier, digest_of};

/// What a spool holds in memory before it begins its file.
pub const SPOOL_BYTES: usize = 128 * 1024;
/// What is written or read at once of one that has a file.
const PIECE_BYTES: usize = 64 * 1024;

/// The bytes of an artifact on their way into the store.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Held(Vec<u8>),
    /// As it came from a spool.
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

    /// How many of them are in memory.
    pub const fn memory_bytes(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Spooled(spooled) => spooled.memory_bytes(),
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
    disk: DiskTier,
    place: Place<BufWriter<NamedTempFile>>,
    /// What it may hold before it begins its file.
    memory_bytes: usize,
    hasher: blake3::Hasher,
    size_bytes: u64,
}

/// A body that is there as a whole, and has no name that lasts yet.
#[derive(Debug)]
pub struct Spooled {
    pub(super) place: Place<NamedTempFile>,
    /// Of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size_bytes: u64,
}

/// Where the bytes of a spool are.
#[derive(Debug)]
pub(super) enum Place<F> {
    /// At most [`SPOOL_BYTES`].
    Memory(Vec<u8>),
    File(F),
}

/// What can be looked at.
pub trait Look: BufRead + Seek {}

impl<T: BufRead + Seek> Look for T {}

/// A copy of a body that programs of this user may read under its path, until it is dropped.
#[derive(Debug)]
pub struct Preview(NamedTempFile);

impl Preview {
    /// Where the copy is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Spools {
    /// Spools in `<home>/artifacts`.
    pub fn new(artifacts: PathBuf) -> Self {
        Self { disk: DiskTier::new(artifacts) }
    }

    /// A copy of a body in a file of its own with this extension. It blocks.
    pub fn preview(&self, body: &Spooled, extension: &str) -> io::Result<Preview> {
        if !self.has_room(body.size_bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut file = self.disk.temporary_with(&format!(".{extension}"))?;
        io::copy(&mut body.open()?, &mut file)?;
        Ok(Preview(file))
    }

    /// Whether the disk has room for so many bytes, and then some for the journal.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.disk.has_room(bytes)
    }

    /// An empty spool, in memory while it is small.
    pub fn create(&self) -> Spool {
        self.create_within(SPOOL_BYTES)
    }

    /// An empty spool that holds nothing in memory beyond the buffer of its file.
    pub fn create_file(&self) -> Spool {
        self.create_within(0)
    }

    /// A temporary file on the disk of the artifacts. Dropped, it is gone; what a daemon that died leaves is removed at the next start.
    pub fn temporary(&self) -> io::Result<NamedTempFile> {
        self.disk.temporary()
    }

    fn create_within(&self, memory_bytes: usize) -> Spool {
        let place = Place::Memory(Vec::new());
        Spool { disk: self.disk.clone(), place, memory_bytes, hasher: blake3::Hasher::new(), size_bytes: 0 }
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
        let place = match self.place {
            Place::Memory(mut bytes) => {
                bytes.shrink_to_fit();
                Place::Memory(bytes)
            }
            Place::File(file) => Place::File(file.into_inner().map_err(io::IntoInnerError::into_error)?),
        };
        Ok(Spooled { place, digest, size_bytes: self.size_bytes })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Place::Memory(gathered) = &mut self.place
            && gathered.len() + bytes.len() > self.memory_bytes
        {
            let mut file = BufWriter::with_capacity(PIECE_BYTES, self.disk.temporary()?);
            file.write_all(gathered)?;
            self.place = Place::File(file);
        }
        let written = match &mut self.place {
            Place::Memory(gathered) => {
                if gathered.capacity() == 0 {
                    // What grows is copied again and again.
                    gathered.reserve_exact(SPOOL_BYTES);
                }
                gathered.write(bytes)?
            }
            Place::File(file) => file.write(bytes)?,
        };
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Memory(_) => Ok(()),
            Place::File(file) => file.flush(),
        }
    }
}

impl Spooled {
    /// How many of its bytes are in memory.
    pub const fn memory_bytes(&self) -> u64 {
        match &self.place {
            Place::Memory(_) => self.size_bytes,
            Place::File(_) => 0,
        }
    }

    /// The bytes, from the first on.
    pub fn open(&self) -> io::Result<Box<dyn Look + '_>> {
        Ok(match &self.place {
            Place::Memory(bytes) => Box::new(Cursor::new(&**bytes)),
            Place::File(file) => {
                let mut file = file.reopen()?;
                file.rewind()?;
                Box::new(BufReader::with_capacity(PIECE_BYTES, file))
            }
        })
    }
}
