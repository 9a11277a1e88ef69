//! Fairness between clients: whoever has many tasks does not delay whoever has few.

use std::{cell::RefCell, rc::Rc};

use super::{
    journal::Schema,
    model::Wrong,
    world::{Options, World},
};

/// One client queues sixty tasks, a second twenty, a third five; one task runs at a time. As long as all have some, they take turns.
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
    // The first one may begin before the others have come.
    let turns = &world.begun_by[..15];
    for client in ["many", "some", "few"] {
        let count = turns.iter().filter(|begun| *begun == client).count();
        if !(4..=6).contains(&count) {
            return Err(format!("client {client} has {count} of the first fifteen turns: {turns:?}"));
        }
    }
    Ok(())
}
