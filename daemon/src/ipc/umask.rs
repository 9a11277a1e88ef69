//! What the process sets about itself before it touches a file: a closed umask, room for many connections, no core dumps.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit, umask},
};

/// Descriptors beyond which a higher limit only makes some programs slower at closing them all; a connection takes one.
const MAX_OPEN_FILES: u64 = 65_536;

/// From here on no file is made that others may read. To be called first of all, while the process has one thread.
pub fn set_umask_0077() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Raises the soft limit of open files to the hard one, at most 65,536, and tells what it is now (None: no limit).
///
/// The usual soft limit of 1,024 would end at a thousand connections.
pub fn raise_file_limit() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    let wanted = wanted_limit(limits.current, limits.maximum)?;
    let raised = Rlimit { current: Some(wanted), maximum: limits.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { Some(wanted) } else { limits.current }
}

/// From here on a crash writes no core dump: the memory holds keys and prompts. Programs that the daemon starts inherit the limit.
///
/// On Linux, a release build also leaves the state "dumpable", as a dump that the system hands to a program ignores the limit. Other processes of
/// the user then cannot read its memory or environment either, nor can a debugger attach, which is why a debug build stays dumpable.
pub fn disable_core_dumps() {
    // It lowers a limit, which the system always allows.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(all(target_os = "linux", not(debug_assertions)))]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// The soft limit to ask for; None where there is none to raise.
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
