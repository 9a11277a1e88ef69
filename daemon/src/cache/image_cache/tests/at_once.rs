//! Tests of lookups without a message, and of what they leave to the cache.

use super::*;

#[actix::test]
async fn a_result_is_had_at_once_while_its_file_stands_as_it_was_and_counts_as_a_hit() {
    let mut home = Home::new();
    let cache = home.start_wide();
    assert_eq!(home.shelves.look_now(&[[1; 32]]), None, "nothing is known of it");
    let made = home.keep(&cache, 1, 100).await.unwrap();
    assert_eq!(home.shelves.look_now(&[[1; 32]]), Some(made.clone().into()));
    let after = stats(&cache).await;
    assert_eq!((after.hits, after.misses), (1, 0), "what is not had is the cache's to count");

    let file = std::fs::File::options().append(true).open(&made.outputs[0].path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(home.shelves.look_now(&[[1; 32]]), None, "it must be hashed first");
    assert_eq!(look_up(&cache, 1).await, Some(made.clone()));
    assert_eq!(home.shelves.look_now(&[[1; 32]]), Some(made.clone().into()));
    std::fs::remove_file(&made.outputs[0].path).unwrap();
    assert_eq!(home.shelves.look_now(&[[1; 32]]), None);
    assert_eq!((look_up(&cache, 1).await, stats(&cache).await.hits), (None, 3));
}

#[actix::test]
async fn an_earlier_key_is_passed_over_only_if_it_is_known_to_have_nothing() {
    let mut home = Home::new();
    let cache = home.start_wide();
    home.keep(&cache, 1, 100).await.unwrap();
    cache.send(ClearCache { is_memory_only: false }).await.unwrap().unwrap();
    let made = home.keep(&cache, 2, 100).await.unwrap();
    assert_eq!(home.shelves.look_now(&[[1; 32], [2; 32]]), None, "the journal may have the first again");
    assert_eq!(look_up(&cache, 1).await, None);
    assert_eq!(home.shelves.look_now(&[[1; 32], [2; 32]]), Some(made.into()));
    assert_eq!(
        home.shelves.look_now(&[[3; 32], [2; 32]]),
        None,
        "nobody has asked the journal for the third"
    );
}

#[actix::test]
async fn a_result_is_not_had_before_its_rows_are_committed() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let kept = cache.send(keep_all(Some(1), vec![picture(1, 100)])).await.unwrap().unwrap();
    assert_eq!(home.shelves.look_now(&[[1; 32]]), None);
    drop(kept);
    stats(&cache).await;
    assert_eq!(home.shelves.look_now(&[[1; 32]]), None, "it was given up");
}

#[actix::test]
async fn a_result_whose_file_is_leaving_or_whose_entry_was_dropped_is_not_had() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep(&cache, 1, 100).await.unwrap();
    let digest = made.outputs[0].digest;
    home.shelves.open().leaving.insert(digest);
    assert_eq!(home.shelves.look_now(&[[1; 32]]), None);
    home.shelves.open().leaving.remove(&digest);
    assert!(home.shelves.look_now(&[[1; 32]]).is_some());
    home.pin(digest).await;
    cache.send(ClearCache { is_memory_only: false }).await.unwrap().unwrap();
    assert!(exists(&made));
    assert_eq!(home.shelves.look_now(&[[1; 32]]), None);
}

#[actix::test]
async fn a_look_protects_from_eviction() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let made = home.keep_in_turn(&cache, 1..=2).await;
    a_minute_later().await;
    assert!(home.shelves.look_now(&[[1; 32]]).is_some());
    cache.send(ClearCache { is_memory_only: false }).await.unwrap().unwrap();
    assert_eq!(made.iter().map(exists).collect::<Vec<_>>(), [true, false]);
}
