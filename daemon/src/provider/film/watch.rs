//! Watches a run of the program: reports its progress, and stops it once it is stuck or cancelled.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{self, Instant, MissedTickBehavior},
};

use crate::domain::{CancelSignal, ProgressSink};

/// The file in the program's directory to which the program writes its progress.
const PROGRESS: &str = "progress.txt";
/// Bytes that are read from the end of that file. They hold the last report and the one before it.
const REPORT_BYTES: u64 = 1_024;
/// The time between two checks of a run.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// A program that reports no progress and writes no byte for this long is stuck.
pub(super) const STALL: Duration = Duration::from_mins(1);

/// The part of a task's progress that one run of the program makes.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub progress: ProgressSink,
    /// The task's progress at the begin and at the end of the run, from 0 to 1.
    pub from: f64,
    pub to: f64,
    /// The name of the step that a person reads.
    pub step: &'static str,
}

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The caller cancelled it.
    Cancelled,
    /// It was stuck: it made no progress for too long.
    Stalled,
}

/// The paths of a run's progress file and output file, once they are known.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<OnceLock<(PathBuf, PathBuf)>>);

impl Places {
    /// Stores the paths of a run, and returns the arguments that make the program write its progress.
    pub(super) fn note(&self, directory: &Path, output: &Path) -> [String; 2] {
        let _ = self.0.set((directory.join(PROGRESS), output.to_owned()));
        ["-progress".to_owned(), format!("file:{PROGRESS}")]
    }

    /// Reads how far the run is; `None` before its paths are known. Blocks.
    fn look(&self) -> Option<Reached> {
        let (progress, output) = self.0.get()?;
        let report = last_report(progress).unwrap_or_default();
        let output = fs::metadata(output).ok();
        Some(Reached {
            seconds: seconds(&report),
            report,
            written: output.map(|file| (file.len(), file.modified().ok())),
        })
    }
}

/// How far a run is. Any difference between two of these is progress.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reached {
    /// The playing time that is made, in seconds, if the program reports it.
    seconds: Option<f64>,
    /// The lines of the program's last report that change while it makes progress.
    report: String,
    /// The size and the modification time of the output file. Only these change while the program moves the index to the front of a large file.
    written: Option<(u64, Option<SystemTime>)>,
}

/// Returns once the run is cancelled or stuck, and has told the runner so through `stop`. It never returns while the run makes progress and is not
/// cancelled.
pub(super) async fn watch(
    places: Places,
    (length, part): (Duration, Option<Part>),
    mut cancel: CancelSignal,
    stop: watch::Sender<bool>,
    stall: Duration,
) -> Stopped {
    let mut ticks = time::interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut reached, mut since) = (None, Instant::now());
    let stopped = loop {
        tokio::select! {
            is_asked = cancel.wait_for(|is_cancelled| *is_cancelled) => match is_asked {
                Ok(_) => break Stopped::Cancelled,
                // The sender was dropped, so nobody can cancel the run; the whole run is then dropped too.
                Err(_) => std::future::pending().await,
            },
            _ = ticks.tick() => {}
        }
        let there = places.clone();
        let now = tokio::task::spawn_blocking(move || there.look()).await.ok().flatten();
        if now != reached || now.is_none() {
            (reached, since) = (now, Instant::now());
            let seconds = reached.as_ref().and_then(|reached| reached.seconds);
            if let (Some(Part { progress, from, to, step }), Some(seconds)) = (&part, seconds) {
                let share = (seconds / length.as_secs_f64().max(0.001)).clamp(0.0, 1.0);
                progress.report(from + (to - from) * share, *step);
            }
        } else if since.elapsed() >= stall {
            break Stopped::Stalled;
        }
    };
    let _ = stop.send(true);
    stopped
}

/// Returns the last complete report of a file, without the lines that change though there is no progress. A report has lines of a name and a
/// value, and ends with the line `progress`.
fn last_report(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let start = file.metadata().ok()?.len().saturating_sub(REPORT_BYTES);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.take(REPORT_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let moving =
        |line: &&str| ["frame=", "out_time_us=", "total_size="].iter().any(|name| line.starts_with(name));
    let (whole, _) = text.rsplit_once("progress=")?;
    let report = whole.rsplit("progress=").next().unwrap_or_default();
    Some(report.lines().filter(moving).collect::<Vec<_>>().join("\n"))
}

/// Returns the playing time that a report says is made, in seconds.
fn seconds(report: &str) -> Option<f64> {
    let line = report.lines().find_map(|line| line.strip_prefix("out_time_us="))?;
    line.trim().parse::<f64>().ok().map(|micros| (micros / 1e6).max(0.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_last_whole_report_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("progress");
        let report = |micros: u64, end: &str| {
            format!("frame=3\nfps=9.1\nbitrate=N/A\nout_time_us={micros}\nspeed=1x\n{end}")
        };
        assert_eq!(last_report(&path), None);
        for (text, expected) in [
            (String::new(), None),
            (report(1, ""), None),
            (report(1_500_000, "progress=continue\n"), Some(1.5)),
            (report(1_500_000, "progress=continue\n") + &report(9, ""), Some(1.5)),
            (report(1, "progress=continue\n") + &report(2_000_000, "progress=end\n"), Some(2.0)),
            (report(1, "progress=continue\n").repeat(50) + &report(3_000_000, "progress=end\n"), Some(3.0)),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(last_report(&path).as_deref().and_then(seconds), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_run_that_does_not_move_is_stopped_and_one_that_moves_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (places, output) = (Places::default(), directory.path().join("output.mp4"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (_caller, cancel) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let noted = Arc::clone(&told);
        let progress = ProgressSink::new(move |fraction, _| noted.lock().unwrap().push(fraction));
        let part = Part { progress, from: 0.5, to: 1.0, step: "mixing" };
        let stall = CHECK_INTERVAL * 3;
        let watching = watch(places.clone(), (Duration::from_secs(10), Some(part)), cancel, stop, stall);
        tokio::pin!(watching);
        // A run that has not begun is not stuck, and neither is one with a growing output file.
        assert!(time::timeout(stall * 2, &mut watching).await.is_err());
        places.note(directory.path(), &output);
        for count in 1..=5 {
            fs::write(&output, vec![0; count]).unwrap();
            assert!(time::timeout(CHECK_INTERVAL, &mut watching).await.is_err());
        }
        fs::write(directory.path().join(PROGRESS), "out_time_us=5000000\nprogress=continue\n").unwrap();
        assert_eq!(watching.await, Stopped::Stalled);
        assert!(*stopped.borrow());
        assert_eq!(*told.lock().unwrap(), [0.75]);
    }

    #[tokio::test]
    async fn a_run_that_is_cancelled_is_stopped() {
        let (caller, cancel) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        caller.send(true).unwrap();
        let end = watch(Places::default(), (Duration::from_secs(1), None), cancel, stop, STALL).await;
        assert_eq!((end, *stopped.borrow()), (Stopped::Cancelled, true));
    }
}
