//! Fetches the bytes of an artifact and checks them. They are copied from the daemon's store if it is readable, else read over the socket.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write},
};

use reel_protocol::{
    Digest, Output,
    methods::{ArtifactRead, ArtifactReadParams},
};

use crate::{Client, ClientError};

/// Bytes of one read over the socket. A response could hold four times as many, but smaller ones delay other calls of the connection less.
const PART_BYTES: u64 = 1024 * 1024;

impl Client {
    /// Writes the output's bytes into `file`, which must be empty, and checks their digest. Returns the file, positioned at its start.
    pub async fn fetch(&self, output: &Output, file: File) -> Result<File, ClientError> {
        let (path, digest) = (output.path.clone(), output.digest);
        let (file, is_whole) = in_background(move || {
            let mut file = file;
            let is_whole = copy_from_store(&path, &digest, &mut file).unwrap_or(false);
            Ok((file, is_whole))
        })
        .await?;
        // The store cannot be read if it is on another machine or in a container, or if the file was just evicted.
        let file = if is_whole { file } else { self.read_into_file(&digest, file).await? };
        in_background(move || {
            let mut file = file;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        })
        .await
    }

    /// Returns the output's bytes, which are checked against their digest.
    pub async fn read(&self, output: &Output) -> Result<Vec<u8>, ClientError> {
        let (path, digest) = (output.path.clone(), output.digest);
        let stored = in_background(move || Ok(read_store(&path, &digest).unwrap_or_default())).await?;
        if let Some(bytes) = stored {
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        self.read_into(&digest, &mut bytes).await?;
        Ok(bytes)
    }

    async fn read_into_file(&self, digest: &Digest, mut file: File) -> Result<File, ClientError> {
        let cleared = file.seek(SeekFrom::Start(0)).and_then(|_| file.set_len(0));
        cleared.map_err(|source| ClientError::io("cannot write the fetched bytes", source))?;
        self.read_into(digest, &mut file).await?;
        Ok(file)
    }

    /// Reads the artifact over the socket.
    async fn read_into(&self, digest: &Digest, target: &mut (dyn Write + Send)) -> Result<(), ClientError> {
        let failed = |source| ClientError::io("cannot write the fetched bytes", source);
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        loop {
            let params = ArtifactReadParams::new(*digest, offset, PART_BYTES);
            let part = self.call::<ArtifactRead>(&params).await?;
            hasher.update(&part.data.0);
            target.write_all(&part.data.0).map_err(failed)?;
            offset += part.data.0.len() as u64;
            if part.data.0.is_empty() || offset >= part.size_bytes {
                break;
            }
        }
        if hasher.finalize().as_bytes() == digest.as_bytes() {
            Ok(())
        } else {
            Err(ClientError::Damaged { digest: *digest })
        }
    }
}

/// Copies the stored file. Returns false and writes nothing if its bytes do not match the digest.
fn copy_from_store(path: &str, digest: &Digest, file: &mut File) -> io::Result<bool> {
    let mut stored = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut stored)?;
    if hasher.finalize().as_bytes() != digest.as_bytes() {
        return Ok(false);
    }
    stored.seek(SeekFrom::Start(0))?;
    // An earlier attempt may have written a part.
    file.seek(SeekFrom::Start(0))?;
    file.set_len(0)?;
    // The kernel copies the file, and shares its blocks if the file system supports that.
    io::copy(&mut stored, file).map(|_| true)
}

/// Reads the stored file. None if its bytes do not match the digest.
fn read_store(path: &str, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
    let bytes = std::fs::read(path)?;
    Ok((blake3::hash(&bytes).as_bytes() == digest.as_bytes()).then_some(bytes))
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ClientError> {
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|_| io::Error::other("the copying thread panicked"));
    done.and_then(|outcome| outcome).map_err(|source| ClientError::io("cannot copy the artifact", source))
}
