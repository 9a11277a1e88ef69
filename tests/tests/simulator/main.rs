//! Drives the task machine through random commands, faults and deaths of the daemon, and checks it against a reference model.
//!
//! `cargo test` runs enough seeds for about a minute. `cargo test -p reel-tests --test simulator -- --runs 100000` runs more, and `-- --seed 7`
//! replays one seed and prints its trace. A seed that fails is shrunk before it is printed: to fewer steps, to fewer kinds of faults, and to other
//! seeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::struct_excessive_bools,
    reason = "a test fails by panicking, where it stands, and prints the seed that failed"
)]

mod calls;
mod checks;
mod commands;
mod driver;
mod fairness;
mod journal;
mod model;
mod providers;
mod random;
mod run;
mod shrink;
mod world;

use std::process::ExitCode;

use self::{journal::Schema, run::run, world::Options};

/// Number of seeds of a run without arguments.
const RUNS: u64 = 2_000;

struct Arguments {
    first_seed: u64,
    runs: u64,
    steps: u32,
    shows_trace: bool,
}

impl Arguments {
    /// Reads the arguments. Returns `None` if a test runner asks for tests with another name.
    fn read() -> Option<Self> {
        let mut read =
            Self { first_seed: 1, runs: RUNS, steps: Options::default().steps, shows_trace: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number =
                || arguments.next().and_then(|text| text.parse().ok()).expect("a number follows");
            match argument.as_str() {
                "--runs" => read.runs = number(),
                "--steps" => read.steps = u32::try_from(number()).unwrap(),
                "--from" => read.first_seed = number(),
                "--seed" => {
                    (read.first_seed, read.runs, read.shows_trace) = (number(), 1, true);
                }
                "--list" => return None,
                name if !name.starts_with('-') && !"simulator".contains(name) => return None,
                _ => {}
            }
        }
        Some(read)
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::read() else { return ExitCode::SUCCESS };
    // A failing run prints its trace, so the panic message is suppressed.
    std::panic::set_hook(Box::new(|_| {}));
    let schema = Schema::read();
    let options = Options { steps: arguments.steps, ..Options::default() };
    if let Err(wrong) = fairness::check(&schema) {
        println!("{wrong}");
        return ExitCode::FAILURE;
    }
    for seed in arguments.first_seed..arguments.first_seed + arguments.runs {
        let Err(failure) = run(seed, options, &schema) else { continue };
        println!("seed {seed} fails: {}", failure.wrong);
        if arguments.shows_trace {
            failure.trace.iter().for_each(|line| println!("{line}"));
        } else {
            shrink::print_smallest(seed, options, failure, &schema);
            println!(
                "replay with: cargo test -p reel-tests --test simulator -- --steps {} --seed {seed}",
                arguments.steps
            );
        }
        return ExitCode::FAILURE;
    }
    println!("{} runs of {} steps, none failed", arguments.runs, options.steps);
    ExitCode::SUCCESS
}
