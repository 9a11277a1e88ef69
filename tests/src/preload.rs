//! Libraries for `LD_PRELOAD` that replace system calls, so that a test can simulate failures of a disk or a file system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Compiles C source code to a shared library for `LD_PRELOAD`, with the C compiler that reel itself is built with.
#[track_caller]
pub fn library(directory: &Path, source: &str) -> PathBuf {
    let (file, library) = (directory.join("preload.c"), directory.join("preload.so"));
    fs::write(&file, source).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &file]).arg("-ldl").status();
    assert!(compiled.unwrap().success(), "the C compiler that reel is built with");
    library
}
