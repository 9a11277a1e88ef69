//! Finds the executable file of a program on the daemon's `PATH`.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

/// No executable file of the program was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{program} is not installed: {}", reason(program))]
pub struct NotInstalled {
    /// The name or the path that was looked for.
    pub program: String,
    /// How the program is installed, if its definition says so.
    pub install: Option<String>,
}

fn reason(program: &str) -> &'static str {
    if program.contains('/') {
        "there is no executable file at that path"
    } else {
        "no directory of the daemon's PATH has it"
    }
}

impl NotInstalled {
    /// Returns what a person can do about it.
    pub fn hint(&self) -> String {
        let install = self.install.as_ref().map_or_else(String::new, |how| format!("to install it: {how}; "));
        format!("{install}or set program to its absolute path")
    }
}

/// Returns the absolute path of a program. A name is looked up on the daemon's `PATH`, and the first executable file is taken. Reads a few
/// directory entries.
pub fn find_program(program: &str, install: Option<&str>) -> Result<PathBuf, NotInstalled> {
    let found = find(program, env::var_os("PATH").as_deref());
    found.ok_or_else(|| NotInstalled { program: program.to_owned(), install: install.map(str::to_owned) })
}

fn find(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|file| is_executable(file));
    }
    // Relative entries are skipped: they would depend on the directory in which the daemon was started.
    let directories = env::split_paths(path?).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn the_first_executable_file_of_that_name_is_found() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        fs::create_dir_all(root.path().join("a/tool")).unwrap();
        file("b/tool", 0o644);
        let tool = file("c/tool", 0o755);
        file("d/tool", 0o755);
        let path = env::join_paths(["a", "b", "c", "d"].map(|name| root.path().join(name))).unwrap();
        assert_eq!(find("tool", Some(&path)), Some(tool.clone()));
        assert_eq!(find("other", Some(&path)), None);
        assert_eq!(find("tool", Some(OsStr::new("relative:."))), None);
        assert_eq!(find("tool", None), None);
        assert_eq!(find(tool.to_str().unwrap(), None), Some(tool));
        assert_eq!(find("/nowhere/tool", None), None);
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = find_program("reel-no-such-program", Some("apt install nothing")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reel-no-such-program is not installed: no directory of the daemon's PATH has it"
        );
        assert_eq!(error.hint(), "to install it: apt install nothing; or set program to its absolute path");
        let error = find_program("/nowhere/tool", None).unwrap_err();
        assert!(error.to_string().contains("no executable file"), "{error}");
    }
}
