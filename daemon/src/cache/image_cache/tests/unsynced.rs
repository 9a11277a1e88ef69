//! Small pictures, whose bytes the journal has until their files are synced.

use super::*;

/// Most bytes of a picture that the journal takes.
const SMALL: usize = 16 * 1024;

impl Home {
    /// Keeps pictures up to their commit, of which the cache is not told: as if the daemon died right after it.
    async fn keep_and_die(&mut self, key: u8, sizes: &[usize]) -> Made {
        let cache = self.start_wide();
        let pictures = sizes.iter().map(|size| picture(key, *size)).collect();
        let kept = Box::new(cache.send(keep_all(Some(key), pictures)).await.unwrap().unwrap());
        let (made, rows) = (kept.made.clone(), kept.rows.clone());
        self.store.write(move |connection| rows.write(connection)).await.unwrap();
        std::mem::forget(kept);
        made
    }
}

#[actix::test]
async fn the_journal_has_the_bytes_of_a_small_picture_until_its_file_is_synced() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let pictures = vec![picture(1, SMALL), picture(2, SMALL + 1), picture(3, 9)];
    let kept = cache.send(keep_all(Some(1), pictures)).await.unwrap().unwrap();
    let rows = kept.rows.clone();
    let written = home.store.write(move |connection| rows.write(connection)).await.unwrap();
    assert_eq!(home.in_journal().await, [SMALL as u64, 9], "a large one is synced at once");
    kept.settle(written);
    home.comes_to(&[]).await;
    assert!(look_up(&cache, 1).await.is_some());
    assert_eq!(home.hashed.load(Relaxed), 0, "it was the file that was written");
}

#[actix::test]
async fn what_a_power_loss_took_is_there_again_before_anything_is_looked_up() {
    let mut home = Home::new();
    let made = home.keep_and_die(1, &[900, SMALL]).await;
    std::fs::write(&made.outputs[0].path, "").unwrap();
    std::fs::remove_file(&made.outputs[1].path).unwrap();
    let cache = home.start_wide();
    assert_eq!(look_up(&cache, 1).await.unwrap().outputs, made.outputs);
    assert_eq!(std::fs::read(&made.outputs[0].path).unwrap(), [1; 900]);
    assert_eq!(std::fs::read(&made.outputs[1].path).unwrap(), [1; SMALL]);
    assert_eq!((home.in_journal().await, home.strays("damaged")), (vec![], 0));
}

#[actix::test]
async fn what_was_evicted_does_not_come_back() {
    let mut home = Home::new();
    let made = home.keep_and_die(1, &[900]).await;
    std::fs::remove_file(&made.outputs[0].path).unwrap();
    home.store.write(|connection| Ok(connection.execute("DELETE FROM artifacts", [])?)).await.unwrap();
    let cache = home.start_wide();
    assert_eq!(look_up(&cache, 1).await, None);
    assert!(!exists(&made));
    home.comes_to(&[]).await;
}

#[actix::test]
async fn what_cannot_be_written_again_stays_in_the_journal_until_it_can() {
    let mut home = Home::new();
    let made = home.keep_and_die(1, &[900]).await;
    let path = Path::new(&made.outputs[0].path);
    std::fs::remove_file(path).unwrap();
    // Another one of its first bytes; its own cannot be made, as a file is in its place.
    std::fs::remove_dir(path.parent().unwrap()).unwrap();
    std::fs::write(path.parent().unwrap(), "in the way").unwrap();
    let cache = home.start_wide();
    assert_eq!(look_up(&cache, 1).await, None);
    assert_eq!(home.in_journal().await, [900]);
    std::fs::remove_file(path.parent().unwrap()).unwrap();
    assert_eq!(look_up(&cache, 1).await.unwrap().outputs, made.outputs);
    assert_eq!((stats(&cache).await.corrupt, home.in_journal().await), (0, vec![900]));
    let cache = home.start_wide();
    assert_eq!(look_up(&cache, 1).await.unwrap().outputs, made.outputs);
    home.comes_to(&[]).await;
}

#[actix::test]
async fn a_file_that_cannot_be_synced_stays_in_the_journal() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let kept = cache.send(keep_all(Some(1), vec![picture(1, 900), picture(2, 800)])).await.unwrap().unwrap();
    let (made, rows) = (kept.made.clone(), kept.rows.clone());
    let written = home.store.write(move |connection| rows.write(connection)).await.unwrap();
    std::fs::remove_file(&made.outputs[0].path).unwrap();
    kept.settle(written);
    home.comes_to(&[900]).await;
    assert!(home.start_wide().send(GetCacheStats).await.is_ok());
    assert!(exists(&made));
}

#[actix::test]
async fn no_more_than_a_start_can_write_are_in_the_journal() {
    let mut home = Home::new();
    let cache = home.start_wide();
    let small =
        |number: u8| NewArtifact { body: crate::cache::Body::Held(vec![number; 10]), ..picture(0, 0) };
    let kept = cache.send(keep_all(Some(1), (0..100).map(small).collect())).await.unwrap().unwrap();
    let rows = kept.rows.clone();
    let written = home.store.write(move |connection| rows.write(connection)).await.unwrap();
    assert_eq!(home.in_journal().await.len(), 64);
    kept.settle(written);
    home.comes_to(&[]).await;
    home.keep(&cache, 200, 10).await.unwrap();
    assert_eq!(home.in_journal().await.len(), 1, "there is a place again");
}
