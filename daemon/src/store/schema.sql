-- Ids grow with time, so that every insert lands at the right edge of its tree: random keys halve the rate.
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    rev INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT,
    state TEXT NOT NULL,
    hold_reason TEXT,
    priority INTEGER NOT NULL,
    client TEXT NOT NULL,
    batch INTEGER,
    request_id TEXT,
    after TEXT NOT NULL,
    wanted_provider TEXT,
    provider TEXT,
    model TEXT,
    params TEXT NOT NULL,
    metadata TEXT,
    cache_mode INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_left INTEGER NOT NULL,
    deaths INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    finished_ms INTEGER,
    not_before_ms INTEGER,
    deadline_ms INTEGER,
    source TEXT,
    error TEXT
) STRICT;
CREATE INDEX tasks_by_state ON tasks (state, id);
CREATE INDEX tasks_by_client ON tasks (client, id);
CREATE INDEX tasks_by_batch ON tasks (batch, id) WHERE batch IS NOT NULL;
CREATE INDEX tasks_by_name ON tasks (name, id) WHERE name IS NOT NULL;

CREATE TABLE batches (id INTEGER PRIMARY KEY, name TEXT, client TEXT NOT NULL, created_ms INTEGER NOT NULL) STRICT;

-- The ids of one submit are consecutive, so its first and their count are enough to answer it again.
CREATE TABLE requests (
    client TEXT NOT NULL,
    request_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    batch INTEGER,
    first_task INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    PRIMARY KEY (client, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_task ON requests (first_task);

CREATE TABLE attempts (
    task INTEGER NOT NULL,
    number INTEGER NOT NULL,
    provider TEXT,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    remote_id TEXT,
    reserved_cost REAL,
    outcome TEXT,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    task INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE artifacts (
    digest BLOB PRIMARY KEY,
    media_type TEXT NOT NULL,
    extension TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    width INTEGER,
    height INTEGER,
    duration_s REAL,
    used_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX artifacts_by_use ON artifacts (used_ms);

CREATE TABLE outputs (
    task INTEGER NOT NULL,
    position INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (task, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX outputs_by_digest ON outputs (digest);

-- One row per output of a cached request; an entry holds only while all its rows do.
CREATE TABLE entries (
    key BLOB NOT NULL,
    position INTEGER NOT NULL,
    positions INTEGER NOT NULL,
    digest BLOB NOT NULL,
    provider TEXT NOT NULL,
    model TEXT,
    made_ms INTEGER NOT NULL,
    PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_by_digest ON entries (digest);
