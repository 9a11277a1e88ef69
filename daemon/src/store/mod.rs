//! The journal: `SQLite` in WAL mode behind one writer thread, which groups requests into a commit, and one reader thread.
//!
//! A write's answer leaves after the commit that holds it, and answers leave in the order of the commits. A write that
//! fails does so alone; a commit that fails takes its whole group with it.
//!
//! `open` sets aside what cannot be read, `origin` tells whether this is the journal that the home had, `files` whether it is still there.

mod accept;
mod artifacts;
mod aside;
mod columns;
mod error;
mod files;
mod group;
mod history;
mod open;
mod origin;
mod query;
mod recover;
mod shape;
mod steps;
mod thread;
mod unsynced;
mod upkeep;

pub use self::{
    accept::{Accepted, Dependencies, NewTask, Request, batch_exists, find_request, insert, insert_finished},
    artifacts::{
        ArtifactRow, Dropped, Entry, artifact, artifacts_after, drop_artifact, drop_entries, drop_unpinned,
        entry, evictable, insert_artifact, insert_entry, totals, touch,
    },
    error::StoreError,
    files::Lost,
    group::Write,
    history::{Pruned, forget, prune, prune_pinning},
    open::{Opened, open},
    origin::{Loss, born, save_ids},
    query::{
        Filter, Found, batch_has_settled, batch_states, find_states, first_of_batch, list, list_plan, view,
        views,
    },
    recover::{Recovered, Recovery, load, recover},
    steps::{Finish, RemoteId, Start, Step, UNREACHED, finish, set_remote_id, start, step},
    thread::Store,
};
