//! Asks reel for one picture and saves it.
//!
//! `cargo run -p reel-client --example picture -- PROMPT FILE`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;

use reel_client::{ImageRequest, blocking::Reel};

fn main() -> Result<(), Box<dyn Error>> {
    let [prompt, file] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "PROMPT FILE")?;
    let picture = Reel::connect()?.image(ImageRequest::new(prompt).size(768, 432))?;
    picture.save(&file)?;
    println!("{file}: {} bytes of {}", picture.output().size_bytes, picture.media_type());
    Ok(())
}
