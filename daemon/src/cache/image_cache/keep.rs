//! Keeping what was made: hash, make room, write and sync the files, commit the rows, and only then remember and answer.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
    sync::Arc,
};

use actix::{fut, prelude::*};
use reel_protocol::{Digest, Timestamp};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::ImageCache;
use crate::{
    cache::{
        Body, CacheError, FindRoom, KeepMade, Key, Made, disk_tier::DiskTier, index::Shelved,
        memory_tier::Item, verified::Stamp,
    },
    memory::Reservation,
    provider::Picture,
    store::{self, ArtifactRow, Entry, Store, StoreError},
    tasks::MakeRoom,
};

/// How often the history is asked to give way for one result: what it lets go may be protected for a minute as it was just used.
const PRUNES: u32 = 8;

/// Pictures with the rows that they have, or will have.
struct Hashed {
    pictures: Vec<(ArtifactRow, Picture)>,
    /// Of those that the journal does not have.
    new_bytes: u64,
}

/// What a commit added.
#[derive(Default)]
struct Added {
    artifacts: u64,
    bytes: u64,
    entries: u64,
}

/// A picture that is safe on disk.
struct Shelf {
    row: ArtifactRow,
    stamp: Stamp,
    /// What is still in memory of it, and its share of the budget.
    held: Option<(Vec<u8>, Option<Reservation>)>,
}

/// Pictures that are safe on disk.
struct Written {
    pictures: Vec<Shelf>,
    entry: Entry,
    added: Added,
    /// Held until the actor has followed, so that nobody removes the files in between.
    _together: OwnedRwLockReadGuard<()>,
}

/// What a writer needs of the actor and of the message.
struct Writer {
    disk: DiskTier,
    store: Store,
    gate: Arc<RwLock<()>>,
    key: Option<Key>,
    provider: String,
    model: Option<String>,
}

impl ImageCache {
    pub(super) fn keep(&mut self, msg: KeepMade) -> ResponseActFuture<Self, Result<Made, CacheError>> {
        let KeepMade { key, provider, model, pictures, make_room } = msg;
        let writer = Writer {
            disk: self.disk.clone(),
            store: self.store.clone(),
            gate: Arc::clone(&self.gate),
            // An entry without a picture has no row that could name it.
            key: key.filter(|_| !pictures.is_empty()),
            provider,
            model,
        };
        let hashed = hash(self.store.clone(), self.disk.artifacts().to_owned(), pictures);
        Box::pin(hashed.into_actor(self).then(|hashed, actor, _| match hashed {
            Ok(hashed) => actor.make_room_and_write(writer, hashed, make_room),
            Err(error) => Box::pin(fut::ready(Err(error))),
        }))
    }

    fn make_room_and_write(
        &mut self,
        writer: Writer,
        hashed: Hashed,
        make_room: Option<Recipient<MakeRoom>>,
    ) -> ResponseActFuture<Self, Result<Made, CacheError>> {
        hashed.pictures.iter().for_each(|(row, _)| self.touch(row.digest));
        let new_bytes = hashed.new_bytes;
        Box::pin(self.make_room_of(new_bytes, make_room, PRUNES).then(move |room, actor, _| {
            let key = writer.key;
            let written = async move {
                room?;
                Ok(write(writer, hashed.pictures).await)
            };
            written.into_actor(actor).map(move |written: Result<_, CacheError>, actor, _| {
                // Room that was refused was not granted, and is not given back.
                let written = written?;
                actor.pending_bytes = actor.pending_bytes.saturating_sub(new_bytes);
                Ok(actor.follow(key, written?))
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

    fn follow(&mut self, key: Option<Key>, written: Written) -> Made {
        let Written { pictures, entry, added, .. } = written;
        self.stats.artifacts += added.artifacts;
        self.stats.disk_bytes += added.bytes;
        self.stats.entries += added.entries;
        for Shelf { row, stamp, held } in pictures {
            self.verified.put(row.digest, stamp);
            self.touch(row.digest);
            if let Some((bytes, reservation)) = held {
                // Given back first: the bytes change their holder, they do not double.
                drop(reservation);
                self.hold(row, bytes);
            }
        }
        let shelved = Arc::new(Shelved::new(entry, self.disk.artifacts()));
        if let Some(key) = key {
            self.index.put_written(key, Arc::clone(&shelved));
        }
        shelved.made.clone()
    }

    fn hold(&mut self, row: ArtifactRow, bytes: Vec<u8>) {
        if let Some(reservation) = self.memory.reserve(&self.budget, row.size_bytes) {
            let item = Item { bytes: Arc::new(bytes), media_type: row.media_type, reservation };
            self.memory.insert(row.digest, item);
        }
    }
}

async fn hash(store: Store, artifacts: PathBuf, pictures: Vec<Picture>) -> Result<Hashed, CacheError> {
    let needs_thread = pictures.iter().any(|picture| matches!(picture.body, Body::Held(_)));
    let hash = move || {
        let hashed = pictures.into_iter().map(|mut picture| {
            if let Body::Held(bytes) = &mut picture.body {
                bytes.shrink_to_fit();
            }
            (picture.body.identity(), picture)
        });
        hashed.collect::<Vec<_>>()
    };
    // What was spooled was hashed on its way.
    let pictures = if needs_thread { on_thread(artifacts, hash).await? } else { hash() };
    let digests: HashSet<Digest> = pictures.iter().map(|((digest, _), _)| *digest).collect();
    let known = store.read(move |connection| {
        let rows = digests.into_iter().map(|digest| store::artifact(connection, digest));
        rows.filter_map(Result::transpose).collect::<Result<Vec<ArtifactRow>, StoreError>>()
    });
    let mut rows: HashMap<Digest, ArtifactRow> =
        known.await?.into_iter().map(|row| (row.digest, row)).collect();
    let mut new_bytes = 0;
    let with_row = |((digest, size_bytes), picture): ((Digest, u64), Picture)| {
        // What the journal has stays as it is: other tasks show it so.
        let row = rows.entry(digest).or_insert_with(|| {
            new_bytes += size_bytes;
            new_row(digest, size_bytes, &picture)
        });
        (row.clone(), picture)
    };
    let pictures = pictures.into_iter().map(with_row).collect();
    Ok(Hashed { pictures, new_bytes })
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

async fn write(writer: Writer, pictures: Vec<(ArtifactRow, Picture)>) -> Result<Written, CacheError> {
    let (disk, store, gate) = (writer.disk.clone(), writer.store.clone(), Arc::clone(&writer.gate));
    let rows = pictures.iter().map(|(row, _)| row.clone()).collect();
    let written = write_and_commit(writer, pictures).await;
    if written.is_err() {
        discard(store, disk, gate, rows).await;
    }
    written
}

/// Removes the files that came before a failure: on a disk that is full they would only make it worse.
async fn discard(store: Store, disk: DiskTier, gate: Arc<RwLock<()>>, rows: Vec<ArtifactRow>) {
    let _alone = gate.write_owned().await;
    let without_row = store.read(move |connection| {
        let mut without_row = Vec::new();
        for row in rows {
            if store::artifact(connection, row.digest)?.is_none() {
                without_row.push(row);
            }
        }
        Ok(without_row)
    });
    // If the journal cannot tell, they stay, and are strays for the next verification.
    if let Ok(rows) = without_row.await {
        let _ = on_thread(disk.artifacts().to_owned(), move || disk.remove(&rows)).await;
    }
}

async fn write_and_commit(
    writer: Writer,
    pictures: Vec<(ArtifactRow, Picture)>,
) -> Result<Written, CacheError> {
    let Writer { disk, store, gate, key, provider, model } = writer;
    let together = gate.read_owned().await;
    let artifacts = disk.artifacts().to_owned();
    let shelve = move |(row, Picture { body, reservation, .. }): (ArtifactRow, Picture)| {
        let (stamp, bytes) = disk.write(&row, body)?;
        Ok(Shelf { row, stamp, held: bytes.map(|bytes| (bytes, reservation)) })
    };
    let write = move || pictures.into_iter().map(shelve).collect::<Result<Vec<Shelf>, CacheError>>();
    let pictures = on_thread(artifacts, write).await??;
    let made = Timestamp::now();
    let rows = pictures.iter().map(|shelf| shelf.row.clone()).collect();
    let entry = Entry { artifacts: rows, provider, model, made };
    let committed = entry.clone();
    let added = store
        .write(move |connection| {
            let mut added = Added::default();
            for row in &committed.artifacts {
                if store::artifact(connection, row.digest)?.is_none() {
                    added.artifacts += 1;
                    added.bytes += row.size_bytes;
                }
                store::insert_artifact(connection, row, made)?;
            }
            if let Some(key) = key {
                added.entries = u64::from(!store::has_entry(connection, &key)?);
                store::insert_entry(connection, &key, &committed)?;
            }
            Ok(added)
        })
        .await?;
    Ok(Written { pictures, entry, added, _together: together })
}

/// Runs what blocks on a thread that may; one that panics is an error of the directory.
async fn on_thread<T: Send + 'static>(
    artifacts: PathBuf,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CacheError> {
    let lost = |error| CacheError::File { path: artifacts, source: Arc::new(io::Error::other(error)) };
    tokio::task::spawn_blocking(work).await.map_err(lost)
}
