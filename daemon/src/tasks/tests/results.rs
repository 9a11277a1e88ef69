//! Results and the ends that name them: both in the journal, or neither.

use std::fs;

use super::*;

impl Bench {
    /// Files of artifacts.
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
    // They go behind the answer.
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
