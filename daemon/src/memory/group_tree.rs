//! Reads the control groups of this process. A system without control groups has no such files, and so no bounds.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::group::{self, Group, LIMIT_FILES, USAGE_FILE};

/// Samples between two searches of all groups up to the root. A group with a limit is read in every sample. It is rare that another group gets a
/// limit or that the process is moved, and finding that out means reading some thirty files.
const SEARCH_INTERVAL: u32 = 60;

/// The control groups of this process, up to the root.
#[derive(Debug)]
pub struct GroupTree {
    /// The file that names the process's control group, `/proc/self/cgroup`.
    membership: PathBuf,
    /// The directory of all control groups, `/sys/fs/cgroup`.
    root: PathBuf,
    bounding: Vec<GroupDirectory>,
    /// Samples until the next search.
    search_wait: u32,
}

/// The directory of a group.
#[derive(Debug)]
struct GroupDirectory {
    directory: PathBuf,
    path: Arc<str>,
}

impl Default for GroupTree {
    fn default() -> Self {
        Self::new("/proc/self/cgroup".into(), "/sys/fs/cgroup".into())
    }
}

impl GroupTree {
    /// Reads the groups at other paths than those of Linux, for tests.
    pub fn new(membership: PathBuf, root: PathBuf) -> Self {
        Self { membership, root, bounding: Vec::new(), search_wait: 0 }
    }

    /// Reads the groups that have a memory limit, innermost first.
    pub fn read(&mut self) -> Vec<Group> {
        if let Some(rest) = self.search_wait.checked_sub(1) {
            self.search_wait = rest;
        } else {
            self.search_wait = SEARCH_INTERVAL;
            self.bounding = self.search();
        }
        self.bounding.iter().filter_map(GroupDirectory::read).collect()
    }

    fn search(&self) -> Vec<GroupDirectory> {
        let text = fs::read_to_string(&self.membership).unwrap_or_default();
        let directory_of = |path: &str| {
            // In a container the path may be that of the host. Then only the root exists, and it is the container's own group.
            let directory = self.root.join(path.trim_start_matches('/'));
            GroupDirectory { directory, path: path.into() }
        };
        let groups = group::path_of(&text).map(group::upwards).unwrap_or_default();
        groups.into_iter().map(directory_of).filter(|group| group.limit_bytes().is_some()).collect()
    }
}

impl GroupDirectory {
    fn limit_bytes(&self) -> Option<u64> {
        let limit = |file: &&str| group::limit(&read(&self.directory, file)?);
        LIMIT_FILES.iter().filter_map(limit).min()
    }

    fn read(&self) -> Option<Group> {
        let limit_bytes = self.limit_bytes()?;
        let charged = read(&self.directory, USAGE_FILE);
        let used_bytes = charged.as_deref().and_then(group::number).map(|charged_bytes| {
            let stat = read(&self.directory, "memory.stat").unwrap_or_default();
            charged_bytes.saturating_sub(group::reclaimable_bytes(&stat))
        });
        Some(Group { path: Arc::clone(&self.path), limit_bytes, used_bytes })
    }
}

fn read(directory: &Path, file: &str) -> Option<String> {
    fs::read_to_string(directory.join(file)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a fake system.
    struct Scene {
        home: tempfile::TempDir,
        tree: GroupTree,
    }

    impl Scene {
        fn new(membership: &str, files: &[(&str, &str)]) -> Self {
            let home = tempfile::tempdir().unwrap();
            let root = home.path().join("cgroup");
            let own = home.path().join("self");
            fs::write(&own, membership).unwrap();
            let scene = Self { home, tree: GroupTree::new(own, root) };
            for (file, text) in files {
                scene.write(file, text);
            }
            scene
        }

        fn write(&self, file: &str, text: &str) {
            let path = self.home.path().join("cgroup").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn read(&mut self) -> Vec<(String, u64, Option<u64>)> {
            let groups = self.tree.read();
            groups.iter().map(|group| (group.path.to_string(), group.limit_bytes, group.used_bytes)).collect()
        }
    }

    #[test]
    fn nested_groups_of_version_2_bound_by_max_and_by_high() {
        let mut scene = Scene::new(
            "0::/user.slice/app/reeld.service\n",
            &[
                ("user.slice/app/reeld.service/memory.max", "max\n"),
                ("user.slice/app/reeld.service/memory.high", "max\n"),
                ("user.slice/app/memory.max", "4000\n"),
                ("user.slice/app/memory.high", "3000\n"),
                ("user.slice/app/memory.current", "2500\n"),
                ("user.slice/app/memory.stat", "anon 1\ninactive_file 500\nactive_file 100\n"),
                ("user.slice/memory.max", "9000\n"),
                ("user.slice/memory.current", "garbage"),
            ],
        );
        let bounds =
            [("/user.slice/app".to_owned(), 3000, Some(1900)), ("/user.slice".to_owned(), 9000, None)];
        assert_eq!(scene.read(), bounds);
        scene.write("user.slice/app/memory.high", "max\n");
        assert_eq!(scene.read()[0].1, 4000, "a changed bound holds at the next look");
        scene.write("user.slice/app/memory.max", "max\n");
        assert_eq!(scene.read().len(), 1);
    }

    #[test]
    fn in_a_container_the_root_is_its_own_group() {
        let root = [("memory.max", "70\n"), ("memory.current", "60\n")];
        for membership in ["0::/host/path/of/it\n", "0::/../../other\n", "0::/\n"] {
            assert_eq!(
                Scene::new(membership, &root).read(),
                [("/".to_owned(), 70, Some(60))],
                "{membership}"
            );
        }
    }

    #[test]
    fn a_system_without_groups_has_no_bounds_until_one_appears() {
        let mut scene = Scene::new("0::/app\n", &[]);
        assert!(scene.read().is_empty());
        scene.write("app/memory.max", "70\n");
        let looks = (0..=SEARCH_INTERVAL).position(|_| !scene.read().is_empty());
        assert_eq!(looks, Some(SEARCH_INTERVAL as usize));
        assert!(GroupTree::new("/no/such".into(), "/no/such".into()).read().is_empty());
    }
}
