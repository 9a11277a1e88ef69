//! Control groups as their files tell of them: where a process stands, what bounds a group, and what in it cannot be given back. Pure.

use std::sync::Arc;

/// From here on, a bound of version 1 means that there is none: its files say the largest number of whole pages then.
const UNBOUNDED_V1: u64 = 1 << 60;

/// The two versions name their files differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One tree for each controller.
    V1,
    /// One tree for all.
    V2,
}

impl Version {
    /// Files that hold a bound; the smallest counts.
    pub const fn limit_files(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["memory.limit_in_bytes"],
            // Past `memory.high` nothing is killed, but everything in the group is slowed down until it gave memory back.
            Self::V2 => &["memory.max", "memory.high"],
        }
    }

    /// The file that holds what all of the group use.
    pub const fn usage_file(self) -> &'static str {
        match self {
            Self::V1 => "memory.usage_in_bytes",
            Self::V2 => "memory.current",
        }
    }

    /// What the system takes back by itself before it kills: as long as there is some, the group is not full.
    const fn reclaimable(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["total_inactive_file", "total_active_file"],
            Self::V2 => &["inactive_file", "active_file", "slab_reclaimable"],
        }
    }
}

/// Where a process stands in one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Of the tree.
    pub version: Version,
    /// Below the tree's root, beginning with `/`.
    pub path: String,
}

/// A group that bounds us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Below the tree's root.
    pub path: Arc<str>,
    /// What all in it may use together.
    pub limit_bytes: u64,
    /// What all in it use and the system cannot take back by itself; none if it cannot be read.
    pub used_bytes: Option<u64>,
}

/// The trees that can bound memory, from `/proc/self/cgroup`.
///
/// In a hybrid system both are named; that of version 2 has no memory files then, so it bounds nothing.
pub fn memberships(text: &str) -> Vec<Membership> {
    let membership = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = match (number, controllers) {
            ("0", "") => Version::V2,
            (_, controllers) if controllers.split(',').any(|name| name == "memory") => Version::V1,
            _ => return None,
        };
        path.starts_with('/').then(|| Membership { version, path: path.to_owned() })
    };
    text.lines().filter_map(membership).collect()
}

/// The groups from `path` up to the root: each of them bounds all below.
///
/// A path that leads out of the tree, as a process sees that was moved out of its namespace, leaves only the root.
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

/// A bound, if there is one.
///
/// Zero is none: no process lives within it, so whoever wrote it wanted something else, such as `memory.high` to empty a group once.
pub fn limit(text: &str) -> Option<u64> {
    number(text).filter(|bytes| (1..UNBOUNDED_V1).contains(bytes))
}

/// A number of bytes.
pub fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// What the system can take back by itself, from `memory.stat`.
pub fn reclaimable_bytes(version: Version, stat: &str) -> u64 {
    let bytes = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        version.reclaimable().contains(&name).then(|| number(value)).flatten()
    };
    stat.lines().filter_map(bytes).fold(0, u64::saturating_add)
}

/// The group with the smallest bound; of equal ones the innermost, which comes first.
pub fn smallest(groups: &[Group]) -> Option<&Group> {
    groups.iter().min_by_key(|group| group.limit_bytes)
}

/// The group that is fullest for its bound, and what is used in it.
pub fn fullest(groups: &[Group]) -> Option<(&Group, u64)> {
    let used = groups.iter().filter_map(|group| group.used_bytes.map(|used_bytes| (group, used_bytes)));
    // Parts of different wholes, compared crosswise and so without rounding.
    used.max_by(|(left, left_used), (right, right_used)| {
        let left_part = u128::from(*left_used) * u128::from(right.limit_bytes);
        left_part.cmp(&(u128::from(*right_used) * u128::from(left.limit_bytes)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_those_of_trees_that_can_bound_memory() {
        let hybrid = "9:name=systemd:/\n8:cpu,memory:/a:b/c\n4:memoryx:/no\n0::/user.slice\n";
        let cases: [(&str, &[(Version, &str)]); 7] = [
            ("0::/user.slice/app.service\n", &[(Version::V2, "/user.slice/app.service")]),
            ("0::/\n", &[(Version::V2, "/")]),
            ("4:memory:/docker/ab\n", &[(Version::V1, "/docker/ab")]),
            (hybrid, &[(Version::V1, "/a:b/c"), (Version::V2, "/user.slice")]),
            ("0::/../..\n", &[(Version::V2, "/../..")]),
            ("0::relative\n1:memory\nmemory\n::\n", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let found = memberships(text);
            let found: Vec<_> =
                found.iter().map(|membership| (membership.version, membership.path.as_str())).collect();
            assert_eq!(found, expected, "{text:?}");
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
            ("9223372036854771712\n", None),
            ("18446744073709551615", None),
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
        assert_eq!(reclaimable_bytes(Version::V2, stat), 54);
        assert_eq!(reclaimable_bytes(Version::V1, stat), 200);
        assert_eq!(reclaimable_bytes(Version::V2, ""), 0);
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
