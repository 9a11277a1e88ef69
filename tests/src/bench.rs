//! The harness of the benches. It measures each mark and its reference in turn in one run, and prints all marks as one table.
//!
//! `cargo bench -p reel-tests -- [--json] [NAME]…` runs only the marks whose name contains one of the names. Figures are printed, never asserted.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde_json::{Value, json};

use crate::Sandbox;

/// The largest spread (p90 divided by p10) at which a median can be trusted. Above it, the median says more about the machine than about the code:
/// when other work uses the cores, the scheduler wakes a sleeping thread a tick late, on one side or the other.
const NOISY_SPREAD: f64 = 4.0;

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, shown as µs or ms.
    Seconds,
    /// A rate per second.
    PerSecond,
    /// A number without a unit.
    Count,
    /// Bytes, shown as MB.
    Bytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 0.001 => format!("{:.1} µs", value * 1e6),
            Self::Seconds => format!("{:.2} ms", value * 1e3),
            Self::PerSecond if value < 100.0 => format!("{value:.1} /s"),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Count => format!("{value}"),
            Self::Bytes => format!("{:.1} MB", value / 1e6),
        }
    }
}

/// The measurements of one figure, sorted.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Sorts measurements that may be in any order.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Returns one value that was not measured here but published elsewhere.
    pub fn constant(value: f64) -> Self {
        Self(vec![value])
    }

    /// Converts each measurement, for example from a time to a rate.
    #[must_use]
    pub fn map(self, convert: impl Fn(f64) -> f64) -> Self {
        Self::new(self.0.into_iter().map(convert).collect())
    }

    /// Returns the value below which `fraction` of the measurements lie; NaN if there are none.
    pub fn quantile(&self, fraction: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * fraction).round() as usize).copied().unwrap_or(f64::NAN)
    }

    fn is_noisy(&self) -> bool {
        self.quantile(0.9) > self.quantile(0.1) * NOISY_SPREAD
    }

    /// Returns the median.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// One row of the printed table.
#[derive(Debug, Clone)]
pub struct Row {
    /// The name of the row in the table of goals, such as `T1`.
    pub mark: &'static str,
    /// A description of what is measured.
    pub figure: &'static str,
    /// The unit of both sides.
    pub unit: Unit,
    /// The measurements of reel.
    pub ours: Samples,
    /// The name of what reel is compared with.
    pub reference_name: &'static str,
    /// The measurements of the reference.
    pub reference: Samples,
    /// The first goal for the ratio, as the table of goals words it.
    pub first: &'static str,
    /// The final goal for the ratio, as the table of goals words it.
    pub goal: &'static str,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours.median() / self.reference.median()
    }

    /// Whether one side spreads too far for the ratio to be trusted.
    fn is_noisy(&self) -> bool {
        self.ours.is_noisy() || self.reference.is_noisy()
    }

    fn document(&self) -> Value {
        let samples = |samples: &Samples| json!({ "median": samples.median(), "p10": samples.quantile(0.1), "p90": samples.quantile(0.9), "samples": samples.0.len() });
        json!({
            "mark": self.mark, "figure": self.figure, "unit": format!("{:?}", self.unit), "ours": samples(&self.ours),
            "reference_name": self.reference_name, "reference": samples(&self.reference), "ratio": self.ratio(), "is_noisy": self.is_noisy(),
            "first": self.first, "goal": self.goal,
        })
    }

    fn cells(&self) -> [String; 9] {
        let spread = |samples: &Samples| {
            let (low, high) = (samples.quantile(0.1), samples.quantile(0.9));
            if samples.0.len() == 1 {
                String::new()
            } else {
                format!("{}–{}", self.unit.show(low), self.unit.show(high))
            }
        };
        [
            self.mark.to_owned(),
            self.figure.to_owned(),
            self.unit.show(self.ours.median()),
            spread(&self.ours),
            format!("{}: {}", self.reference_name, self.unit.show(self.reference.median())),
            spread(&self.reference),
            format!("{:.2} ×{}", self.ratio(), if self.is_noisy() { " ?" } else { "" }),
            self.first.to_owned(),
            self.goal.to_owned(),
        ]
    }
}

/// The name of a row in the table of goals, and the function that measures it.
pub type Mark = (&'static str, fn() -> Vec<Row>);

/// Runs the marks that the command line names and prints their rows. Without names it runs all.
pub fn main(marks: &[Mark]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this program too, but without the argument `--bench` that `cargo bench` adds.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |mark: &str| names.is_empty() || names.iter().any(|name| mark.contains(name.as_str()));
    let wanted: Vec<&Mark> = marks.iter().filter(|(mark, _)| is_wanted(mark)).collect();
    if wanted.is_empty() {
        return;
    }
    build_binaries();
    let rows: Vec<Row> = wanted.iter().flat_map(|(_, measure)| measure()).collect();
    let is_json = arguments.iter().any(|argument| argument == "--json");
    let document = || rows.iter().map(Row::document).collect::<Value>().to_string();
    print(&if is_json { document() } else { table(&rows) });
}

#[expect(clippy::print_stdout, reason = "the table is what a bench is run for")]
fn print(text: &str) {
    println!("{text}");
}

/// Builds the binaries. `cargo bench` builds no binaries of other packages, and a bench of an outdated binary would mislead.
fn build_binaries() {
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        // Naming this package too makes cargo reuse the dependencies that its benches were built with.
        build.args("build --release --quiet --bins -p reeld -p reel-cli -p reel-tests".split(' '));
        assert!(build.status().is_ok_and(|status| status.success()), "the binaries do not build");
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["mark", "figure", "ours", "p10–p90", "reference", "p10–p90", "ratio", "first", "goal"];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let show = |line: &[String; 9]| {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
    };
    let mut shown: Vec<String> = lines.iter().map(show).collect();
    shown.insert(
        1,
        format!("|{}|", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|")),
    );
    if rows.iter().any(Row::is_noisy) {
        shown.push(
            "? one side spreads too far: the ratio means nothing, run it again on a quieter machine"
                .to_owned(),
        );
    }
    shown.join("\n")
}

/// Measures two things in turn, `rounds` times each, so that noise on the machine affects both. Each closure may return any number of samples per
/// round.
pub fn interleaved(
    rounds: usize,
    mut ours: impl FnMut() -> Vec<f64>,
    mut reference: impl FnMut() -> Vec<f64>,
) -> (Samples, Samples) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Alternate the order, so that neither side always runs first.
        if round % 2 == 0 {
            left.extend(ours());
            right.extend(reference());
        } else {
            right.extend(reference());
            left.extend(ours());
        }
    }
    (Samples::new(left), Samples::new(right))
}

/// Returns the seconds that `work` takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// Runs `work` `count` times and returns the seconds of each run.
pub fn each(count: usize, mut work: impl FnMut()) -> Vec<f64> {
    (0..count).map(|_| seconds(&mut work)).collect()
}

/// Returns a directory on the disk of the build. Temporary directories may be in memory, where a sync costs nothing.
///
/// The directory asks the file system to place its subdirectories apart (`TOPDIR`). On ext4 without a journal, creating a file skips each recently
/// freed inode one by one. Without `TOPDIR`, that makes writes near the home of an earlier bench up to twenty times slower.
pub fn disk() -> PathBuf {
    let own = std::env::current_exe().expect("the bench has a path");
    let homes = own.parent().map_or_else(|| PathBuf::from("."), Path::to_owned).join("bench-homes");
    fs::create_dir_all(&homes).expect("the build's directory takes another one");
    if let Ok(directory) = File::open(&homes)
        && let Ok(flags) = ioctl_getflags(&directory)
    {
        // Other file systems do not support this flag, so an error is ignored.
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
    homes
}

/// Returns a sandbox with an empty home on the real disk.
pub fn sandbox() -> Sandbox {
    Sandbox::on_disk(&disk())
}
