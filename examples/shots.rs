//! Asks reel for three shots at once, shows their progress, and saves them, with tokio.
//!
//! `cargo run -p reel-client --example shots -- DIRECTORY`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::{error::Error, path::PathBuf};

use reel_client::{ImageRequest, Reel};

const SHOTS: [&str; 3] = ["a harbour at dawn, boats", "a crowd on a train platform, night", "风暴中的灯塔"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: shots DIRECTORY")?);
    std::fs::create_dir_all(&directory)?;
    let reel = Reel::connect().await?.on_progress(|update| eprintln!("{update}"));
    let shots = reel.images(SHOTS.map(|prompt| ImageRequest::new(prompt).size(640, 360))).await?;
    // A shot that could not be made is an error in its place. The others are saved all the same.
    for (number, (prompt, shot)) in SHOTS.into_iter().zip(shots).enumerate() {
        match shot {
            Ok(shot) => {
                let path = directory.join(format!("shot-{number}.png"));
                shot.save(&path).await?;
                println!("{}", path.display());
            }
            Err(error) => eprintln!("{}: {}: {error}", prompt, error.code()),
        }
    }
    Ok(())
}
