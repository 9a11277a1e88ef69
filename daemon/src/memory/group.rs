//! Parses the files of control groups of version 2: the group of a process, the limits of a group, and its memory that cannot be reclaimed. Pure.

use std::sync::Arc;

/// Files with a limit; the smallest counts. Beyond `memory.high` the kernel kills nothing, but throttles the whole group until it is below again.
pub const LIMIT_FILES: [&str; 2] = ["memory.max", "memory.high"];

/// The file with the memory use of all processes of the group.
pub const USAGE_FILE: &str = "memory.current";

/// Memory that the kernel reclaims before it kills a process. As long as there is some, the group is not full.
const RECLAIMABLE: [&str; 3] = ["inactive_file", "active_file", "slab_reclaimable"];

/// A group with a memory limit that applies to this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The path below the root of the tree.
    pub path: Arc<str>,
    /// The limit for all processes of the group together.
    pub limit_bytes: u64,
    /// Memory that its processes use and the kernel cannot reclaim; None if it cannot be read.
    pub used_bytes: Option<u64>,
}

/// Returns the path of a process in the tree of version 2, from `/proc/self/cgroup`. It begins with `/`.
///
/// On a hybrid system the tree of version 2 has no memory files, so nothing in it limits memory.
pub fn path_of(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| path.starts_with('/'))
}

/// Returns the groups from `path` up to the root. The limit of each of them applies to all groups below it.
///
/// A process that was moved out of its namespace sees a path that leads out of the tree. Then only the root is returned.
pub fn upwards(path: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    if !path.split('/').any(|part| part == "..") {
        let mut group = path.trim_end_matches('/');
        while !group.is_empty() {
            groups.push(group);
            group = group.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
    groups.push("/");
    groups
}

/// Returns the limit in the text of a file; None if there is none.
///
/// Zero is no limit, because no process could run within it. Whoever wrote it wanted something else, such as to empty a group once through
/// `memory.high`.
pub fn limit(text: &str) -> Option<u64> {
    number(text).filter(|bytes| *bytes > 0)
}

/// Parses a number of bytes.
pub fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Returns how many bytes the kernel can reclaim, from the text of `memory.stat`.
pub fn reclaimable_bytes(stat: &str) -> u64 {
    let bytes = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        RECLAIMABLE.contains(&name).then(|| number(value)).flatten()
    };
    stat.lines().filter_map(bytes).fold(0, u64::saturating_add)
}

/// Returns the group with the smallest limit. Of equal ones it is the innermost, which comes first.
pub fn smallest(groups: &[Group]) -> Option<&Group> {
    groups.iter().min_by_key(|group| group.limit_bytes)
}

/// Returns the group that is fullest relative to its limit, and its used bytes.
pub fn fullest(groups: &[Group]) -> Option<(&Group, u64)> {
    let used = groups.iter().filter_map(|group| group.used_bytes.map(|used_bytes| (group, used_bytes)));
    // The fractions are compared by cross-multiplication, which does not round.
    used.max_by(|(left, left_used), (right, right_used)| {
        let left_part = u128::from(*left_used) * u128::from(right.limit_bytes);
        left_part.cmp(&(u128::from(*right_used) * u128::from(left.limit_bytes)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_the_tree_of_version_2() {
        let hybrid = "9:name=systemd:/\n8:cpu,memory:/a:b/c\n0::/user.slice\n";
        let cases = [
            ("0::/user.slice/app.service\n", Some("/user.slice/app.service")),
            ("0::/\n", Some("/")),
            (hybrid, Some("/user.slice")),
            ("4:memory:/docker/ab\n", None),
            ("0::relative\n", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(path_of(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_group_up_to_the_root_counts() {
        for (path, expected) in [
            ("/a/b/c", &["/a/b/c", "/a/b", "/a", "/"][..]),
            ("/a/", &["/a", "/"]),
            ("/", &["/"]),
            ("/../a", &["/"]),
            ("/a..b", &["/a..b", "/"]),
        ] {
            assert_eq!(upwards(path), expected, "{path}");
        }
    }

    #[test]
    fn a_bound_is_a_number_that_somebody_chose() {
        for (text, expected) in [
            ("1610612736\n", Some(1_610_612_736)),
            ("max\n", None),
            ("99999999999999999999999", None),
            ("0\n", None),
            ("-1\n", None),
            ("1.5G", None),
            ("", None),
        ] {
            assert_eq!(limit(text), expected, "{text:?}");
        }
    }

    #[test]
    fn files_that_are_cached_can_be_taken_back() {
        let stat = "anon 1000\nfile 90\nslab_reclaimable 4\nslab 9\ninactive_file 20\nactive_file 30\n\
                    total_inactive_file 200\ntotal_active_file x\nactive_file\n";
        assert_eq!(reclaimable_bytes(stat), 54);
        assert_eq!(reclaimable_bytes(""), 0);
    }

    #[test]
    fn the_smallest_and_the_fullest_need_not_be_the_same() {
        let group =
            |path: &str, limit_bytes, used_bytes| Group { path: path.into(), limit_bytes, used_bytes };
        let groups = [
            group("/a/b", 100, Some(10)),
            group("/a", 100, None),
            group("/", u64::MAX / 2, Some(u64::MAX / 3)),
        ];
        assert_eq!(smallest(&groups).unwrap().path.as_ref(), "/a/b");
        assert_eq!(fullest(&groups).unwrap().0.path.as_ref(), "/");
        assert!(smallest(&[]).is_none() && fullest(&groups[1..2]).is_none());
    }
}
