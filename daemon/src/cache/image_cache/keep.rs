//! Stores results: makes room, writes the files, and records them once the caller has committed the rows.

use std::{collections::HashSet, io, path::PathBuf, sync::Arc};

use actix::{fut, prelude::*};
use reel_protocol::{Digest, TaskNote, Timestamp};
use tokio::{sync::RwLock, time::Instant};

use super::ImageCache;
use crate::{
    cache::{
        CacheError, FindRoom, KeepMade, Kept, Key, Made, MakeRoom, NewArtifact, Settle,
        cap::Granted,
        disk_tier::DiskTier,
        kept::{Unsettled, Written, WrittenFile},
        memory_tier::Item,
        write_files::{WriteOutcome, write_all},
    },
    store::{self, ArtifactRow, Entry, Store},
};

/// Most prunes of the history for one result. Artifacts that a prune unpins may be protected for a minute because they were just used.
const PRUNES: u32 = 8;

/// What writing the files of a [`KeepMade`] takes from the actor and from the message.
struct Writer {
    disk: DiskTier,
    store: Store,
    files_lock: Arc<RwLock<()>>,
    cache: Recipient<Settle>,
    fields: EntryFields,
}

/// What the entry says about the results, beside the files.
struct EntryFields {
    key: Option<Key>,
    provider: String,
    model: Option<String>,
    notes: Vec<TaskNote>,
    artifacts: PathBuf,
}

impl EntryFields {
    fn kept(self, mut unsettled: Unsettled, cache: Recipient<Settle>) -> Kept {
        let Self { key, provider, model, notes, artifacts } = self;
        let rows = unsettled.written_files.iter().map(|file| file.row.clone()).collect();
        let entry = Entry { artifacts: rows, provider, model, made: Timestamp::now(), notes };
        // An entry without an artifact would have no row, so it gets no key.
        unsettled.key = key.filter(|_| !entry.artifacts.is_empty());
        Kept::new(Made::of(&entry, &artifacts), entry, unsettled, cache)
    }
}

impl ImageCache {
    pub(super) fn keep(
        &mut self,
        msg: KeepMade,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Result<Kept, CacheError>> {
        let KeepMade { key, provider, model, artifacts: new_artifacts, notes, make_room } = msg;
        let fields = EntryFields { key, provider, model, notes, artifacts: self.disk.artifacts().to_owned() };
        let writer = Writer {
            disk: self.disk.clone(),
            store: self.store.clone(),
            files_lock: Arc::clone(&self.files_lock),
            cache: ctx.address().recipient(),
            fields,
        };
        let most_bytes = new_artifacts.iter().map(|artifact| artifact.body.size_bytes()).sum();
        if self.cap.excess_bytes(most_bytes) == 0 {
            return self.make_room_and_write(writer, new_artifacts, most_bytes, make_room);
        }
        // Artifacts that the store has already need no room, which matters at the cap.
        let counted = count_new(self.store.clone(), self.disk.artifacts().to_owned(), new_artifacts);
        Box::pin(counted.into_actor(self).then(|counted, actor, _| match counted {
            Ok((new_artifacts, new_bytes, known)) => {
                for digest in known {
                    actor.touch(digest);
                }
                actor.make_room_and_write(writer, new_artifacts, new_bytes, make_room)
            }
            Err(error) => Box::pin(fut::ready(Err(error))),
        }))
    }

    fn make_room_and_write(
        &mut self,
        writer: Writer,
        new_artifacts: Vec<NewArtifact>,
        new_bytes: u64,
        make_room: Option<Recipient<MakeRoom>>,
    ) -> ResponseActFuture<Self, Result<Kept, CacheError>> {
        Box::pin(self.make_room_of(new_bytes, make_room, PRUNES).then(move |room, actor, _| {
            async move { write(writer, new_artifacts, room?).await }.into_actor(actor)
        }))
    }

    /// Checks whether there is room. None is reserved, because the size of the results is not known yet.
    pub(super) fn find_room(&mut self, msg: FindRoom) -> ResponseActFuture<Self, Result<(), CacheError>> {
        let FindRoom { bytes, make_room } = msg;
        Box::pin(self.make_room_of(bytes, make_room, PRUNES).map(|room, _, _| room.map(drop)))
    }

    /// Reserves room like [`ImageCache::make_room`]. If the tasks of the history name every artifact that could be evicted, it prunes the history and
    /// tries again, at most `prunes` times.
    fn make_room_of(
        &mut self,
        new_bytes: u64,
        history: Option<Recipient<MakeRoom>>,
        prunes: u32,
    ) -> ResponseActFuture<Self, Result<Granted, CacheError>> {
        let is_possible = new_bytes <= self.cap.limit_bytes();
        Box::pin(self.make_room(new_bytes).then(move |room, actor, _| -> ResponseActFuture<Self, _> {
            let (Err(CacheError::Full { .. }), Some(history)) =
                (&room, history.filter(|_| is_possible && prunes > 0))
            else {
                return Box::pin(fut::ready(room));
            };
            let pruned = history.send(MakeRoom { bytes: actor.cap.excess_bytes(new_bytes) });
            Box::pin(pruned.into_actor(actor).then(move |unpinned, actor, _| -> ResponseActFuture<Self, _> {
                match unpinned {
                    Ok(1..) => actor.make_room_of(new_bytes, Some(history), prunes - 1),
                    _ => Box::pin(fut::ready(room)),
                }
            }))
        }))
    }

    /// Handles the end of a [`Kept`] result: its rows were committed, or its files are not needed.
    pub(super) fn settle(&mut self, Settle { unsettled, written }: Settle) {
        let Unsettled { written_files, files, granted, key, shared_lock } = unsettled;
        let is_stray = match &written {
            None => true,
            Some(written) => written.entry.artifacts.iter().zip(&files).any(|(row, file)| row != file),
        };
        if let Some(written) = written {
            self.follow(key, written_files, written);
        }
        // The reservation is released after the files are counted. Otherwise another thread could reserve the same room in between.
        drop(granted);
        // The lock is released only here, so that nobody removes files whose rows are not visible to others yet.
        drop(shared_lock);
        if is_stray {
            tokio::spawn(discard(self.store.clone(), self.disk.clone(), Arc::clone(&self.files_lock), files));
        }
    }

    fn follow(&mut self, key: Option<Key>, written_files: Vec<WrittenFile>, written: Written) {
        let Written { entry, added } = written;
        self.stats.artifacts += added.artifacts;
        self.cap.add(added.bytes);
        self.stats.entries += added.entries;
        for (WrittenFile { row: file, stamp, held }, row) in written_files.into_iter().zip(&entry.artifacts) {
            self.tables.recent.protect(row.digest, Instant::now());
            if file.extension != row.extension {
                continue;
            }
            self.tables.verified.put(row.digest, stamp);
            if let Some((bytes, reservation)) = held {
                // The former reservation is released first, because the bytes are moved and not copied.
                drop(reservation);
                self.hold(row.clone(), bytes);
            }
        }
        if let Some(key) = key {
            let made = Arc::new(Made::of(&entry, self.disk.artifacts()));
            self.tables.index.put_written(key, made);
        }
    }

    fn hold(&mut self, row: ArtifactRow, bytes: Vec<u8>) {
        if let Some(reservation) = self.memory.reserve(&self.budget, row.size_bytes) {
            let item = Item { bytes: Arc::new(bytes), media_type: row.media_type, reservation };
            self.memory.insert(row.digest, item);
        }
    }
}

/// Returns the artifacts, the total size of those that the journal does not have, and the digests of the others.
async fn count_new(
    store: Store,
    artifacts: PathBuf,
    new_artifacts: Vec<NewArtifact>,
) -> Result<(Vec<NewArtifact>, u64, Vec<Digest>), CacheError> {
    let hash = move || {
        let identities = new_artifacts.iter().map(|artifact| artifact.body.identity()).collect::<Vec<_>>();
        (new_artifacts, identities)
    };
    let (new_artifacts, identities) = on_thread(artifacts, hash).await?;
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
    Ok((new_artifacts, new_bytes, known))
}

/// Writes the files. If one of them cannot be written, all are removed again: on a full disk they would only make it worse.
async fn write(
    writer: Writer,
    new_artifacts: Vec<NewArtifact>,
    granted: Granted,
) -> Result<Kept, CacheError> {
    let Writer { disk, store, files_lock, cache, fields } = writer;
    let shared_lock = Arc::clone(&files_lock).read_owned().await;
    let writer = disk.clone();
    let outcome = on_thread(disk.artifacts().to_owned(), move || write_all(&writer, new_artifacts));
    let WriteOutcome { written_files, files, error } = outcome.await?;
    if let Some(error) = error {
        drop(shared_lock);
        discard(store, disk, files_lock, files).await;
        return Err(error);
    }
    let unsettled = Unsettled { written_files, files, granted, key: None, shared_lock };
    Ok(fields.kept(unsettled, cache))
}

/// Removes those of the files that no row names.
async fn discard(store: Store, disk: DiskTier, files_lock: Arc<RwLock<()>>, files: Vec<ArtifactRow>) {
    let _exclusive_lock = files_lock.write_owned().await;
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
    // If the journal cannot be read, the files stay, and the next verification removes them as strays.
    if let Ok(files) = without_row.await {
        let _ = on_thread(disk.artifacts().to_owned(), move || disk.remove(&files)).await;
    }
}

/// Runs blocking work on a thread that may block. A panic becomes an error about the directory.
async fn on_thread<T: Send + 'static>(
    artifacts: PathBuf,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CacheError> {
    let lost = |error| CacheError::File { path: artifacts, source: Arc::new(io::Error::other(error)) };
    tokio::task::spawn_blocking(work).await.map_err(lost)
}
