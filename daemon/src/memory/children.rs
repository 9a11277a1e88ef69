//! Measures the memory of the child processes of this process, with all of their descendants.

use std::{fs, path::Path};

/// Most processes that are counted. A program that starts more at once is not worth a longer measurement every second.
const MOST: usize = 1_024;

/// Returns the resident bytes of all descendants; zero where the system does not report them.
///
/// Pages that they share with each other count for each of them, as the system counts them.
pub fn resident_bytes() -> u64 {
    // Usually there are none, which one system call tells. The files in `/proc` would take a read for each thread of this process.
    if has_children() { tree_bytes(std::process::id()) } else { 0 }
}

/// Returns whether there is any child, running or ended. It does not reap an ended child, so others can still wait for it.
#[cfg(target_os = "linux")]
fn has_children() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // `ECHILD` is the only possible error.
    waitid(WaitId::All, options).is_ok()
}

#[cfg(not(target_os = "linux"))]
const fn has_children() -> bool {
    false
}

/// Returns the bytes that a program and its descendants hold in pages that are no copy of a file. Zero where the system does not report them.
///
/// Pages of files are not counted, because the system takes them back when it needs them: a model that is mapped into memory may be larger than the
/// program's limit.
pub fn unshared_tree_bytes(program: u32) -> u64 {
    bytes_of(vec![program], unshared_bytes)
}

/// Returns the resident bytes of all descendants of `parent`, without itself.
fn tree_bytes(parent: u32) -> u64 {
    bytes_of(children(parent), status_bytes)
}

/// Returns the sum of `bytes_in` over the `status` files of these processes and their descendants. Processes start and end meanwhile. One that has
/// ended counts as 0.
fn bytes_of(mut found: Vec<u32>, bytes_in: fn(&str) -> u64) -> u64 {
    let mut bytes = 0_u64;
    let mut seen = 0;
    while let Some(process) = found.pop() {
        seen += 1;
        if seen > MOST {
            break;
        }
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        bytes = bytes.saturating_add(bytes_in(&status));
        found.extend(children(process));
    }
    bytes
}

/// Returns the child processes. Linux lists them by the thread that started them.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let of_thread = |thread: fs::DirEntry| read_ids(&thread.path().join("children"));
    threads.flat_map(of_thread).collect()
}

fn read_ids(path: &Path) -> Vec<u32> {
    ids(&fs::read_to_string(path).unwrap_or_default())
}

fn ids(text: &str) -> Vec<u32> {
    text.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Returns the resident bytes from a process's `status`. A zombie has no such line and counts as 0.
pub(super) fn status_bytes(status: &str) -> u64 {
    field_bytes(status, "VmRSS:")
}

/// Returns the bytes of anonymous pages and of shared memory without a file.
fn unshared_bytes(status: &str) -> u64 {
    field_bytes(status, "RssAnon:").saturating_add(field_bytes(status, "RssShmem:"))
}

fn field_bytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse().ok());
    kib.unwrap_or(0_u64).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_processes_are_read_and_garbage_is_nothing() {
        for (text, expected) in [("12 345 \n", &[12, 345][..]), ("", &[]), ("7 x -1 99999999999 8", &[7, 8])]
        {
            assert_eq!(ids(text), expected, "{text:?}");
        }
        let status = "Name:\tsh\nVmHWM:\t 9 kB\nVmRSS:\t    100 kB\nThreads:\t1\n";
        for (text, expected) in
            [(status, 102_400), ("VmRSS: 1 MB", 0), ("VmRSS: x kB", 0), ("State:\tZ (zombie)\n", 0), ("", 0)]
        {
            assert_eq!(status_bytes(text), expected, "{text:?}");
        }
        let status = "VmRSS:\t 900 kB\nRssAnon:\t 5 kB\nRssFile:\t 800 kB\nRssShmem:\t 2 kB\n";
        assert_eq!((unshared_bytes(status), unshared_bytes("VmRSS:\t 900 kB\n")), (7 * 1024, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_and_its_child_are_counted_and_are_still_there_to_be_waited_for() {
        use std::{
            io::{BufRead, BufReader, Write},
            process::{Command, Stdio},
        };
        let mut shell = Command::new("sh")
            .args(["-c", "(read line; :); echo ended"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while children(shell.id()).is_empty() {
            assert!(std::time::Instant::now() < deadline, "the shell starts no other");
            std::thread::yield_now();
        }
        let inner_bytes = tree_bytes(shell.id());
        assert!(inner_bytes > 0 && has_children());
        assert!(resident_bytes() > inner_bytes, "the shell itself counts too");
        shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ended\n");
        let status = format!("/proc/{}/status", shell.id());
        while status_bytes(&fs::read_to_string(&status).unwrap()) > 0 {
            assert!(std::time::Instant::now() < deadline, "the shell does not end");
            std::thread::yield_now();
        }
        // A zombie holds no memory, but still exists.
        assert!(has_children());
        assert_eq!(tree_bytes(shell.id()), 0);
        assert!(shell.wait().unwrap().success());
    }
}
