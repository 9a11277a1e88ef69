//! Tests that results and the ends that name them are either both in the journal, or neither is.

use std::fs;

use super::*;
use crate::domain::{JobSink, RemoteJob};

/// An attempt whose results are made, but cannot be fetched for an hour.
pub(super) async fn named(jobs: &JobSink) -> RunEnd {
    let url = "https://cdn.example/a.png";
    assert!(jobs.remember(Some(RemoteJob::results("fake", [url], reel_protocol::Timestamp::now()))).await);
    RunEnd::Failed(failure(true), Again::Later(Some(Duration::from_hours(1))))
}

impl Bench {
    /// Returns the number of artifact files.
    fn files(&self) -> usize {
        let directories = fs::read_dir(&self.artifacts).unwrap().flatten();
        directories.map(|directory| fs::read_dir(directory.path()).map_or(0, Iterator::count)).sum()
    }
}

async fn run(store: &Store, sql: &'static str) {
    store.write(move |connection| Ok(connection.execute_batch(sql)?)).await.unwrap();
}

async fn count(store: &Store, sql: &'static str) -> u64 {
    store.read(move |connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).await.unwrap()
}

const REFUSE: &str = "CREATE TRIGGER refuse BEFORE INSERT ON artifacts BEGIN SELECT RAISE(ABORT, 'no'); END";

#[actix::test]
async fn whoever_follows_a_task_that_leaves_fetches_what_was_made_for_it() {
    for is_held in [true, false] {
        let (_home, store) = journal();
        let bench = Bench::new(&store, true);
        let deadline_s = (!is_held).then(|| serde_json::from_str("1").unwrap());
        let first = bench.submit(TaskSpec { deadline_s, ..spec("image.named") }).await.unwrap();
        let second = bench.submit(spec("image.named")).await.unwrap();
        bench.gate.add_permits(2);
        while bench.ask(GetTask(first)).await.unwrap().not_before.is_none() {
            tokio::task::yield_now().await;
        }
        if is_held {
            bench.ask(DecideTask { id: first, decision: Decision::Hold }).await.unwrap();
        } else {
            assert_eq!(bench.wait(first).await.error.unwrap().code, "deadline_exceeded");
        }
        assert_eq!(bench.wait(second).await.state, TaskState::Succeeded, "it was not paid for again");
        assert_eq!(bench.runs.lock().unwrap().len(), 2);
    }
}

#[actix::test]
async fn an_end_is_journaled_with_the_rows_of_its_results() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    bench.gate.add_permits(1);
    let id = bench.submit(spec("image.generate")).await.unwrap();
    let task = bench.wait(id).await;
    assert_eq!((task.state, task.outputs.len()), (TaskState::Succeeded, 1));
    assert_eq!(count(&store, "SELECT count(*) FROM artifacts").await, 1);
    assert_eq!(bench.files(), 1);
}

#[actix::test]
async fn what_was_paid_and_has_no_rows_is_held_and_leaves_no_file() {
    let (_home, store) = journal();
    run(&store, REFUSE).await;
    let bench = Bench::new(&store, true);
    bench.gate.add_permits(2);
    let id = bench.submit(spec("image.generate")).await.unwrap();
    let task = bench.wait(id).await;
    assert_eq!((task.state, task.hold_reason), (TaskState::Held, Some(HoldReason::OutcomeUnknown)));
    assert_eq!(count(&store, "SELECT count(*) FROM outputs").await, 0);
    // The files are removed after the answer.
    let gone = async {
        while bench.files() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    run(&store, "DROP TRIGGER refuse").await;
    bench.ask(DecideTask { id, decision: Decision::Release }).await.unwrap();
    assert_eq!(bench.wait(id).await.state, TaskState::Succeeded);
    assert_eq!((bench.files(), bench.runs.lock().unwrap().len()), (1, 2));
}

#[actix::test]
async fn what_was_free_and_has_no_rows_is_tried_again() {
    let (_home, store) = journal();
    run(&store, REFUSE).await;
    let bench = Bench::new(&store, false);
    bench.gate.add_permits(2);
    let id = bench.submit(spec("image.generate")).await.unwrap();
    while bench.ask(GetTask(id)).await.unwrap().not_before.is_none() {
        tokio::task::yield_now().await;
    }
    run(&store, "DROP TRIGGER refuse").await;
    let task = bench.wait(id).await;
    assert_eq!((task.state, task.attempts), (TaskState::Succeeded, 2));
}

#[actix::test]
async fn a_permit_that_is_given_back_before_its_run_ends_lets_the_next_attempt_begin() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    let early = || TaskSpec { kind: "image.early".into(), cache: CacheMode::Off, ..spec("image.early") };
    let first = bench.submit(early()).await.unwrap();
    let second = bench.submit(early()).await.unwrap();
    bench.until(first, TaskState::Running).await;
    let both = bench.until(second, TaskState::Running);
    tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    bench.gate.add_permits(2);
    assert_eq!(bench.wait(first).await.state, TaskState::Succeeded);
    assert_eq!(bench.wait(second).await.state, TaskState::Succeeded);
}

impl Bench {
    /// Blocks the journal's writer until the returned sender is dropped.
    fn stop_writer(store: &Store) -> std::sync::mpsc::Sender<()> {
        let (go_on, stopped) = std::sync::mpsc::channel::<()>();
        let wait = move |_: &rusqlite::Connection| {
            let _ = stopped.recv();
            Ok(())
        };
        store.write_then(wait, |_| {});
        go_on
    }

    /// Lets the one attempt end, and waits until the tracker has handled that.
    async fn end_run(&self) {
        self.gate.add_permits(1);
        while self.files() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..200 {
            self.ask(GetTaskCounts).await;
        }
    }
}

#[actix::test]
async fn whoever_shares_what_was_paid_is_held_too_where_its_rows_are_refused_and_its_leader_was_cancelled() {
    let (_home, store) = journal();
    run(&store, REFUSE).await;
    let bench = Bench::new(&store, true);
    let leader = bench.submit(spec("image.generate")).await.unwrap();
    let follower = bench.submit(spec("image.generate")).await.unwrap();
    bench.until(leader, TaskState::Running).await;
    let go_on = Bench::stop_writer(&store);
    bench.tracker.try_send(DecideTask { id: leader, decision: Decision::Cancel }).unwrap();
    bench.end_run().await;
    drop(go_on);
    let task = bench.wait(follower).await;
    assert_eq!((task.state, task.hold_reason), (TaskState::Held, Some(HoldReason::OutcomeUnknown)));
    assert_eq!(bench.runs.lock().unwrap().len(), 1, "it is not asked for, and paid, again");
}

#[actix::test]
async fn an_equal_request_behind_a_cancelled_one_gets_what_is_being_journaled() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    let leader = bench.submit(spec("image.cached")).await.unwrap();
    bench.until(leader, TaskState::Running).await;
    let go_on = Bench::stop_writer(&store);
    bench.tracker.try_send(DecideTask { id: leader, decision: Decision::Cancel }).unwrap();
    bench.ask(GetTaskCounts).await;
    // These are more writes than one commit takes, so that the cancelled end is on disk well before the rows.
    for _ in 0..600 {
        store.write_then(|_| Ok(()), |_| {});
    }
    let later = Bench::stop_writer(&store);
    bench.end_run().await;
    drop(go_on);
    bench.until(leader, TaskState::Cancelled).await;
    let caller = Caller { client: "test".into(), connection: 1 };
    let equal = bench.tracker.send(SubmitTask { caller, spec: spec("image.cached"), step: None });
    bench.ask(GetTaskCounts).await;
    drop(later);
    let equal = equal.await.unwrap().unwrap().id;
    bench.gate.add_permits(1);
    assert_eq!(bench.wait(equal).await.state, TaskState::Succeeded);
    assert_eq!(bench.runs.lock().unwrap().len(), 1, "it was paid already");
}
