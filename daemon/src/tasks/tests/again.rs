//! Tests of requests that are repeated, tasks that are retried, and tasks that are taken over after a restart.

use tokio::join;

use super::*;
use crate::tasks::{PauseQueue, RemoveTask, SubmitBatch};

#[actix::test]
async fn a_repeated_request_is_answered_though_the_queue_is_full_by_now() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let named = TaskSpec { request_id: Some("a".into()), ..spec("test.noop") };
    let id = bench.submit(named.clone()).await.unwrap();
    for _ in 1..LIMITS.queue_limit {
        bench.submit(spec("test.noop")).await.unwrap();
    }
    assert_eq!(bench.submit(named).await.unwrap(), id);
    let other = TaskSpec { request_id: Some("b".into()), ..spec("test.noop") };
    assert!(matches!(bench.submit(other).await, Err(TaskRefusal::QueueFull { .. })));
}

#[actix::test]
async fn a_batch_with_the_request_id_of_a_task_is_a_conflict() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    bench.submit(TaskSpec { request_id: Some("a".into()), ..spec("test.noop") }).await.unwrap();
    let caller = Caller { client: "test".into(), connection: 1 };
    let specs = vec![spec("test.noop")];
    let batch = SubmitBatch { caller, request_id: Some("a".into()), name: None, batch: None, specs };
    let refused = bench.ask(batch).await;
    assert!(matches!(refused, Err(TaskRefusal::RequestIdConflict(_))), "{refused:?}");
}

#[actix::test]
async fn a_restart_keeps_a_task_waiting_though_another_one_of_its_dependencies_left_the_history() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let first = bench.submit(spec("test.noop")).await.unwrap();
    bench.gate.add_permits(1);
    bench.wait(first).await;
    let second = bench.submit(spec("test.noop")).await.unwrap();
    let last = bench.submit(TaskSpec { after: vec![first, second], ..spec("test.noop") }).await.unwrap();
    bench.ask(RemoveTask(first)).await.unwrap();
    let next = Bench::new(&store, false);
    next.until(second, TaskState::Running).await;
    assert_eq!(next.ask(GetTask(last)).await.unwrap().state, TaskState::Waiting);
    next.gate.add_permits(2);
    assert_eq!(next.wait(last).await.state, TaskState::Succeeded);
}

#[actix::test]
async fn a_task_that_is_removed_while_it_is_retried_does_not_live_on_without_its_row() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    for _ in 0..10 {
        let id = bench.submit(spec("test.fail")).await.unwrap();
        bench.gate.add_permits(1);
        bench.wait(id).await;
        let retry = bench.ask(DecideTask { id, decision: Decision::Retry });
        let (retried, removed) = join!(retry, bench.ask(RemoveTask(id)));
        assert_ne!(retried.is_ok(), removed.is_ok());
        if removed.is_ok() {
            assert!(matches!(bench.ask(GetTask(id)).await, Err(TaskRefusal::NoTask(_))));
        } else {
            bench.gate.add_permits(1);
            bench.wait(id).await;
        }
    }
    let counts = bench.ask(GetTaskCounts).await;
    assert_eq!((counts.by_state["queued"], counts.by_state["running"], counts.is_idle), (0, 0, true));
}

#[actix::test]
async fn a_retried_task_does_not_fail_of_its_old_deadline_after_a_restart() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    bench.ask(PauseQueue(true)).await;
    let deadline_s = Some(serde_json::from_str("0.01").unwrap());
    let id = bench.submit(TaskSpec { deadline_s, ..spec("test.noop") }).await.unwrap();
    assert_eq!(bench.wait(id).await.error.unwrap().code, "deadline_exceeded");
    bench.ask(DecideTask { id, decision: Decision::Retry }).await.unwrap();
    let next = Bench::new(&store, false);
    next.gate.add_permits(1);
    assert_eq!(next.wait(id).await.state, TaskState::Succeeded);
}
