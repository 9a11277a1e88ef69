//! A small disk, for tests that fill it. Mounting it needs root rights; without them a test records that it is skipped, and passes.

use std::{
    ffi::CString,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{Sandbox, needs};

/// A small file system in memory. Dropping it unmounts it.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts a disk of this size. If this user may not mount, it records the test as skipped and returns None.
    pub fn mounted(megabytes: u32) -> Option<Self> {
        let at = tempfile::Builder::new().prefix("reel-disk-").tempdir().unwrap();
        let size = CString::new(format!("size={megabytes}m,mode=0700")).unwrap();
        match mount("tmpfs", at.path(), "tmpfs", MountFlags::empty(), Some(size.as_c_str())) {
            Ok(()) => Some(Self(at)),
            Err(error) => {
                needs::skipped(&format!("a small disk cannot be mounted without root's rights: {error}"));
                None
            }
        }
    }

    /// Returns the mount point.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Starts a daemon whose home is on this disk. The sandbox must be dropped before the disk.
    pub fn sandbox(&self) -> Sandbox {
        let sandbox = Sandbox::new().with_home(self.0.path().join("home"));
        sandbox.start();
        sandbox
    }

    /// Writes a file that leaves at most `kilobytes` of free space, and returns its path.
    pub fn fill_up_to(&self, kilobytes: u64) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let has_more = || {
            let space = rustix::fs::statvfs(self.0.path()).unwrap();
            space.f_bavail * space.f_frsize > kilobytes * 1024
        };
        while has_more() && file.write_all(&[7; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}
