//! Asks reel for one picture, shows its progress, and saves it: the program of `docs/connect.md`.
//!
//! `cargo run -p reel-client --example connect -- PROMPT FILE`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::error::Error;

use reel_client::{ImageRequest, blocking::Reel};

fn main() -> Result<(), Box<dyn Error>> {
    let [prompt, file] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "PROMPT FILE")?;
    // Finds the daemon or starts it. If it dies, the library starts the next one and goes on.
    let reel = Reel::connect()?.on_progress(|update| eprintln!("{update}"));
    let request = ImageRequest::new(prompt).size(768, 432);
    // The code of an error never changes; its text is for people.
    let picture = reel.image(request).map_err(|error| format!("{}: {error}", error.code()))?;
    // From the daemon's store or over the socket, checked against its digest.
    picture.save(&file)?;
    let (output, task) = (picture.output(), picture.task());
    println!("{file}: {} bytes of {}, task {}", output.size_bytes, output.media_type, task.id);
    Ok(())
}
