//! Asks reel for one picture, follows it, and saves it: the program of `docs/connect.md`.
//!
//! `cargo run -p reel-client --example connect -- PROMPT FILE`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::{error::Error, fs::File};

use reel_client::{
    ClientError, ConnectOptions, Follow, Followed, Session,
    protocol::{ImageParams, JsonText, TaskSpec},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let [prompt, file] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "PROMPT FILE")?;
    let spec = TaskSpec {
        kind: "image.generate".into(),
        params: JsonText::from_value(&ImageParams { width: 768, height: 432, ..ImageParams::new(prompt) })?,
        ..TaskSpec::default()
    };
    // Finds the daemon or starts it; connects again, and asks again, should it die.
    let session = Session::connect(ConnectOptions::from_env("connect.rs")?).await?;
    let id = match session.submit(&spec).await {
        Ok(submitted) => submitted.id,
        Err(ClientError::Rpc(error)) => return Err(format!("{}: {error}", error.data.code).into()),
        Err(error) => return Err(error.into()),
    };
    let mut follow = Follow::tasks(&session, vec![id]);
    while !follow.is_settled() {
        if let Followed::Event(event) = follow.next().await?
            && let Some(task) = event.task
        {
            eprintln!("{:3.0} % {}", task.progress.fraction * 100.0, task.progress.message);
        }
    }
    // It is settled: over, or held until somebody decides.
    let task = session.wait(&[id], None).await?.tasks.remove(0);
    let Some(picture) = task.outputs.first() else {
        let code = task.error.map_or_else(|| "held".into(), |error| error.code);
        return Err(format!("task {id} {}: {code}", task.state.name()).into());
    };
    // From the daemon's store or over the socket, checked against its digest.
    session.fetch(picture, File::create_new(&file)?).await?;
    println!("{file}: {} bytes of {}, task {id}", picture.size_bytes, picture.media_type);
    Ok(())
}
