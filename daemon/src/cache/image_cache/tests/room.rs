//! Tests of the cap of the disk tier: what is evicted, what stays, and what is refused.

use super::*;
use crate::cache::MakeRoom;

const SMALL: SetCacheLimits = SetCacheLimits { memory_bytes: MIB, max_item_bytes: MIB, disk_bytes: 1_000 };

#[actix::test]
async fn the_least_recently_used_leave_for_the_new_one() {
    let mut home = Home::new();
    let (_, mut events) = home.events.listen();
    let cache = home.start(SMALL);
    let made = home.keep_in_turn(&cache, 1..=3).await;
    assert!(look_up(&cache, 1).await.is_some());
    a_minute_later().await;
    home.wait_for_last_used(made[0].outputs[0].digest).await;
    home.keep(&cache, 4, 300).await.unwrap();
    assert_eq!(made.iter().map(exists).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(look_up(&cache, 2).await, None);
    assert!(look_up(&cache, 1).await.is_some() && look_up(&cache, 4).await.is_some());
    assert_eq!(events.next().await.unwrap().event, "evicted");
    let after = stats(&cache).await;
    assert_eq!((after.evictions, after.artifacts, after.disk_bytes, after.corrupt), (1, 3, 900, 0));
}

#[actix::test]
async fn what_a_task_names_stays_and_a_full_store_refuses_with_numbers() {
    let mut home = Home::new();
    let cache = home.start(SMALL);
    let made = home.keep_in_turn(&cache, 1..=3).await;
    home.pin(made[0].outputs[0].digest).await;
    home.pin_also(made[1].outputs[0].digest).await;
    a_minute_later().await;
    let refused = home.keep(&cache, 4, 600).await.unwrap_err();
    let CacheError::Full { held_bytes, limit_bytes, needed_bytes } = refused else { panic!("{refused}") };
    assert_eq!((held_bytes, limit_bytes, needed_bytes), (900, 1_000, 600));
    assert!(made.iter().all(exists), "nothing leaves for what does not fit anyway");
    home.keep(&cache, 4, 400).await.unwrap();
    assert_eq!(made.iter().map(exists).collect::<Vec<_>>(), [true, true, false]);
    let too_large = home.keep(&cache, 5, 1_001).await;
    assert!(matches!(too_large, Err(CacheError::Full { .. })));
    assert_eq!((stats(&cache).await.disk_bytes, home.strays("tmp")), (1_000, 0));
}

/// A fake history, in which every task can be pruned.
struct History(Store);

impl Actor for History {
    type Context = Context<Self>;
}

impl Handler<MakeRoom> for History {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, MakeRoom { bytes }: MakeRoom, _: &mut Self::Context) -> Self::Result {
        let dropped = self.0.write(|connection| Ok(connection.execute("DELETE FROM outputs", [])?));
        Box::pin(async move { if dropped.await.unwrap() > 0 { bytes } else { 0 } })
    }
}

#[actix::test]
async fn a_result_that_was_made_is_not_lost_because_old_tasks_name_all_that_could_leave() {
    let mut home = Home::new();
    let cache = home.start(SMALL);
    let made = home.keep_in_turn(&cache, 1..=2).await;
    home.pin(made[0].outputs[0].digest).await;
    home.pin_also(made[1].outputs[0].digest).await;
    a_minute_later().await;
    let make_room = Some(History(home.store.clone()).start().recipient());
    let asked = |key, size| KeepMade {
        notes: Vec::new(),
        make_room: make_room.clone(),
        ..keep_all(Some(key), vec![picture(key, size)])
    };
    home.keep_this(&cache, asked(4, 700)).await.unwrap();
    assert!(!exists(&made[0]));
    let refused = home.keep_this(&cache, asked(5, 900)).await;
    assert!(
        matches!(refused, Err(CacheError::Full { .. })),
        "what was just used stays, and nothing is asked for ever"
    );
}

impl Home {
    async fn pin_also(&self, digest: Digest) {
        let pin = self.store.write(move |connection| {
            let sql = "INSERT INTO outputs (task, position, digest) VALUES (2, 0, ?)";
            connection.execute(sql, [digest.as_bytes()]).map_err(StoreError::from)
        });
        pin.await.unwrap();
    }

    /// Waits until the timer has written that this artifact was used last.
    async fn wait_for_last_used(&self, digest: Digest) {
        let wait = async {
            loop {
                let last = self.store.read(|connection| {
                    let sql = "SELECT digest FROM artifacts ORDER BY used_ms DESC LIMIT 1";
                    Ok(Digest::from_bytes(connection.query_row(sql, [], |row| row.get(0))?))
                });
                if last.await.unwrap() == digest {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
    }
}

#[actix::test]
async fn what_was_just_answered_is_not_evicted_before_a_task_can_name_it() {
    let mut home = Home::new();
    let cache = home.start(SMALL);
    let made = home.keep_in_turn(&cache, 1..=3).await;
    assert!(matches!(home.keep(&cache, 4, 300).await, Err(CacheError::Full { .. })));
    a_minute_later().await;
    assert!(look_up(&cache, 1).await.is_some());
    assert!(cache.send(FindArtifact(made[1].outputs[0].digest)).await.unwrap().is_ok());
    home.keep(&cache, 4, 300).await.unwrap();
    assert_eq!(made.iter().map(exists).collect::<Vec<_>>(), [true, true, false]);
}

#[actix::test]
async fn many_that_are_kept_at_once_never_pass_the_cap() {
    let mut home = Home::new();
    let cache = home.start(SMALL);
    let kept = futures_join((1..=20).map(|key| home.keep(&cache, key, 300)).collect()).await;
    assert_eq!(kept.iter().filter(|kept| kept.is_ok()).count(), 3);
    assert_eq!(stats(&cache).await.disk_bytes, 900);
    a_minute_later().await;
    let kept = futures_join((21..=40).map(|key| home.keep(&cache, key, 300)).collect()).await;
    assert_eq!(kept.iter().filter(|kept| kept.is_ok()).count(), 3);
    assert_eq!((stats(&cache).await.disk_bytes, stats(&cache).await.evictions), (900, 3));
}

#[actix::test]
async fn what_is_there_already_needs_no_room() {
    let mut home = Home::new();
    let cache = home.start(SMALL);
    home.keep(&cache, 1, 1_000).await.unwrap();
    let again = home.keep_this(&cache, keep_all(Some(2), vec![picture(1, 1_000)])).await.unwrap();
    assert_eq!(look_up(&cache, 2).await, Some(again));
}

#[actix::test]
async fn a_failed_write_leaves_no_file_and_takes_no_room() {
    let mut home = Home::new();
    let cache = home.start(SMALL);
    let kept = home.keep(&cache, 1, 400).await.unwrap();
    let blocked = Digest::from_bytes(*blake3::hash(&[3; 300]).as_bytes()).to_string();
    let in_its_place = home.artifacts().join(&blocked[..2]);
    std::fs::remove_dir(&in_its_place).unwrap();
    std::fs::write(&in_its_place, b"no directory").unwrap();
    let pictures = || vec![picture(1, 400), picture(2, 300), picture(3, 300)];
    let failed = home.keep_this(&cache, keep_all(Some(2), pictures())).await;
    assert!(matches!(failed, Err(CacheError::File { .. })));
    let other = Digest::from_bytes(*blake3::hash(&[2; 300]).as_bytes()).to_string();
    assert!(!home.artifacts().join(&other[..2]).join(format!("{other}.png")).exists());
    assert!(exists(&kept) && home.strays("tmp") == 0);
    assert_eq!((look_up(&cache, 2).await, stats(&cache).await.disk_bytes), (None, 400));
    std::fs::remove_file(in_its_place).unwrap();
    assert!(home.keep_this(&cache, keep_all(Some(2), pictures())).await.is_ok());
}

#[actix::test]
async fn clearing_leaves_what_tasks_name() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep_in_turn(&cache, 1..=3).await;
    home.pin(made[1].outputs[0].digest).await;
    let held = stats(&cache).await.memory_bytes;
    let memory_only = cache.send(ClearCache { is_memory_only: true }).await.unwrap().unwrap();
    assert_eq!(memory_only, CacheClearResult { freed_bytes: held, ..CacheClearResult::default() });
    assert!(look_up(&cache, 1).await.is_some());
    a_minute_later().await;
    let cleared = cache.send(ClearCache { is_memory_only: false }).await.unwrap().unwrap();
    assert_eq!(cleared, CacheClearResult { entries: 3, artifacts: 2, freed_bytes: 600, pinned: 1 });
    assert_eq!(made.iter().map(exists).collect::<Vec<_>>(), [false, true, false]);
    for key in 1..=3 {
        assert_eq!(look_up(&cache, key).await, None);
    }
    assert!(read(&cache, made[1].outputs[0].digest, 0, 10).await.is_ok());
    let after = stats(&cache).await;
    assert_eq!((after.entries, after.artifacts, after.evictions, after.corrupt), (0, 1, 0, 0));
}

#[actix::test]
async fn more_than_a_page_is_cleared() {
    let mut home = Home::new();
    let cache = home.start_wide();
    for first in [0_u64, 200] {
        let pictures = (first..first + 200).map(|number| {
            let bytes = number.to_le_bytes().to_vec();
            NewArtifact { body: crate::cache::Body::Held(bytes), ..picture(0, 0) }
        });
        home.keep_this(&cache, keep_all(Some(first as u8), pictures.collect())).await.unwrap();
    }
    a_minute_later().await;
    let cleared = cache.send(ClearCache { is_memory_only: false }).await.unwrap().unwrap();
    assert_eq!((cleared.entries, cleared.artifacts, cleared.pinned), (2, 400, 0));
}

#[actix::test]
async fn a_result_whose_rows_are_not_committed_leaves_no_file_and_takes_no_room() {
    let mut home = Home::new();
    let cache = home.start(SetCacheLimits { memory_bytes: 0, max_item_bytes: 0, disk_bytes: 500 });
    let kept = home.keep(&cache, 1, 300).await.unwrap();
    let given_up = cache.send(keep_all(Some(2), vec![picture(2, 150)])).await.unwrap().unwrap();
    let path = PathBuf::from(&given_up.made.outputs[0].path);
    assert!(path.exists());
    drop(given_up);
    // The cache removes files only while nobody writes any, so this waits for nothing else than the removal.
    let removed = async {
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), removed).await.unwrap();
    assert!(exists(&kept) && look_up(&cache, 2).await.is_none());
    home.keep(&cache, 3, 200).await.unwrap();
    assert!(exists(&kept), "the room came back, so nothing was evicted");
}
