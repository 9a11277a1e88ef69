//! A log file of limited size. The line that would exceed the limit begins a new file, and the former file is renamed to `.1`.
//!
//! If a write fails, only its line is lost. A full disk must not stop the daemon, whose log reports the full disk.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(super) struct CappedFile {
    path: PathBuf,
    max_bytes: u64,
    open: OpenFile,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    bytes: u64,
    /// Whether the last write failed, and may have written a part of its line.
    is_torn: bool,
}

impl CappedFile {
    /// Opens the file to append to it. Creates it, and its directory, if they are missing.
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            create_private_dir(directory)?;
        }
        let file = open_private(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, max_bytes, open: OpenFile { file, bytes, is_torn: false } })
    }

    fn append(&mut self, line: &[u8]) {
        if self.try_append(line).is_err() {
            self.open.is_torn = true;
        }
    }

    fn try_append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.open.bytes > 0 && self.open.bytes + line.len() as u64 > self.max_bytes {
            self.begin_anew()?;
        }
        let open = &mut self.open;
        if open.is_torn {
            open.file.write_all(b"\n")?;
            open.bytes += 1;
            open.is_torn = false;
        }
        open.file.write_all(line)?;
        open.bytes += line.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let open = &mut self.open;
        let mut former = self.path.clone().into_os_string();
        former.push(".1");
        if fs::rename(&self.path, PathBuf::from(former)).is_ok() {
            open.file = open_private(&self.path)?;
            open.bytes = open.file.metadata()?.len();
        } else {
            // The former file cannot be replaced, so this file is emptied: it must not grow beyond its limit.
            open.file.set_len(0)?;
            open.bytes = 0;
        }
        open.is_torn = false;
        Ok(())
    }
}

fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.append(true).create(true).open(path)
}

impl Write for CappedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.append(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_never_passes_its_size_and_the_former_one_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("logs/reeld.log");
        let former = root.path().join("logs/reeld.log.1");
        let mut file = CappedFile::open(path.clone(), 100).unwrap();
        for number in 0..40 {
            file.append(format!("line {number:02} ..........\n").as_bytes());
            assert!(fs::metadata(&path).unwrap().len() <= 100);
        }
        let text = fs::read_to_string(&former).unwrap() + &fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("line 39 ..........\n") && text.contains("line 32"), "{text}");
        drop(file);
        let bytes = fs::metadata(&path).unwrap().len();
        let mut file = CappedFile::open(path.clone(), 100).unwrap();
        file.append(b"x\n");
        assert!([2, bytes + 2].contains(&fs::metadata(&path).unwrap().len()));
        file.append(&[b'y'; 500]);
        file.append(b"z\n");
        assert_eq!(fs::read(&path).unwrap(), b"z\n");
    }

    #[test]
    fn a_full_disk_drops_lines_and_nothing_else() {
        let Ok(file) = OpenOptions::new().append(true).open("/dev/full") else { return };
        let root = tempfile::tempdir().unwrap();
        let mut log = CappedFile::open(root.path().join("log"), 1000).unwrap();
        let whole = std::mem::replace(&mut log.open.file, file);
        log.append(b"lost\n");
        log.append(b"lost\n");
        log.open.file = whole;
        log.append(b"kept\n");
        assert_eq!(fs::read(root.path().join("log")).unwrap(), b"\nkept\n");
    }

    #[test]
    fn something_in_the_way_of_the_former_file_does_not_let_this_one_grow() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("log.1/full")).unwrap();
        let mut log = CappedFile::open(root.path().join("log"), 10).unwrap();
        for _ in 0..5 {
            log.append(b"12345678\n");
        }
        assert_eq!(fs::read(root.path().join("log")).unwrap(), b"12345678\n");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_log() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("logs/log");
        let _log = CappedFile::open(path.clone(), 10).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
