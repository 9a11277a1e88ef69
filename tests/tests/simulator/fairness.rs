//! Fairness between clients: a client with many tasks does not delay one with few.

use std::{cell::RefCell, rc::Rc};

use super::{
    journal::Schema,
    model::Wrong,
    world::{Options, World},
};

/// Checks that clients take turns. One queues sixty tasks, a second twenty and a third five, and one task runs at a time.
pub fn check(schema: &Schema) -> Result<(), Wrong> {
    let options = Options {
        crashes: false,
        refused_commits: false,
        clock_steps: false,
        config_changes: false,
        drains: false,
        decisions: false,
        dependencies: false,
        provider_faults: false,
        ..Options::default()
    };
    let mut world = World::new(1, options, schema, Rc::new(RefCell::new(Vec::new())));
    world.limits.max_concurrent = 1;
    world.limits.queue_limit = 1_000;
    world.limits.history = 1_000;
    world.start()?;
    world.queue_noops(&[("many", 60), ("some", 20), ("few", 5)])?;
    world.settle()?;
    // The first client's first task may begin before the other clients have submitted.
    let turns = &world.begun_by[..15];
    for client in ["many", "some", "few"] {
        let count = turns.iter().filter(|begun| *begun == client).count();
        if !(4..=6).contains(&count) {
            return Err(format!("client {client} has {count} of the first fifteen turns: {turns:?}"));
        }
    }
    Ok(())
}
