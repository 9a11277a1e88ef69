//! The journal: `SQLite` in WAL mode with one writer thread, which commits queued writes in groups, and one reader thread.
//!
//! A write is answered after its commit, in the order of the commits. If a write fails, the others of its group are still committed. If a commit
//! fails, all writes of its group fail.
//!
//! `thread`, `group` and `upkeep` are the writer. `open`, `shape` and `aside` open a database, and rename it if it cannot be read. `origin` detects
//! that it is not the home's former journal, and `files` that its files were moved or deleted. `attempts`, `artifacts`, `inputs` and `entries` are
//! tables. `accept`, `transitions`, `query`, `recover` and `history` write, read and drop tasks with the rows that belong to them.

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
mod thread;
mod transitions;
mod unsynced;
mod upkeep;

pub use self::{
    accept::{Accepted, Dependencies, NewTask, Request, batch_exists, find_request, insert, insert_finished},
    artifacts::{
        ArtifactRow, Dropped, artifact, artifacts_after, drop_artifact, drop_unpinned, evictable,
        insert_artifact, totals, touch,
    },
    attempts::{EncodedRemoteJob, Start, UNREACHED, set_remote_id, start},
    entries::{Entry, drop_entries, entry, insert_entry},
    error::StoreError,
    files::Lost,
    history::{Pruned, PrunedTask, forget, prune, prune_pinning},
    inline_text::{add_texts, is_inline},
    inputs::{BadInput, pin},
    open::{Opened, open},
    origin::{Loss, born, save_ids},
    query::{
        Filter, Found, batch_has_settled, batch_states, find_states, first_of_batch, list, list_plan,
        output_digests, view, views,
    },
    recover::{Recovered, Recovery, load, recover},
    thread::Store,
    transitions::{Finish, Transition, finish, record_transition},
};
