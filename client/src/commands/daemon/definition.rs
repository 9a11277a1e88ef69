//! Defines what a service manager needs to run the daemon: the files, and the commands that install and remove them.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use reel_client::user_units::{self, SERVICE, SOCKET};

const SERVICE_TEXT: &str = include_str!("../../../../systemd/reeld.service");
const SOCKET_TEXT: &str = include_str!("../../../../systemd/reeld.socket");
const AGENT_TEXT: &str = include_str!("../../../../systemd/org.reel.reeld.plist");

/// The label of the launchd agent. Its file has the same name.
const LABEL: &str = "org.reel.reeld";

/// The placeholder in the texts for the directory of `reeld`.
const PLACE: &str = "@BINDIR@";

/// A command with its arguments.
pub type Words = Vec<String>;

/// The definition of the daemon for one service manager.
#[derive(Debug)]
pub struct Definition {
    /// The files to write, in this order.
    pub files: Vec<(PathBuf, String)>,
    /// Links that the manager makes when the files are enabled. If no manager runs at uninstall, they must be removed by hand.
    pub links: Vec<PathBuf>,
    /// The command by which the manager reads its files again, if it needs one. It fails if no manager runs.
    pub reread: Option<Words>,
    /// The command that succeeds if the daemon is enabled already.
    pub is_up: Words,
    /// The command that enables the daemon.
    pub up: Words,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Systemd,
    Launchd { domain: String },
}

/// Why a definition cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// No environment variable names the directory of the user's files.
    #[error("HOME is not set")]
    NoHome,
    /// The path of `reeld` is not UTF-8, and a unit file must be text.
    #[error("the path of reeld is not UTF-8: {}", _0.display())]
    Path(PathBuf),
}

impl Definition {
    /// Returns the definition for this operating system. `program` is the path of `reeld`.
    pub fn of_system(program: &Path, get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Undefined> {
        if cfg!(target_os = "macos") { Self::launchd(program, get) } else { Self::systemd(program, get) }
    }

    fn systemd(program: &Path, get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Undefined> {
        let directory = user_units::directory(get).ok_or(Undefined::NoHome)?;
        let service = SERVICE_TEXT.replace(PLACE, &unit_escaped(&bin_dir(program)?));
        let files =
            vec![(directory.join(SERVICE), service), (directory.join(SOCKET), SOCKET_TEXT.to_owned())];
        Ok(Self {
            files,
            links: vec![directory.join("sockets.target.wants").join(SOCKET)],
            reread: Some(words(&["systemctl", "--user", "daemon-reload"])),
            is_up: words(&["systemctl", "--user", "is-active", "--quiet", SOCKET]),
            up: words(&["systemctl", "--user", "enable", "--now", SOCKET]),
            kind: Kind::Systemd,
        })
    }

    /// This is untested on a real macOS. launchd passes no socket here. The daemon runs from login on and creates its own socket.
    fn launchd(program: &Path, get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Undefined> {
        let home = get("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let file = home.ok_or(Undefined::NoHome)?.join("Library/LaunchAgents").join(format!("{LABEL}.plist"));
        let path = file.to_str().ok_or_else(|| Undefined::Path(file.clone()))?.to_owned();
        let domain = format!("gui/{}", own_uid());
        Ok(Self {
            files: vec![(file, AGENT_TEXT.replace(PLACE, &xml_escaped(&bin_dir(program)?)))],
            links: Vec::new(),
            reread: None,
            is_up: words(&["launchctl", "print", &format!("{domain}/{LABEL}")]),
            up: words(&["launchctl", "bootstrap", &domain, &path]),
            kind: Kind::Launchd { domain },
        })
    }

    /// Returns the command that stops and disables the daemon. `ours` are the files that `reel` wrote.
    pub fn down(&self, ours: &[&Path]) -> Words {
        match &self.kind {
            Kind::Systemd => {
                let names = ours.iter().filter_map(|path| path.file_name()?.to_str());
                let command = ["systemctl", "--user", "disable", "--now"].into_iter();
                command.chain(names).map(str::to_owned).collect()
            }
            Kind::Launchd { domain } => words(&["launchctl", "bootout", &format!("{domain}/{LABEL}")]),
        }
    }
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn bin_dir(program: &Path) -> Result<String, Undefined> {
    let directory = program.parent().and_then(Path::to_str);
    directory.map(str::to_owned).ok_or_else(|| Undefined::Path(program.to_owned()))
}

/// Escapes a text for double quotes in a unit file, see systemd.syntax(7). `%` starts a specifier there.
fn unit_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('\n', "\\n")
}

fn xml_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(unix)]
fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn own_uid() -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use reel_client::user_units::MARKER;

    use super::*;

    fn home(name: &str) -> Option<OsString> {
        (name == "HOME").then(|| "/h".into())
    }

    #[test]
    fn a_path_with_signs_of_a_unit_keeps_its_meaning() {
        let definition = Definition::systemd(Path::new("/opt/a \"b\" 5%/reeld"), home).unwrap();
        let [(_, service), (_, socket)] = &definition.files[..] else { panic!("two units") };
        assert!(service.contains("\nExecStart=\"/opt/a \\\"b\\\" 5%%/reeld\"\n"), "{service}");
        for text in [service, socket] {
            assert!(text.lines().next().unwrap().contains(MARKER) && !text.contains('@'), "{text}");
        }
    }

    #[test]
    fn only_our_own_units_are_dropped() {
        let definition = Definition::systemd(Path::new("/bin/reeld"), home).unwrap();
        let down = definition.down(&[Path::new("/h/.config/systemd/user/reeld.socket")]);
        assert_eq!(down.join(" "), "systemctl --user disable --now reeld.socket");
    }

    #[test]
    fn an_agent_is_a_file_of_ours_too() {
        let definition = Definition::launchd(Path::new("/opt/a&b/reeld"), home).unwrap();
        let [(path, text)] = &definition.files[..] else { panic!("one agent") };
        assert_eq!(path, Path::new("/h/Library/LaunchAgents/org.reel.reeld.plist"));
        assert!(text.contains(MARKER) && text.contains("<string>/opt/a&amp;b/reeld</string>"), "{text}");
        assert_eq!(Definition::launchd(Path::new("/bin/reeld"), |_| None).unwrap_err(), Undefined::NoHome);
    }
}
