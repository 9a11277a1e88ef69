//! A small disk of its own, for tests that fill it. Needs root; without, each test says so and passes.

use std::{
    ffi::CString,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::{Sandbox, needs};

/// A small disk in memory, gone when dropped.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None, and why is printed, where this user may not mount.
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

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A running daemon whose home is on this disk. To be dropped before it.
    pub fn sandbox(&self) -> Sandbox {
        let sandbox = Sandbox::new().with_home(self.0.path().join("home"));
        sandbox.start();
        sandbox
    }

    /// Takes all room but `kilobytes`, or what others leave of it meanwhile.
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
