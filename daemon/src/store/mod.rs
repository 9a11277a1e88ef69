//! The journal: `SQLite` in WAL mode behind one writer thread, which groups requests into a commit, and one reader thread.
//!
//! A write's answer leaves after the commit that holds it, and answers leave in the order of the commits. A write that
//! fails does so alone; a commit that fails takes its whole group with it.

mod accept;
mod apart;
mod artifacts;
mod columns;
mod error;
mod group;
mod history;
mod open;
mod query;
mod queue;
mod recover;
mod room;
mod steps;
mod thread;
mod unsynced;

pub use self::{
    accept::{
        Accepted, Dependencies, NewTask, Request, batch_exists, find_request, insert, insert_finished,
        save_ids,
    },
    artifacts::{
        ArtifactRow, Dropped, Entry, artifact, artifacts_after, drop_artifact, drop_entries, drop_unpinned,
        entry, evictable, insert_artifact, insert_entry, keys, totals, touch,
    },
    error::StoreError,
    group::Write,
    history::{Pruned, forget, prune, prune_pinning},
    open::{Opened, open},
    query::{Filter, Found, batch_states, find_states, list, list_plan, view, views},
    recover::{Recovered, Recovery, load, recover},
    steps::{Finish, RemoteId, Start, Step, finish, set_remote_id, start, step},
    thread::{Coming, Store},
    unsynced::{Unsynced, delete_unsynced, insert_unsynced, next_unsynced, unsynced_bytes},
};
