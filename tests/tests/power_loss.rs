//! What remains of a kept picture after a power loss. The test copies the device below the file system while it is mounted.
//!
//! It mounts disk images, which needs root rights, a loop device and `mkfs`. Without them its tests are skipped (see `needs`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use actix::{Actor, System};
use reel_tests::needs;
use reeld::{
    cache::{Body, CacheParts, GetCacheStats, ImageCache, KeepMade, NewArtifact, SetCacheLimits},
    domain::Facts,
    events::EventHub,
    memory::Budget,
    store,
};

const MIB: u64 = 1024 * 1024;
const PICTURES: u8 = 20;

/// Size of a large picture, in bytes. Its file is synced before its rows are committed.
const LARGE: usize = 100_000;
/// Size of a small picture, in bytes. Its bytes are in the commit of its rows, and its file is synced later.
const SMALL: usize = 10_000;

/// A mounted file system. Dropping it unmounts it.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        run("mount", &["-o", options, image.to_str()?, at.to_str()?]).then_some(Self(at))
    }

    /// Mounts an empty file system in memory.
    fn in_memory(at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", at.to_str()?]).then_some(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn picture(number: u8, size: usize) -> NewArtifact {
    let body = Body::Held(vec![number; size]);
    NewArtifact { body, reservation: None, facts: Facts::new("image/png", "png").with_pixels(1, 1) }
}

/// Returns the parts of the cache of a home, as a daemon starts it.
fn parts(home: &Path) -> CacheParts {
    let store = store::open(&home.join("reel.db")).unwrap().store;
    let limits = SetCacheLimits { memory_bytes: MIB, max_item_bytes: MIB, disk_bytes: 100 * MIB };
    let (budget, events) = (Budget::new(64 * MIB), EventHub::default());
    CacheParts { store, artifacts: home.join("artifacts"), budget, events, limits }
}

/// Keeps pictures on a file system of this kind, and returns how many of them are complete on a copy of its device. Returns None if the file system
/// cannot be made or mounted.
///
/// For small pictures, the rows are committed before the copy, and a cache is started on the copy before the pictures are counted.
fn kept_on(kind: &str, force: &str, options: &str, size: usize) -> Option<usize> {
    let home = tempfile::tempdir().unwrap();
    let (image, copy) = (home.path().join("device"), home.path().join("copy"));
    fs::File::create(&image).unwrap().set_len(400 * MIB).unwrap();
    if !run(&format!("mkfs.{kind}"), &["-q", force, image.to_str()?]) {
        return None;
    }
    let mounted = Mounted::new(&image, home.path().join("mounted"), "loop")?;
    fs::create_dir(mounted.0.join("artifacts")).unwrap();
    let parts_before = parts(&mounted.0);
    let store = parts_before.store.clone();
    let paths = System::new().block_on(async move {
        let cache = ImageCache::new(parts_before).start();
        let mut paths = Vec::new();
        for number in 0..PICTURES {
            let (provider, artifacts) = ("studio".to_owned(), vec![picture(number, size)]);
            let keep =
                KeepMade { key: None, provider, model: None, artifacts, notes: Vec::new(), make_room: None };
            let kept = Box::new(cache.send(keep).await.unwrap().unwrap());
            paths.push(PathBuf::from(&kept.made.outputs[0].path));
            if size == SMALL {
                let rows = kept.rows.clone();
                store.write(move |connection| rows.write(connection)).await.unwrap();
            }
            // The cache is not told about the rows. A large picture would get its rows only after the time of the copy, and a small one would be
            // synced.
            std::mem::forget(kept);
        }
        paths
    });
    fs::copy(&image, &copy).unwrap();
    let after = Mounted::new(&copy, home.path().join("after"), options)?;
    let is_whole = |number: u8, path: &PathBuf| {
        let path = after.0.join(path.strip_prefix(&mounted.0).unwrap());
        fs::read(path).is_ok_and(|bytes| bytes == vec![number; size])
    };
    let whole = || (0..).zip(&paths).filter(|(number, path)| is_whole(*number, path)).count();
    if size == SMALL {
        let lost = usize::from(PICTURES) - whole();
        #[expect(clippy::print_stderr, reason = "what the system wrote by itself is no matter of ours")]
        {
            eprintln!("{kind}: {lost} small pictures were lost");
        }
        let parts_after = parts(&after.0);
        System::new().block_on(async move {
            // The cache answers this once it has written the files of all small pictures.
            let stats = ImageCache::new(parts_after).start().send(GetCacheStats).await.unwrap();
            assert_eq!(stats.artifacts, u64::from(PICTURES), "their rows were committed");
        });
    }
    Some(whole())
}

fn all_are_whole(size: usize) {
    for (kind, force, options) in
        [("ext4", "-F", "loop"), ("xfs", "-f", "loop,nouuid"), ("btrfs", "-f", "loop")]
    {
        match kept_on(kind, force, options, size) {
            Some(whole) => assert_eq!(whole, usize::from(PICTURES), "{kind}"),
            None => needs::skipped(&format!(
                "no {kind} of its own without mkfs.{kind}, loop devices and root's rights"
            )),
        }
    }
}

#[test]
fn kept_pictures_survive_a_power_loss() {
    all_are_whole(LARGE);
}

#[test]
fn a_small_picture_survives_a_power_loss_before_its_file_is_synced() {
    all_are_whole(SMALL);
}

#[test]
fn small_pictures_on_a_nearly_full_disk_leave_space_for_the_journal() {
    const MANY: u8 = 64;
    let home = tempfile::tempdir().unwrap();
    let at = home.path().join("mounted");
    let Some(mounted) = Mounted::in_memory(at, "size=12m") else {
        needs::skipped("a small disk cannot be mounted without root's rights");
        return;
    };
    fs::create_dir(mounted.0.join("artifacts")).unwrap();
    let parts = parts(&mounted.0);
    let store = parts.store.clone();
    let filler = mounted.0.join("filler");
    System::new().block_on(async move {
        let cache = ImageCache::new(parts).start();
        cache.send(GetCacheStats).await.unwrap();
        // Leaves space for the files and for what the journal shall keep, and a little more.
        let free = || {
            let output = Command::new("df").args(["-B1", "--output=avail"]).arg(&filler).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().nth(1).unwrap().trim().parse::<u64>().unwrap()
        };
        fs::write(&filler, "").unwrap();
        let wanted = u64::from(MANY) * 16 * 1024 + MIB + 16 * 1024;
        fs::write(&filler, vec![1; usize::try_from(free() - wanted).unwrap()]).unwrap();
        let pictures: Vec<_> = (0..MANY).map(|number| picture(number, 16 * 1024)).collect();
        let provider = "studio".to_owned();
        let keep = KeepMade {
            key: None,
            provider,
            model: None,
            artifacts: pictures,
            notes: Vec::new(),
            make_room: None,
        };
        let kept = cache.send(keep).await.unwrap().unwrap();
        let rows = kept.rows.clone();
        let written = store.write(move |connection| rows.write(connection)).await;
        kept.settle(written.expect("there was room for the files, so there is for their rows"));
    });
}
