//! A named pipe in a program's directory. A thread writes into it what the program reads.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat};

/// The time between two attempts to open the pipe, which fail until the program opened its end.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Tells the writing thread that no program will read from the pipe any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Over(Arc<AtomicBool>);

impl Over {
    /// Ends the wait of `feed` for a reader.
    pub(super) fn set(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Makes a named pipe that only this user can open.
pub(super) fn make(path: &Path) -> io::Result<()> {
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// Opens the pipe once the program reads from it, and calls `write`. A program that stops reading, because it has enough or has ended, is no
/// error here: its exit code tells whether it succeeded. Blocks.
pub(super) fn feed(
    path: &Path,
    over: &Over,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let Some(mut pipe) = open(path, over)? else { return Ok(()) };
    match write(&mut pipe) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn open(path: &Path, over: &Over) -> io::Result<Option<File>> {
    // Without a reader, an open with O_NONBLOCK fails at once. A plain open would wait for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    while !over.0.load(Relaxed) {
        match OpenOptions::new().write(true).custom_flags(flags).open(path) {
            Ok(pipe) => {
                fcntl_setfl(&pipe, fcntl_getfl(&pipe)? - OFlags::NONBLOCK)?;
                return Ok(Some(pipe));
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a thread that may block, until the program has started"
                )]
                std::thread::sleep(CHECK_INTERVAL);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_reader_that_leaves_or_never_comes_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("frames");
        make(&path).unwrap();
        let over = Over::default();
        let read = |count: usize| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut bytes = vec![0; count];
                File::open(path).unwrap().read_exact(&mut bytes).unwrap();
                bytes
            })
        };
        let reader = read(1_000_000);
        feed(&path, &over, |pipe| pipe.write_all(&vec![7; 1_000_000])).unwrap();
        assert_eq!(reader.join().unwrap(), vec![7; 1_000_000]);
        let reader = read(10);
        feed(&path, &over, |pipe| pipe.write_all(&vec![7; 10_000_000])).unwrap();
        reader.join().unwrap();
        over.set();
        feed(&path, &over, |_| unreachable!("nobody reads")).unwrap();
    }
}
