//! A terminal for tests: a program writes to it, and the test reads what a person would see.

use std::{
    fs::File,
    io::Read as _,
    process::Command,
    sync::{Arc, Mutex},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A pseudoterminal whose output a thread reads.
#[derive(Debug)]
pub struct Terminal {
    name: String,
    shown: Arc<Mutex<String>>,
    /// The program side, kept open. Without it the terminal would hang up whenever no program has it open.
    _held: File,
}

impl Terminal {
    /// Opens a terminal on which nothing was printed yet.
    pub fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let held = File::options().read(true).write(true).open(&name).unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let text = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut master = File::from(master);
            let mut bytes = [0; 4096];
            // The read fails once this value is dropped and every program has closed the terminal.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { name, shown, _held: held }
    }

    /// Opens a terminal of this size. Programs draw no progress bars without a size.
    pub fn of_size(rows: u16, columns: u16) -> Self {
        let terminal = Self::open();
        let size = ["rows".to_owned(), rows.to_string(), "cols".to_owned(), columns.to_string()];
        let set = Command::new("stty").args(size).stdin(terminal.program_side()).status().unwrap();
        assert!(set.success(), "stty failed");
        terminal
    }

    /// Opens the side that a program reads and writes.
    pub fn program_side(&self) -> File {
        File::options().read(true).write(true).open(&self.name).unwrap()
    }

    /// Returns everything that was written so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }
}
