//! `reel daemon logs`: prints the newest lines of the daemon's log, and follows it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    time::Duration,
};

use serde::Serialize;
use tokio::time::sleep;

use crate::{context::Context, exit::Exit, failure::Failure};

/// The name of the daemon's log in its log directory.
const LOG: &str = "reeld.log";

/// Most bytes that are read from the end of the log. Enough for any number of lines that a person wants, and far less than a log may have.
const TAIL_BYTES: u64 = 4 * 1024 * 1024;

/// Interval at which a followed log is read.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The number of lines, and whether to follow the log.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep printing new lines as they are logged.
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to print.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    lines: Vec<&'a str>,
}

/// Prints the lines.
pub async fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    if args.follow && context.output.is_json {
        return Err(Failure::usage("--follow never ends, so it cannot be one JSON document"));
    }
    let path = context.locations().logs().join(LOG);
    let cannot_read = |error: &io::Error| {
        Failure::new(Exit::NoInput, "no_input", format!("cannot read {}: {error}", path.display()))
    };
    let (text, mut end) = read_tail(&path).map_err(|error| cannot_read(&error))?;
    let lines = last_lines(&text, args.lines);
    context.output.data(&lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>())?;
    context.output.document(&Document { lines })?;
    if !args.follow {
        return Ok(Exit::Done);
    }
    loop {
        sleep(POLL_INTERVAL).await;
        let (text, now) = read_from(&path, end).map_err(|error| cannot_read(&error))?;
        context.output.data(&text)?;
        end = now;
    }
}

fn read_tail(path: &Path) -> io::Result<(String, u64)> {
    let length = path.metadata()?.len();
    read_from(path, length.saturating_sub(TAIL_BYTES))
}

/// Reads the file from `start` and returns the text and the offset of its end. A file that became shorter than `start` was replaced, and is read from
/// its beginning.
fn read_from(path: &Path, start: u64) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let start = if file.metadata()?.len() < start { 0 } else { start };
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    let read = file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), start + read as u64))
}

fn last_lines(text: &str, count: usize) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().rev().take(count).collect();
    lines.reverse();
    lines
}
