//! Brings an artifact's bytes: copied from the daemon's store where it is readable, else over the socket; always checked.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
};

use reel_protocol::{
    Digest, Output,
    methods::{ArtifactRead, ArtifactReadParams},
};

use crate::{Client, ClientError};

/// Bytes of one read over the socket; four of them would fit, but one keeps the connection quick for others.
const PART_BYTES: u64 = 1024 * 1024;

/// Bytes hashed at a time.
const HASH_BYTES: usize = 256 * 1024;

impl Client {
    /// Fills `file` (empty, open for reading and writing) with the output's bytes and gives it back; their digest is checked.
    pub async fn fetch(&self, output: &Output, file: File) -> Result<File, ClientError> {
        let (path, digest) = (output.path.clone(), output.digest);
        let (file, is_whole) = in_background(move || {
            let mut file = file;
            let is_whole = copy_from_store(&path, &mut file).is_ok()
                && is_digest_of(&mut file, &digest).unwrap_or(false);
            Ok((file, is_whole))
        })
        .await?;
        // A store on another machine or behind a container's wall, or a file that was evicted just now.
        let file = if is_whole { file } else { self.read_into(&digest, file).await? };
        in_background(move || {
            let mut file = file;
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        })
        .await
    }

    async fn read_into(&self, digest: &Digest, mut file: File) -> Result<File, ClientError> {
        let failed = |source| ClientError::io("cannot write the fetched bytes", source);
        file.seek(SeekFrom::Start(0)).and_then(|_| file.set_len(0)).map_err(failed)?;
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        loop {
            let params = ArtifactReadParams { digest: *digest, offset, length: PART_BYTES };
            let part = self.call::<ArtifactRead>(&params).await?;
            hasher.update(&part.data.0);
            file.write_all(&part.data.0).map_err(failed)?;
            offset += part.data.0.len() as u64;
            if part.data.0.is_empty() || offset >= part.size_bytes {
                break;
            }
        }
        if hasher.finalize().as_bytes() == digest.as_bytes() {
            Ok(file)
        } else {
            Err(ClientError::Damaged { digest: *digest })
        }
    }
}

/// Through `io::copy`, which shares the blocks where the file system can.
fn copy_from_store(path: &str, file: &mut File) -> io::Result<()> {
    io::copy(&mut File::open(path)?, file).map(|_| ())
}

fn is_digest_of(file: &mut File, digest: &Digest) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; HASH_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
    }
    Ok(hasher.finalize().as_bytes() == digest.as_bytes())
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ClientError> {
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|_| io::Error::other("the copying thread panicked"));
    done.and_then(|outcome| outcome).map_err(|source| ClientError::io("cannot copy the artifact", source))
}
