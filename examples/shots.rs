//! Asks reel for three shots at once, follows them, and saves each as it is done.
//!
//! `cargo run -p reel-cli --example shots -- DIRECTORY`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::{error::Error, fs::File, path::PathBuf};

use reel_client::{
    Client, ConnectOptions,
    protocol::{
        ImageParams, JsonText, TaskSpec,
        methods::{SubmitBatchParams, SubscribeParams, TaskSubmitBatch, Topic},
    },
};

const SHOTS: [&str; 3] = ["a harbour at dawn, boats", "a crowd on a train platform, night", "风暴中的灯塔"];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: shots DIRECTORY")?);
    std::fs::create_dir_all(&directory)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(make(directory))
}

async fn make(directory: PathBuf) -> Result<(), Box<dyn Error>> {
    // Starts `reeld` where none runs.
    let client = Client::connect(&ConnectOptions::from_env("shots")?).await?;
    // Listening comes first: whatever happens to the tasks from now on is told.
    let mut events =
        client.subscribe(&SubscribeParams { topics: vec![Topic::Task], task_ids: None, batch: None }).await?;

    let shot = |prompt: &str| -> Result<TaskSpec, Box<dyn Error>> {
        let params = ImageParams { width: 640, height: 360, ..ImageParams::new(prompt) };
        Ok(TaskSpec {
            kind: "image.generate".into(),
            params: JsonText::from_value(&params)?,
            ..TaskSpec::default()
        })
    };
    let tasks = SHOTS.into_iter().map(shot).collect::<Result<_, _>>()?;
    let batch =
        client.call::<TaskSubmitBatch>(&SubmitBatchParams { tasks, ..SubmitBatchParams::default() }).await?;

    let mut open = batch.ids.clone();
    while !open.is_empty() {
        let Some(task) = events.next().await?.task.filter(|task| open.contains(&task.id)) else { continue };
        eprintln!(
            "task {} {} {:3.0} % {}",
            task.id,
            task.state.name(),
            task.progress.fraction * 100.0,
            task.progress.message
        );
        if !task.state.is_settled() {
            continue;
        }
        open.retain(|id| *id != task.id);
        for finished in client.wait(&[task.id], None).await?.tasks {
            for output in &finished.outputs {
                let path = directory.join(format!("shot-{}.png", finished.id));
                // Checked against its digest on the way.
                client.fetch(output, File::create(&path)?).await?;
                println!("{}", path.display());
            }
        }
    }
    Ok(())
}
