//! The journal: `SQLite` in WAL mode behind one writer thread, which groups requests into a commit, and one reader thread.
//!
//! A write is answered after the commit that holds it, and answers are sent in the order of the commits. A write that fails does so alone; a
//! commit that fails takes its whole group with it.
//!
//! `thread`, `group` and `upkeep` are the writer. `open`, `shape` and `aside` open a database, or set it aside where it cannot be read; `origin` tells
//! whether it is the journal that the home had, and `files` whether its files are still there. `attempts`, `artifacts`, `inputs` and `entries` are tables;
//! `accept`, `steps`, `query`, `recover` and `history` write, read and drop tasks with what belongs to them.

mod accept;
mod artifacts;
mod aside;
mod attempts;
mod columns;
mod entries;
mod error;
mod files;
mod group;
mod history;
mod inline_text;
mod inputs;
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
        ArtifactRow, Dropped, artifact, artifacts_after, drop_artifact, drop_unpinned, evictable,
        insert_artifact, totals, touch,
    },
    attempts::{RemoteId, Start, UNREACHED, set_remote_id, start},
    entries::{Entry, drop_entries, entry, insert_entry},
    error::StoreError,
    files::Lost,
    history::{Pruned, forget, prune, prune_pinning},
    inline_text::{add_texts, is_inline},
    inputs::{BadInput, pin},
    open::{Opened, open},
    origin::{Loss, born, save_ids},
    query::{
        Filter, Found, batch_has_settled, batch_states, find_states, first_of_batch, list, list_plan,
        output_digests, view, views,
    },
    recover::{Recovered, Recovery, load, recover},
    steps::{Finish, Step, finish, step},
    thread::Store,
};
