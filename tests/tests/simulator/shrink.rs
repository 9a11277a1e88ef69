//! Makes a failing run smaller, so that a person can read its trace.

use super::{
    journal::Schema,
    run::{Failure, run},
    world::Options,
};

/// Number of other seeds that are tried with each smaller set of options.
const SEEDS: u64 = 150;
/// Most lines of the trace that are printed.
const LINES: usize = 120;

/// The ways to make the options smaller.
const SMALLER: [fn(&mut Options); 11] = [
    |options| options.drains = false,
    |options| options.clock_steps = false,
    |options| options.config_changes = false,
    |options| options.dependencies = false,
    |options| options.refused_commits = false,
    |options| options.provider_faults = false,
    |options| options.crashes = false,
    |options| options.decisions = false,
    |options| options.clients = 1,
    |options| options.prompts = 1,
    |options| options.steps /= 2,
];

/// Returns a failure's text without digits. Two failures are of one kind if only their numbers differ.
fn kind(wrong: &str) -> String {
    wrong.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Prints the shortest run that it finds and that fails in the same way.
pub fn print_smallest(seed: u64, options: Options, failure: Failure, schema: &Schema) {
    let wanted = kind(&failure.wrong);
    let mut best = (seed, options, failure);
    let mut has_shrunk = true;
    while has_shrunk {
        has_shrunk = false;
        for smaller in SMALLER {
            let mut options = best.1;
            smaller(&mut options);
            if options.is_same(&best.1) || options.steps == 0 {
                continue;
            }
            let fails = |seed: u64| {
                let failure = run(seed, options, schema).err()?;
                (kind(&failure.wrong) == wanted).then_some((seed, options, failure))
            };
            if let Some(found) = (best.0..best.0 + SEEDS).find_map(fails) {
                best = found;
                has_shrunk = true;
            }
        }
    }
    let (seed, options, failure) = best;
    println!("smallest: seed {seed} with {options:?}");
    println!("{}", failure.wrong);
    let from = failure.trace.len().saturating_sub(LINES);
    failure.trace[from..].iter().for_each(|line| println!("{line}"));
}

impl Options {
    fn is_same(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}
