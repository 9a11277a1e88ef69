//! Asks reel for one picture and saves it, without tokio.
//!
//! `cargo run -p reel-client --example picture -- PROMPT FILE`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::{error::Error, fs::File};

use reel_client::{ConnectOptions, blocking::Session, protocol::ImageParams};

fn main() -> Result<(), Box<dyn Error>> {
    let [prompt, file] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "PROMPT FILE")?;
    // Finds the daemon or starts it; goes on with the next one, should it die.
    let session = Session::connect(ConnectOptions::from_env("picture.rs")?)?;
    let task = session.generate(&ImageParams { width: 768, height: 432, ..ImageParams::new(prompt) })?;
    let picture = task.outputs.first().ok_or("no picture")?;
    session.fetch(picture, File::create_new(&file)?)?;
    println!("{file}: {} bytes of {}, task {}", picture.size_bytes, picture.media_type, task.id);
    Ok(())
}
