//! A terminal of a test: a program writes to it, and the test reads what a person would see.

use std::{
    fs::File,
    io::Read as _,
    sync::{Arc, Mutex},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A pseudoterminal, read by a thread.
#[derive(Debug)]
pub struct Terminal {
    name: String,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// A terminal on which nothing is shown yet.
    pub fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let text = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut master = File::from(master);
            let mut bytes = [0; 4096];
            // It fails once every program has closed the terminal.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { name, shown }
    }

    /// The side of the program.
    pub fn program_side(&self) -> File {
        File::options().read(true).write(true).open(&self.name).unwrap()
    }

    /// Everything that was written so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }
}
