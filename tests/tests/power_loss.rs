//! What a power loss leaves of a picture that was kept: the test copies the device below the file system, as it is at that moment.
//!
//! It mounts images, which only root may do, with a loop device and `mkfs` at hand; elsewhere it says so and looks at nothing.

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
use reeld::{
    cache::{Body, CacheParts, ImageCache, KeepMade, SetCacheLimits},
    events::EventHub,
    memory::Budget,
    provider::Picture,
    store,
};

const MIB: u64 = 1024 * 1024;

/// A mounted image; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        run("mount", &["-o", options, image.to_str()?, at.to_str()?]).then_some(Self(at))
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

fn picture(number: u8) -> Picture {
    let body = Body::Held(vec![number; 100_000]);
    Picture { body, reservation: None, media_type: "image/png", extension: "png", width: 1, height: 1 }
}

/// Keeps pictures on a file system of this kind, and says how many of them are whole on a copy of its device; None where it cannot be tried.
fn kept_on(kind: &str, force: &str, options: &str) -> Option<usize> {
    const PICTURES: u8 = 20;
    let home = tempfile::tempdir().unwrap();
    let (image, copy) = (home.path().join("device"), home.path().join("copy"));
    fs::File::create(&image).unwrap().set_len(400 * MIB).unwrap();
    if !run(&format!("mkfs.{kind}"), &["-q", force, image.to_str()?]) {
        return None;
    }
    let mounted = Mounted::new(&image, home.path().join("mounted"), "loop")?;
    let artifacts = mounted.0.join("artifacts");
    fs::create_dir(&artifacts).unwrap();
    let store = store::open(&home.path().join("reel.db")).unwrap().store;
    let limits = SetCacheLimits { memory_bytes: MIB, max_item_bytes: MIB, disk_bytes: 100 * MIB };
    let (budget, events) = (Budget::new(64 * MIB), EventHub::default());
    let parts = CacheParts { store, artifacts, budget, events, limits };
    let paths = System::new().block_on(async move {
        let cache = ImageCache::new(parts).start();
        let mut paths = Vec::new();
        for number in 0..PICTURES {
            let (provider, pictures) = ("studio".to_owned(), vec![picture(number)].into());
            let keep = KeepMade { key: None, provider, model: None, pictures, make_room: None };
            // Its rows are not written: they come after what is looked at here.
            let kept = Box::new(cache.send(keep).await.unwrap().unwrap());
            paths.push(PathBuf::from(&kept.made.outputs[0].path));
            std::mem::forget(kept);
        }
        paths
    });
    fs::copy(&image, &copy).unwrap();
    let after = Mounted::new(&copy, home.path().join("after"), options)?;
    let is_whole = |number: u8, path: &PathBuf| {
        let path = after.0.join(path.strip_prefix(&mounted.0).unwrap());
        fs::read(path).is_ok_and(|bytes| bytes == vec![number; 100_000])
    };
    Some((0..).zip(&paths).filter(|(number, path)| is_whole(*number, path)).count())
}

#[test]
fn what_was_kept_outlasts_a_power_loss() {
    for (kind, force, options) in
        [("ext4", "-F", "loop"), ("xfs", "-f", "loop,nouuid"), ("btrfs", "-f", "loop")]
    {
        match kept_on(kind, force, options) {
            Some(whole) => assert_eq!(whole, 20, "{kind}"),
            #[expect(clippy::print_stderr, reason = "a test that looked at nothing says so")]
            None => eprintln!("{kind} cannot be tried here"),
        }
    }
}
