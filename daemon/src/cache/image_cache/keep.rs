//! Keeping what was made: make room, write and sync the files, and follow once whoever is told has committed the rows.

use std::{collections::HashSet, io, path::PathBuf, sync::Arc};

use actix::{fut, prelude::*};
use reel_protocol::{Digest, Timestamp};
use tokio::{sync::RwLock, time::Instant};

use super::ImageCache;
use crate::{
    cache::{
        CacheError, FindRoom, KeepMade, Kept, Key, Made, Settle,
        disk_tier::DiskTier,
        kept::{Open, Shelf, Written},
        memory_tier::Item,
    },
    provider::Picture,
    store::{self, ArtifactRow, Entry, Store},
    tasks::MakeRoom,
};

/// How often the history is asked to give way for one result: what it lets go may be protected for a minute as it was just used.
const PRUNES: u32 = 8;

/// What a writer needs of the actor and of the message.
struct Writer {
    disk: DiskTier,
    store: Store,
    gate: Arc<RwLock<()>>,
    key: Option<Key>,
    provider: String,
    model: Option<String>,
    cache: Recipient<Settle>,
}

impl ImageCache {
    pub(super) fn keep(
        &mut self,
        msg: KeepMade,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Result<Kept, CacheError>> {
        let KeepMade { key, provider, model, pictures, make_room } = msg;
        let writer = Writer {
            disk: self.disk.clone(),
            store: self.store.clone(),
            gate: Arc::clone(&self.gate),
            // An entry without a picture has no row that could name it.
            key: key.filter(|_| !pictures.is_empty()),
            provider,
            model,
            cache: ctx.address().recipient(),
        };
        let most_bytes = pictures.iter().map(|picture| picture.body.size_bytes()).sum();
        if self.excess_bytes(most_bytes) == 0 {
            return self.make_room_and_write(writer, pictures, most_bytes, make_room);
        }
        // Of what is there already no room is needed, and at the cap that counts.
        let counted = count_new(self.store.clone(), self.disk.artifacts().to_owned(), pictures);
        Box::pin(counted.into_actor(self).then(|counted, actor, _| match counted {
            Ok((pictures, new_bytes, known)) => {
                for digest in known {
                    actor.touch(digest);
                }
                actor.make_room_and_write(writer, pictures, new_bytes, make_room)
            }
            Err(error) => Box::pin(fut::ready(Err(error))),
        }))
    }

    fn make_room_and_write(
        &mut self,
        writer: Writer,
        pictures: Vec<Picture>,
        new_bytes: u64,
        make_room: Option<Recipient<MakeRoom>>,
    ) -> ResponseActFuture<Self, Result<Kept, CacheError>> {
        Box::pin(self.make_room_of(new_bytes, make_room, PRUNES).then(move |room, actor, _| {
            let written = async move {
                room?;
                Ok(write(writer, pictures, new_bytes).await)
            };
            written.into_actor(actor).map(move |written: Result<_, CacheError>, actor, _| {
                // Room that was refused was not granted, and is not given back.
                let written = written?;
                if written.is_err() {
                    actor.pending_bytes = actor.pending_bytes.saturating_sub(new_bytes);
                }
                written
            })
        }))
    }

    /// Whether there would be room; nothing is granted, as what will come is not known yet.
    pub(super) fn find_room(&mut self, msg: FindRoom) -> ResponseActFuture<Self, Result<(), CacheError>> {
        let FindRoom { bytes, make_room } = msg;
        Box::pin(self.make_room_of(bytes, make_room, PRUNES).map(move |room, actor, _| {
            room.inspect(|()| actor.pending_bytes = actor.pending_bytes.saturating_sub(bytes))
        }))
    }

    /// Grants room as [`ImageCache::make_room`] does, and has the history give way where its tasks name all that could leave.
    fn make_room_of(
        &mut self,
        new_bytes: u64,
        history: Option<Recipient<MakeRoom>>,
        prunes: u32,
    ) -> ResponseActFuture<Self, Result<(), CacheError>> {
        let is_possible = new_bytes <= self.disk_limit_bytes;
        Box::pin(self.make_room(new_bytes).then(move |room, actor, _| -> ResponseActFuture<Self, _> {
            let (Err(CacheError::Full { .. }), Some(history)) =
                (&room, history.filter(|_| is_possible && prunes > 0))
            else {
                return Box::pin(fut::ready(room));
            };
            let pruned = history.send(MakeRoom { bytes: actor.excess_bytes(new_bytes) });
            Box::pin(pruned.into_actor(actor).then(move |unpinned, actor, _| -> ResponseActFuture<Self, _> {
                match unpinned {
                    Ok(1..) => actor.make_room_of(new_bytes, Some(history), prunes - 1),
                    _ => Box::pin(fut::ready(room)),
                }
            }))
        }))
    }

    /// The rows of what was kept were committed, or its files are of no use.
    pub(super) fn settle(&mut self, Settle { open, written }: Settle) {
        let Open { shelves, granted_bytes, key, together } = open;
        self.pending_bytes = self.pending_bytes.saturating_sub(granted_bytes);
        let files = shelves.iter().map(|shelf| shelf.row.clone()).collect::<Vec<_>>();
        let is_stray = match &written {
            None => true,
            Some(written) => written.entry.artifacts.iter().zip(&files).any(|(row, file)| row != file),
        };
        if let Some(written) = written {
            self.follow(key, shelves, written);
        }
        // Only now: nobody shall remove what is not in a row, as far as others see it.
        drop(together);
        if is_stray {
            tokio::spawn(discard(self.store.clone(), self.disk.clone(), Arc::clone(&self.gate), files));
        }
    }

    fn follow(&mut self, key: Option<Key>, shelves: Vec<Shelf>, written: Written) {
        let Written { entry, added } = written;
        self.stats.artifacts += added.artifacts;
        self.stats.disk_bytes += added.bytes;
        self.stats.entries += added.entries;
        for (Shelf { row: file, stamp, held }, row) in shelves.into_iter().zip(&entry.artifacts) {
            self.shelves.open().recent.protect(row.digest, Instant::now());
            if file.extension != row.extension {
                continue;
            }
            self.shelves.open().verified.put(row.digest, stamp);
            if let Some((bytes, reservation)) = held {
                // Given back first: the bytes change their holder, they do not double.
                drop(reservation);
                self.hold(row.clone(), bytes);
            }
        }
        if let Some(key) = key {
            let made = Arc::new(Made::of(&entry, self.disk.artifacts()));
            self.shelves.open().index.put_written(key, made);
        }
    }

    fn hold(&mut self, row: ArtifactRow, bytes: Vec<u8>) {
        if let Some(reservation) = self.memory.reserve(&self.budget, row.size_bytes) {
            let item = Item { bytes: Arc::new(bytes), media_type: row.media_type, reservation };
            self.memory.insert(row.digest, item);
        }
    }
}

/// The pictures, the bytes of those that the journal does not have, and the digests of the others.
async fn count_new(
    store: Store,
    artifacts: PathBuf,
    pictures: Vec<Picture>,
) -> Result<(Vec<Picture>, u64, Vec<Digest>), CacheError> {
    let hash = move || {
        let identities = pictures.iter().map(|picture| picture.body.identity()).collect::<Vec<_>>();
        (pictures, identities)
    };
    let (pictures, identities) = on_thread(artifacts, hash).await?;
    let counted = store.read(move |connection| {
        let (mut new_bytes, mut seen, mut known) = (0, HashSet::new(), Vec::new());
        for (digest, size_bytes) in identities {
            if !seen.insert(digest) {
                continue;
            }
            match store::artifact(connection, digest)? {
                Some(_) => known.push(digest),
                None => new_bytes += size_bytes,
            }
        }
        Ok((new_bytes, known))
    });
    let (new_bytes, known) = counted.await?;
    Ok((pictures, new_bytes, known))
}

fn new_row(digest: Digest, size_bytes: u64, picture: &Picture) -> ArtifactRow {
    ArtifactRow {
        digest,
        media_type: picture.media_type.to_owned(),
        extension: picture.extension.to_owned(),
        size_bytes,
        width: Some(picture.width),
        height: Some(picture.height),
        duration_s: None,
    }
}

/// Writes the files; they go again if one of them cannot be written: on a disk that is full they would only make it worse.
async fn write(writer: Writer, pictures: Vec<Picture>, granted_bytes: u64) -> Result<Kept, CacheError> {
    let Writer { disk, store, gate, key, provider, model, cache } = writer;
    let together = Arc::clone(&gate).read_owned().await;
    let shelving = disk.clone();
    let shelved = on_thread(disk.artifacts().to_owned(), move || {
        let (mut shelves, mut files) = (Vec::new(), Vec::new());
        for picture in pictures {
            match shelve(&shelving, picture, &mut files) {
                Ok(shelf) => shelves.push(shelf),
                Err(error) => return Err((error, files)),
            }
        }
        Ok(shelves)
    });
    let shelves = match shelved.await? {
        Ok(shelves) => shelves,
        Err((error, files)) => {
            drop(together);
            discard(store, disk, gate, files).await;
            return Err(error);
        }
    };
    let artifacts = shelves.iter().map(|shelf| shelf.row.clone()).collect();
    let entry = Entry { artifacts, provider, model, made: Timestamp::now() };
    let made = Made::of(&entry, disk.artifacts());
    Ok(Kept::new(made, entry, Open { shelves, granted_bytes, key, together }, cache))
}

/// Writes and syncs one file; `files` tells which ones may be there, whatever comes of it.
fn shelve(disk: &DiskTier, picture: Picture, files: &mut Vec<ArtifactRow>) -> Result<Shelf, CacheError> {
    let (digest, size_bytes) = picture.body.identity();
    let row = new_row(digest, size_bytes, &picture);
    files.push(row.clone());
    let (stamp, bytes) = disk.write(&row, picture.body)?;
    let held = bytes.map(|mut bytes| {
        bytes.shrink_to_fit();
        (bytes, picture.reservation)
    });
    Ok(Shelf { row, stamp, held })
}

/// Removes the files that no row names.
async fn discard(store: Store, disk: DiskTier, gate: Arc<RwLock<()>>, files: Vec<ArtifactRow>) {
    let _alone = gate.write_owned().await;
    let without_row = store.read(move |connection| {
        let mut without_row = Vec::new();
        for file in files {
            let row = store::artifact(connection, file.digest)?;
            if row.is_none_or(|row| row.extension != file.extension) {
                without_row.push(file);
            }
        }
        Ok(without_row)
    });
    // If the journal cannot tell, they stay, and are strays for the next verification.
    if let Ok(files) = without_row.await {
        let _ = on_thread(disk.artifacts().to_owned(), move || disk.remove(&files)).await;
    }
}

/// Runs what blocks on a thread that may; one that panics is an error of the directory.
async fn on_thread<T: Send + 'static>(
    artifacts: PathBuf,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CacheError> {
    let lost = |error| CacheError::File { path: artifacts, source: Arc::new(io::Error::other(error)) };
    tokio::task::spawn_blocking(work).await.map_err(lost)
}
