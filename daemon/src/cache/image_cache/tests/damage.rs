//! Tests with files that are changed, cut or missing, and with files that no row names.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use reel_protocol::methods::Topic;

use super::*;

/// Ways to damage a file: flip a bit, cut it, remove it.
const DAMAGES: [fn(&str); 3] = [
    |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[50] ^= 1;
        fs::write(path, bytes).unwrap();
    },
    |path| fs::write(path, b"cut").unwrap(),
    |path| fs::remove_file(path).unwrap(),
];

#[actix::test]
async fn a_damaged_file_is_a_miss_and_can_be_kept_again() {
    for (number, damage) in DAMAGES.into_iter().enumerate() {
        let mut home = Home::new();
        let (_, mut events) = home.events.listen();
        let cache = home.start_wide();
        let made = home.keep(&cache, 1, 100).await.unwrap();
        let path = made.outputs[0].path.as_str();
        damage(path);
        assert_eq!(look_up(&cache, 1).await, None, "damage {number}");
        let event = events.next().await.unwrap();
        assert_eq!((event.topic, event.event), (Topic::Cache, "corrupt"));
        let after = stats(&cache).await;
        assert_eq!((after.corrupt, after.entries, after.artifacts, after.disk_bytes), (1, 0, 0, 0));
        assert_eq!(after.memory_bytes, 0);
        assert_eq!(home.strays("damaged"), usize::from(number < 2), "set aside, not deleted");
        let again = home.keep(&cache, 1, 100).await.unwrap();
        assert_eq!(look_up(&cache, 1).await, Some(again));
        assert_eq!(fs::read(path).unwrap(), [1; 100]);
    }
}

#[actix::test]
async fn a_damaged_file_is_not_read_nor_found() {
    for damage in DAMAGES {
        let mut home = Home::new();
        let cache = home.start_wide();
        let made = home.keep(&cache, 1, 100).await.unwrap();
        cache.send(ClearCache { is_memory_only: true }).await.unwrap().unwrap();
        damage(&made.outputs[0].path);
        let digest = made.outputs[0].digest;
        assert!(matches!(read(&cache, digest, 0, 9).await, Err(CacheError::NotFound(_))));
        assert!(matches!(cache.send(FindArtifact(digest)).await.unwrap(), Err(CacheError::NotFound(_))));
        assert_eq!(stats(&cache).await.corrupt, 1);
    }
}

#[actix::test]
async fn an_entry_with_one_damaged_picture_leaves_the_next_key_its_turn() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let two = home.keep_this(&cache, keep_all(Some(1), vec![picture(1, 60), picture(2, 60)])).await.unwrap();
    let other = home.keep(&cache, 3, 60).await.unwrap();
    fs::remove_file(&two.outputs[1].path).unwrap();
    let msg = LookUp { requests: vec![vec![[1; 32], [3; 32]]], is_counted: true };
    assert_eq!(cache.send(msg).await.unwrap(), [Some(other.into())]);
    let after = stats(&cache).await;
    assert_eq!((after.hits, after.misses, after.entries, after.artifacts), (1, 0, 1, 2));
    let restarted = home.start_wide();
    assert_eq!(stats(&restarted).await.entries, 1, "no row of the broken entry is left");
}

#[actix::test]
async fn keeping_over_a_damaged_file_sets_it_aside() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep(&cache, 1, 100).await.unwrap();
    DAMAGES[0](&made.outputs[0].path);
    let again = home.keep(&cache, 1, 100).await.unwrap();
    assert_eq!(fs::read(&again.outputs[0].path).unwrap(), [1; 100]);
    assert_eq!((home.strays("damaged"), stats(&cache).await.artifacts), (1, 1));
}

#[actix::test]
async fn a_file_that_only_looks_newer_is_hashed_again_and_stays() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep(&cache, 1, 100).await.unwrap();
    let file = fs::File::options().write(true).open(&made.outputs[0].path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_mins(15)).unwrap();
    assert_eq!(look_up(&cache, 1).await, Some(made.clone()));
    assert_eq!(look_up(&cache, 1).await, Some(made));
    assert_eq!(home.hashed.load(Relaxed), 1);
}

#[actix::test]
async fn verifying_drops_what_is_lost_and_removes_old_strays_only() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made: Vec<Made> = futures_join((1..=6).map(|key| home.keep(&cache, key, 100)).collect())
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    DAMAGES[0](&made[0].outputs[0].path);
    DAMAGES[2](&made[1].outputs[0].path);
    let directory = PathBuf::from(&made[2].outputs[0].path);
    let directory = directory.parent().unwrap();
    let old = SystemTime::now() - Duration::from_mins(2);
    home.was_born_long_ago().await;
    let stray = |name: &str, modified| {
        let path = directory.join(name);
        fs::write(&path, b"stray").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        path
    };
    let old_stray = stray(&format!("{}.png", Digest::from_bytes([7; 32])), old);
    let young_stray = stray(&format!("{}.png", Digest::from_bytes([8; 32])), SystemTime::now());
    let wrong_name = stray(&format!("{}.gif", made[2].outputs[0].digest), old);
    let foreign = stray("notes.txt", old);
    let result = cache.send(VerifyCache).await.unwrap().unwrap();
    let expected = CacheVerifyResult { checked: 5, checked_bytes: 500, corrupt: 1, missing: 1, strays: 2 };
    assert_eq!(result, expected);
    assert!(!old_stray.exists() && !wrong_name.exists() && young_stray.exists() && foreign.exists());
    assert_eq!((stats(&cache).await.artifacts, stats(&cache).await.entries), (4, 4));
    assert_eq!(look_up(&cache, 3).await.as_ref(), Some(&made[2]));
    assert_eq!(home.budget.usage()[5].bytes, 0);
}

#[actix::test]
async fn a_file_that_cannot_be_read_for_a_moment_is_no_miss() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep(&cache, 1, 300).await.unwrap();
    stop(cache).await;
    let (directory, aside) =
        (Path::new(&made.outputs[0].path).parent().unwrap(), home.artifacts().join("aside"));
    fs::rename(directory, &aside).unwrap();
    fs::write(directory, "in the way").unwrap();
    let cache = home.start_wide();
    let restored = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fs::remove_file(directory).unwrap();
        fs::rename(&aside, directory).unwrap();
    };
    let (found, ()) = tokio::join!(look_up(&cache, 1), restored);
    assert_eq!(found, Some(made));
}
