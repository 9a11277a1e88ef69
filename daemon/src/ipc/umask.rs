//! The settings of the process that are made before it opens a file: a closed umask, a high limit of open files, and no core dumps.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit, umask},
};

/// Largest limit of open files. A higher one only slows down programs that close all descriptors. A connection uses one descriptor.
const MAX_OPEN_FILES: u64 = 65_536;

/// Sets the umask so that other users can read no file that the process creates. Must be called first, while the process has one thread.
pub fn set_umask_0077() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Raises the soft limit of open files to the hard limit, at most to 65,536. Returns the new soft limit; None if there is no limit.
///
/// The usual soft limit of 1,024 would allow only about a thousand connections.
pub fn raise_file_limit() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    let wanted = wanted_limit(limits.current, limits.maximum)?;
    let raised = Rlimit { current: Some(wanted), maximum: limits.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { Some(wanted) } else { limits.current }
}

/// Disables core dumps of this process, because its memory contains keys and prompts. Programs that the daemon starts inherit the limit.
///
/// On Linux, a release build also becomes not "dumpable", because a dump that the system passes to a program ignores the limit. Other processes of
/// the user then cannot read its memory or environment, and no debugger can attach. So a debug build stays dumpable.
pub fn disable_core_dumps() {
    // This lowers a limit, which the system always allows.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(all(target_os = "linux", not(debug_assertions)))]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Returns the soft limit to set. None if there is no limit.
fn wanted_limit(soft: Option<u64>, hard: Option<u64>) -> Option<u64> {
    let soft = soft?;
    Some(hard.unwrap_or(MAX_OPEN_FILES).min(MAX_OPEN_FILES).max(soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_and_never_lowered() {
        let cases = [
            (Some(1024), Some(4096), Some(4096)),
            (Some(1024), Some(1 << 20), Some(MAX_OPEN_FILES)),
            (Some(1 << 20), Some(1 << 20), Some(1 << 20)),
            (Some(1024), None, Some(MAX_OPEN_FILES)),
            (None, None, None),
        ];
        for (soft, hard, wanted) in cases {
            assert_eq!(wanted_limit(soft, hard), wanted, "{soft:?} {hard:?}");
        }
        assert!(raise_file_limit().is_none_or(|limit| limit >= 1024));
    }
}
