//! Reads the results of a task that worked on a story: the film, the subtitles and the report.

use std::io::Read as _;

use reel_client::Session;
use reel_protocol::{Output, StoryReport, TaskView};

use crate::{exit::Exit, failure::Failure};

/// Largest report that is read, in bytes. A story of 2 MB has some thousand shots.
const REPORT_BYTES: u64 = 64 * 1024 * 1024;

/// The results of a task that worked on a story.
#[derive(Debug)]
pub struct Results<'a> {
    /// The film, if one was joined.
    pub film: Option<&'a Output>,
    /// The subtitles as SRT, if anything is spoken.
    pub subtitles: Option<&'a Output>,
    /// The outcome of every shot.
    pub report: StoryReport,
}

impl<'a> Results<'a> {
    /// Reads the task's outputs. None if it has no report, such as after an early cancel.
    pub async fn read(session: &Session, task: &'a TaskView) -> Result<Option<Self>, Failure> {
        let find = |media_type: &str| task.outputs.iter().find(|output| output.media_type == media_type);
        let Some(report) = find("application/json") else { return Ok(None) };
        let text = match &report.text {
            Some(text) => text.clone(),
            None => fetch_text(session, report).await?,
        };
        let report = serde_json::from_str(&text).map_err(|error| {
            let message = format!("the report of task {} cannot be understood: {error}", task.id);
            Failure::new(Exit::Protocol, "protocol_mismatch", message)
                .hint("reel daemon restart starts the daemon of this version")
        })?;
        Ok(Some(Self { film: find("video/mp4"), subtitles: find("application/x-subrip"), report }))
    }
}

async fn fetch_text(session: &Session, output: &Output) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::io("cannot read the report", &error);
    let file = tempfile::tempfile().map_err(failed)?;
    let file = session.fetch(output, file).await?;
    let mut text = String::new();
    file.take(REPORT_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
