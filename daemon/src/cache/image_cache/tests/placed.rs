//! Tests with pictures that were written on the thread that made them.

use super::*;
use crate::cache::{Body, Fresh};

/// Writes the pictures like a provider's thread.
async fn shelve(home: &Home, pictures: Vec<NewArtifact>) -> Fresh {
    let shelver = home.shelver.clone().unwrap();
    tokio::task::spawn_blocking(move || shelver.shelve_now(pictures)).await.unwrap()
}

fn keep_fresh(key: u8, pictures: Fresh) -> KeepMade {
    KeepMade { pictures, ..keep_all(Some(key), Vec::new()) }
}

async fn eventually(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

/// Counts the files of the store that are named after their digests.
fn named(home: &Home) -> usize {
    (0..=u8::MAX).map(|byte| home.strays(&format!("{byte:02x}"))).sum()
}

#[actix::test]
async fn what_was_placed_is_kept_as_it_is() {
    let mut home = Home::new();
    let cache = home.start_wide();
    stats(&cache).await;
    let fresh = shelve(&home, vec![picture(1, 100), picture(2, 200)]).await;
    assert!(matches!(fresh, Fresh::Written(_)), "{fresh:?}");
    assert_eq!(named(&home), 2, "the files have their names before anybody is told");
    let made = home.keep_this(&cache, keep_fresh(7, fresh)).await.unwrap();
    assert_eq!(made.outputs.iter().map(|output| output.size_bytes).collect::<Vec<_>>(), [100, 200]);
    assert_eq!(look_up(&cache, 7).await, Some(made));
    let after = stats(&cache).await;
    assert_eq!((after.entries, after.artifacts, after.disk_bytes), (1, 2, 300));
    assert!(after.memory_bytes >= 300, "their bytes were in memory, and stay there");
    assert_eq!(home.hashed.load(Relaxed), 0, "what was written here is verified");
}

#[actix::test]
async fn what_nobody_keeps_goes_and_takes_no_room() {
    let mut home = Home::new();
    let cache = home.start(SetCacheLimits { memory_bytes: 0, max_item_bytes: 0, disk_bytes: 500 });
    stats(&cache).await;
    let kept = home.keep(&cache, 1, 300).await.unwrap();
    // A row names this picture already.
    let fresh = shelve(&home, vec![picture(1, 300)]).await;
    assert!(matches!(fresh, Fresh::Pictures(_)), "at the cap the cache is asked: {fresh:?}");
    let fresh = shelve(&home, vec![picture(2, 150)]).await;
    assert_eq!(named(&home), 2);
    let second = shelve(&home, vec![picture(3, 100)]).await;
    assert!(matches!(second, Fresh::Pictures(_)), "the room was granted before: {second:?}");
    drop(fresh);
    eventually(|| named(&home) == 1).await;
    assert!(exists(&kept));
    let fresh = shelve(&home, vec![picture(3, 100)]).await;
    assert!(matches!(fresh, Fresh::Written(_)), "the room came back: {fresh:?}");
}

#[actix::test]
async fn a_thread_does_not_wait_for_those_who_remove_files() {
    let mut home = Home::new();
    let cache = home.start_wide();
    stats(&cache).await;
    let files_lock = Arc::clone(&home.shelver.as_ref().unwrap().files_lock);
    let exclusive_lock = files_lock.write_owned().await;
    let fresh = shelve(&home, vec![picture(1, 100)]).await;
    assert!(matches!(&fresh, Fresh::Pictures(pictures) if pictures.len() == 1), "{fresh:?}");
    drop(exclusive_lock);
    home.keep_this(&cache, keep_fresh(1, fresh)).await.unwrap();
}

#[actix::test]
async fn what_could_not_be_written_is_an_error_and_leaves_nothing() {
    let mut home = Home::new();
    let cache = home.start_wide();
    stats(&cache).await;
    let good = shelve(&home, vec![picture(1, 100)]).await;
    home.keep_this(&cache, keep_fresh(1, good)).await.unwrap();
    let bytes = vec![2; 100];
    let digest = crate::cache::disk_tier::digest_of(&bytes).to_string();
    // A file is at the path of the second picture's directory.
    let directory = home.artifacts().join(&digest[..2]);
    std::fs::remove_dir(&directory).unwrap();
    std::fs::write(&directory, "in the way").unwrap();
    let second = NewArtifact { body: Body::Held(bytes), ..picture(0, 0) };
    let fresh = shelve(&home, vec![picture(3, 100), second]).await;
    assert!(matches!(&fresh, Fresh::Failed(CacheError::File { .. })), "{fresh:?}");
    let refused = home.keep_this(&cache, keep_fresh(2, fresh)).await;
    assert!(matches!(refused, Err(CacheError::File { .. })), "{refused:?}");
    // The first picture is removed again, and the kept one stays.
    eventually(|| named(&home) == 1).await;
}

#[actix::test]
async fn room_that_a_result_takes_is_granted_to_nobody_while_it_settles() {
    const RESULTS: u64 = 200;
    let mut home = Home::new();
    let cache =
        home.start(SetCacheLimits { memory_bytes: 0, max_item_bytes: 0, disk_bytes: RESULTS * 8 + 100 });
    stats(&cache).await;
    let mut kept = Vec::new();
    for number in 0..RESULTS {
        let body = Body::Held(number.to_le_bytes().to_vec());
        let fresh = shelve(&home, vec![NewArtifact { body, ..picture(0, 0) }]).await;
        kept.push(cache.send(KeepMade { key: None, ..keep_fresh(0, fresh) }).await.unwrap().unwrap());
    }
    let rows: Vec<_> = kept.iter().map(|kept| kept.rows.clone()).collect();
    let written = home
        .store
        .write(move |connection| {
            rows.iter().map(|rows| rows.write(connection)).collect::<Result<Vec<_>, _>>()
        })
        .await
        .unwrap();
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (cap, is_told) = (home.shelver.as_ref().unwrap().cap.clone(), Arc::clone(&is_over));
    let other = std::thread::spawn(move || {
        let mut granted = 0;
        while !is_told.load(Relaxed) {
            granted += u64::from(cap.grant(101).is_ok());
        }
        granted
    });
    for (kept, written) in kept.into_iter().zip(written) {
        kept.settle(written);
    }
    let held_bytes = stats(&cache).await.disk_bytes;
    is_over.store(true, Relaxed);
    assert_eq!((other.join().unwrap(), held_bytes), (0, RESULTS * 8), "there was no room at any time");
}
