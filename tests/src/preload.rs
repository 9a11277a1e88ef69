//! Libraries that are loaded before the system's own, so that a system call does what a disk or a file system does one day.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles a C source into a library for `LD_PRELOAD`, with the compiler that reel itself is built with.
#[track_caller]
pub fn library(directory: &Path, source: &str) -> PathBuf {
    let (file, library) = (directory.join("preload.c"), directory.join("preload.so"));
    fs::write(&file, source).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &file]).arg("-ldl").status();
    assert!(compiled.unwrap().success(), "the C compiler that reel is built with");
    library
}
