//! Reports that the configuration file may have changed, so that nobody has to request a reload. This module does not read the file.
//!
//! It watches the file's directory instead of the file, because editors replace the file. If the directory is missing, it watches the nearest
//! existing one above until the directory appears. If the file is a link, it watches the link's target too. It runs only when something changes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind},
};
use tokio::{
    sync::Notify,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout_at},
};

/// A burst of events is over after this long without an event.
const QUIET: Duration = Duration::from_millis(100);

/// The longest time before a change is reported during a burst that does not end.
const LONGEST_BURST: Duration = Duration::from_secs(2);

/// Most tries to start the watch while directories are made and removed. Each try succeeds if no directory changes meanwhile.
const TURNS: usize = 16;

/// Most links that are followed. Linux itself gives up at 40.
const LINKS: usize = 40;

/// A running watch. Dropping it ends the watch.
#[derive(Debug)]
pub struct ConfigWatch {
    settled: Arc<Notify>,
    task: JoinHandle<()>,
}

impl ConfigWatch {
    /// Starts to watch in a task of its own. Must be called inside a runtime.
    pub fn start(file: PathBuf) -> Self {
        let settled = Arc::new(Notify::new());
        let task = tokio::spawn(watch(file, Arc::clone(&settled)));
        Self { settled, task }
    }

    /// Waits until the file may have changed. Returns once for a burst of changes, and once after the start for changes before it. The future may be
    /// dropped while it waits: no change is lost.
    pub async fn changed(&self) {
        self.settled.notified().await;
    }
}

impl Drop for ConfigWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(file: PathBuf, settled: Arc<Notify>) {
    loop {
        // Start a new watch each time: the watched directory may have been moved or removed, and another directory may be the nearest one by then.
        let changed = Arc::new(Notify::new());
        let begun = spawn_blocking({
            let (file, changed) = (file.clone(), Arc::clone(&changed));
            move || begin(&file, &changed)
        });
        let begun = begun.await;
        settled.notify_one();
        // The watcher must live until the next pass of the loop.
        let _watcher = match begun {
            Ok(Ok(Some(watcher))) => watcher,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the configuration file is not watched: reel daemon reload after a change");
                return;
            }
            // There is nothing to watch, or a panic, which is in the log.
            Ok(Ok(None)) | Err(_) => return,
        };
        changed.notified().await;
        settle(&changed).await;
    }
}

/// Waits until a burst of events is over, at most [`LONGEST_BURST`].
async fn settle(changed: &Notify) {
    let end = Instant::now() + LONGEST_BURST;
    while Instant::now() < end {
        if timeout_at((Instant::now() + QUIET).min(end), changed.notified()).await.is_err() {
            return;
        }
    }
}

/// Starts a watch. None if the file cannot change, such as `/dev/null`.
fn begin(file: &Path, changed: &Arc<Notify>) -> notify::Result<Option<RecommendedWatcher>> {
    let Some(mut paths) = watched_paths(file) else { return Ok(None) };
    for turn in 1.. {
        let names = paths.clone();
        let changed = Arc::clone(changed);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may have hidden a change.
            if event.as_ref().map_or(true, |event| concerns(event, &names)) {
                changed.notify_one();
            }
        })?;
        let mut directories: Vec<_> = paths.iter().filter_map(|path| path.parent()).collect();
        directories.dedup();
        let mut watch = |directory: &Path| watcher.watch(directory, RecursiveMode::NonRecursive);
        let begun = directories.into_iter().try_for_each(&mut watch);
        // A directory that was made or removed during the start would go unnoticed. It may also be the reason why the start failed.
        match self::watched_paths(file) {
            Some(now) if now == paths || turn == TURNS => return begun.map(|()| Some(watcher)),
            Some(now) => paths = now,
            None => break,
        }
    }
    Ok(None)
}

/// Returns the paths whose creation, change or removal may change the file's content. The directory of each path exists. None if nothing can change.
fn watched_paths(file: &Path) -> Option<BTreeSet<PathBuf>> {
    // A device or a pipe does not change, and `/dev` has events all the time.
    if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return None;
    }
    let mut paths = BTreeSet::new();
    let mut path = std::path::absolute(file).ok()?;
    for _ in 0..LINKS {
        let is_there = |path: &&Path| path.parent().is_some_and(Path::is_dir);
        let watched = path.ancestors().find(is_there)?;
        paths.insert(watched.to_owned());
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent()?.join(target);
    }
    Some(paths)
}

/// Returns whether an event may mean a change of one of the paths.
fn concerns(event: &Event, paths: &BTreeSet<PathBuf>) -> bool {
    // The event is about such a path, or about its directory, which was moved or removed.
    let is_of_watched_path = |path: &PathBuf| {
        paths.contains(path) || paths.iter().any(|watched| watched.parent() == Some(path.as_path()))
    };
    event.need_rescan() || (is_change(event) && event.paths.iter().any(is_of_watched_path))
}

fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        // Our own reading causes such events too.
        EventKind::Access(_) => false,
        // Linux reports when a writer closes the file. Until then the file is incomplete, and so is a new file that is still empty.
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => !cfg!(target_os = "linux"),
        EventKind::Create(CreateKind::File) if cfg!(target_os = "linux") => {
            let has_content = |path: &PathBuf| {
                fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink() || found.len() > 0)
            };
            event.paths.iter().any(has_content)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_mins(1);

    /// Waits until the watch reports a change.
    async fn told(watch: &ConfigWatch, what: &str) {
        tokio::time::timeout(DEADLINE, watch.changed()).await.unwrap_or_else(|_| panic!("not told: {what}"));
    }

    /// A name, the state before the watch starts, and the changes that follow one by one. The file is `in/config.toml`.
    type Story = (&'static str, fn(&Path), &'static [fn(&Path)]);

    fn write(directory: &Path, name: &str) {
        fs::write(directory.join(name), "[tasks]\n").unwrap();
    }

    fn link(directory: &Path) {
        fs::create_dir(directory.join("in")).unwrap();
        write(directory, "other.toml");
        std::os::unix::fs::symlink("../other.toml", directory.join("in/config.toml")).unwrap();
    }

    fn file(directory: &Path) {
        fs::create_dir(directory.join("in")).unwrap();
        write(directory, "in/config.toml");
    }

    const STORIES: &[Story] = &[
        ("written again", file, &[|d| write(d, "in/config.toml"), |d| write(d, "in/config.toml")]),
        (
            "replaced, as editors do",
            file,
            &[|d| {
                write(d, "in/new");
                fs::rename(d.join("in/new"), d.join("in/config.toml")).unwrap();
            }],
        ),
        (
            "removed and made",
            file,
            &[|d| fs::remove_file(d.join("in/config.toml")).unwrap(), |d| write(d, "in/config.toml")],
        ),
        ("moved away", file, &[|d| fs::rename(d.join("in/config.toml"), d.join("in/old")).unwrap()]),
        (
            "linked hard",
            |d| drop(fs::create_dir(d.join("in"))),
            &[|d| {
                write(d, "other.toml");
                fs::hard_link(d.join("other.toml"), d.join("in/config.toml")).unwrap();
            }],
        ),
        ("a link's aim", link, &[|d| write(d, "other.toml"), |d| write(d, "other.toml")]),
        (
            "a link whose aim goes and comes",
            link,
            &[|d| fs::remove_file(d.join("other.toml")).unwrap(), |d| write(d, "other.toml")],
        ),
        (
            "the directory appears",
            |_| (),
            &[
                |d| fs::create_dir(d.join("in")).unwrap(),
                |d| {
                    write(d, "in/config.toml");
                },
            ],
        ),
        ("the directory goes and comes", file, &[|d| fs::remove_dir_all(d.join("in")).unwrap(), file]),
        (
            "the directory is moved and another one comes",
            file,
            &[|d| fs::rename(d.join("in"), d.join("out")).unwrap(), file, |d| write(d, "in/config.toml")],
        ),
    ];

    #[tokio::test]
    async fn every_way_to_change_a_file_is_told() {
        let stories = STORIES.iter().map(|(what, prepare, steps)| async move {
            let root = tempfile::tempdir().unwrap();
            prepare(root.path());
            let watch = ConfigWatch::start(root.path().join("in/config.toml"));
            told(&watch, "the begin").await;
            for step in *steps {
                step(root.path());
                told(&watch, what).await;
            }
        });
        futures_util::future::join_all(stories).await;
    }

    #[test]
    fn what_is_watched_exists_and_a_device_is_not() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let watched = |path: &Path| watched_paths(path).map(Vec::from_iter);
        assert_eq!(watched(&root.join("a/b/c.toml")), Some(vec![root.join("a")]));
        assert_eq!(watched(&root.join("c.toml")), Some(vec![root.join("c.toml")]));
        assert_eq!(watched(Path::new("/dev/null")), None);
        // A directory in place of the file is a mistake that a person may correct.
        assert_eq!(watched(root), Some(vec![root.to_owned()]));
        // A link to itself does not loop for ever.
        std::os::unix::fs::symlink(root.join("loop"), root.join("loop")).unwrap();
        assert_eq!(watched(&root.join("loop")), Some(vec![root.join("loop")]));
        std::os::unix::fs::symlink("gone/x.toml", root.join("link")).unwrap();
        assert_eq!(watched(&root.join("link")), Some(vec![root.join("gone"), root.join("link")]));
    }

    #[test]
    fn only_changes_of_the_file_count() {
        use notify::event::{DataChange, MetadataKind, RemoveKind, RenameMode};
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("config.toml");
        fs::write(&file, "x").unwrap();
        let paths = BTreeSet::from([file.clone()]);
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let cases = [
            (closed, &file, true),
            (closed, &root.path().join("config.toml~"), false),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), &file, false),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), &file, false),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), &file, !cfg!(target_os = "linux")),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), &file, true),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), &file, true),
            (EventKind::Create(CreateKind::File), &file, true),
            (EventKind::Create(CreateKind::File), &root.path().join("b"), false),
            (EventKind::Remove(RemoveKind::File), &file, true),
            (EventKind::Remove(RemoveKind::Folder), &root.path().to_owned(), true),
        ];
        for (kind, path, expected) in cases {
            let event = Event::new(kind).add_path(path.clone());
            assert_eq!(concerns(&event, &paths), expected, "{event:?}");
        }
        fs::write(&file, "").unwrap();
        let created = Event::new(EventKind::Create(CreateKind::File)).add_path(file);
        assert_eq!(concerns(&created, &paths), !cfg!(target_os = "linux"), "nothing is written yet");
        let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert!(concerns(&overflow, &paths));
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_change_and_an_endless_one_is_looked_at_now_and_then() {
        let changed = Arc::new(Notify::new());
        let begun = Instant::now();
        settle(&changed).await;
        assert_eq!(begun.elapsed().as_millis() / 10, QUIET.as_millis() / 10);
        let noise = tokio::spawn({
            let changed = Arc::clone(&changed);
            async move {
                loop {
                    changed.notify_one();
                    tokio::time::sleep(QUIET / 2).await;
                }
            }
        });
        let begun = Instant::now();
        settle(&changed).await;
        assert!(begun.elapsed() >= LONGEST_BURST && begun.elapsed() < LONGEST_BURST * 2);
        noise.abort();
    }
}
