//! Asks reel for three shots at once, follows them, and saves each as it is done, also where the daemon dies meanwhile.
//!
//! `cargo run -p reel-client --example shots -- DIRECTORY`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::{error::Error, fs::File, path::PathBuf};

use reel_client::{
    ConnectOptions, Follow, Followed, Session,
    protocol::{ImageParams, JsonText, TaskSpec, methods::SubmitBatchParams},
};

const SHOTS: [&str; 3] = ["a harbour at dawn, boats", "a crowd on a train platform, night", "风暴中的灯塔"];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: shots DIRECTORY")?);
    std::fs::create_dir_all(&directory)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(make(directory))
}

async fn make(directory: PathBuf) -> Result<(), Box<dyn Error>> {
    // Starts `reeld` where none runs.
    let session = Session::connect(ConnectOptions::from_env("shots")?).await?;
    let shot = |prompt: &str| -> Result<TaskSpec, Box<dyn Error>> {
        let params = ImageParams { width: 640, height: 360, ..ImageParams::new(prompt) };
        Ok(TaskSpec {
            kind: "image.generate".into(),
            params: JsonText::from_value(&params)?,
            ..TaskSpec::default()
        })
    };
    let tasks = SHOTS.into_iter().map(shot).collect::<Result<_, _>>()?;
    let batch = session.submit_batch(&SubmitBatchParams { tasks, ..SubmitBatchParams::default() }).await?;

    // How each stands, then each change.
    let mut follow = Follow::batch(&session, batch.batch, batch.ids);
    while !follow.is_settled() {
        let (id, state, progress) = match follow.next().await? {
            Followed::Task(task) => (task.id, task.state, task.progress),
            Followed::Event(event) => match event.task {
                Some(task) => (task.id, task.state, task.progress),
                None => continue,
            },
            _ => continue,
        };
        eprintln!("task {id} {} {:3.0} % {}", state.name(), progress.fraction * 100.0, progress.message);
        if !state.is_settled() {
            continue;
        }
        for finished in session.wait(&[id], None).await?.tasks {
            for output in &finished.outputs {
                let path = directory.join(format!("shot-{}.png", finished.id));
                // Checked against its digest on the way.
                session.fetch(output, File::create(&path)?).await?;
                println!("{}", path.display());
            }
        }
    }
    Ok(())
}
