//! The harness of the benches: marks are measured beside a reference in the same run, interleaved, and printed as one table.
//!
//! `cargo bench -p reel-tests -- [--json] [NAME]…`: only marks whose name contains one of the names. A figure is printed, never asserted.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde_json::{Value, json};

use crate::Sandbox;

/// Spread (p90 over p10) past which a median says more about the machine than about what was measured: with other work on its cores, a
/// sleeping thread is woken a scheduler's tick late, now on one side, now on the other.
const NOISY_SPREAD: f64 = 4.0;

/// What one figure is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; shown as µs or ms.
    Seconds,
    /// So many a second.
    PerSecond,
    /// A bare number.
    Count,
    /// Bytes; shown as MB.
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

/// Many measurements of one thing.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// From measurements in any order.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// One value that was not measured here, but published elsewhere.
    pub fn constant(value: f64) -> Self {
        Self(vec![value])
    }

    /// The same with each measurement converted, such as a time into a rate.
    #[must_use]
    pub fn map(self, convert: impl Fn(f64) -> f64) -> Self {
        Self::new(self.0.into_iter().map(convert).collect())
    }

    /// The value below which `fraction` of the measurements lie.
    pub fn quantile(&self, fraction: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * fraction).round() as usize).copied().unwrap_or(f64::NAN)
    }

    fn is_noisy(&self) -> bool {
        self.quantile(0.9) > self.quantile(0.1) * NOISY_SPREAD
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// The name in the table of goals, such as `T1`.
    pub mark: &'static str,
    /// What is measured.
    pub figure: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// Ours.
    pub ours: Samples,
    /// What stands beside it.
    pub reference_name: &'static str,
    /// Its measurements.
    pub reference: Samples,
    /// To be reached first, as the table of goals has it.
    pub first: &'static str,
    /// To be reached in the end.
    pub goal: &'static str,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours.median() / self.reference.median()
    }

    /// Whether the ratio is not to be trusted.
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

/// A mark's name in the table of goals, and what measures it.
pub type Mark = (&'static str, fn() -> Vec<Row>);

/// Runs the marks that the command line names, all by default, and prints their rows.
pub fn main(marks: &[Mark]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts us too, without the word that `cargo bench` gives.
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

/// `cargo bench` builds no binaries of other packages, and a bench of an old one would mislead.
fn build_binaries() {
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        // Named with this package, so that they share the dependencies that its benches were built with.
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

/// Measures two things in turn, `rounds` times each, so that a noisy machine moves both. Each gives any number of samples a round.
pub fn interleaved(
    rounds: usize,
    mut ours: impl FnMut() -> Vec<f64>,
    mut reference: impl FnMut() -> Vec<f64>,
) -> (Samples, Samples) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Neither is always the first after the other.
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

/// The seconds that `work` takes.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// `count` times the seconds that `work` takes.
pub fn each(count: usize, mut work: impl FnMut()) -> Vec<f64> {
    (0..count).map(|_| seconds(&mut work)).collect()
}

/// A directory on the disk that the build is on: temporary directories may be in memory, where syncing costs nothing.
///
/// Its directories are to lie apart, as those at the top of a disk do. Where ext4 has no journal, making a file passes over each inode that was
/// freed in the last minutes one by one, up to twenty times slower for all who write near a home that an earlier bench has left.
pub fn disk() -> PathBuf {
    let own = std::env::current_exe().expect("the bench has a path");
    let homes = own.parent().map_or_else(|| PathBuf::from("."), Path::to_owned).join("bench-homes");
    fs::create_dir_all(&homes).expect("the build's directory takes another one");
    if let Ok(directory) = File::open(&homes)
        && let Ok(flags) = ioctl_getflags(&directory)
    {
        // Other file systems know no such wish.
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
    homes
}

/// An empty home on the real disk.
pub fn sandbox() -> Sandbox {
    Sandbox::on_disk(&disk())
}
