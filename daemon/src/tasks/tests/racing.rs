//! Tests of decisions about a task while another transition of it, or of its leader, is being committed.

use futures_util::future::join_all;
use tokio::join;

use super::*;
use crate::tasks::{PauseQueue, SubmitBatch};

async fn counts(bench: &Bench) -> (u64, u64) {
    let counts = bench.ask(GetTaskCounts).await;
    (counts.by_state["running"], counts.by_state["queued"])
}

#[actix::test]
async fn a_task_that_is_being_held_does_not_start_meanwhile() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    for _ in 0..20 {
        bench.ask(PauseQueue(true)).await;
        let id = bench.submit(spec("test.noop")).await.unwrap();
        let (held, ()) =
            join!(bench.ask(DecideTask { id, decision: Decision::Hold }), bench.ask(PauseQueue(false)));
        assert_eq!(held.unwrap().state, TaskState::Held);
        assert_eq!(bench.ask(GetTask(id)).await.unwrap().state, TaskState::Held);
        assert_eq!(counts(&bench).await, (0, 0));
    }
    assert!(bench.runs.lock().unwrap().is_empty());
}

#[actix::test]
async fn a_task_whose_priority_changes_starts_when_that_is_on_disk() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    bench.ask(PauseQueue(true)).await;
    let id = bench.submit(spec("test.noop")).await.unwrap();
    let (moved, ()) =
        join!(bench.ask(DecideTask { id, decision: Decision::SetPriority(5) }), bench.ask(PauseQueue(false)));
    // The task may be running here: the answer is read after the commit, and the start of the task waits only for that commit.
    assert_eq!(moved.unwrap().priority, 5);
    bench.gate.add_permits(1);
    let ended = bench.wait(id).await;
    assert_eq!((ended.state, ended.priority, ended.rev), (TaskState::Succeeded, 5, 4));
}

#[actix::test]
async fn followers_of_a_failed_run_do_not_run_again_on_their_way_to_the_end() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let specs = (0..LIMITS.queue_limit).map(|_| bench.submit(spec("image.fail")));
    let ids: Vec<_> = join_all(specs).await.into_iter().map(Result::unwrap).collect();
    bench.gate.add_permits(99);
    for id in ids {
        assert_eq!(bench.wait(id).await.state, TaskState::Failed);
    }
    assert_eq!(bench.runs.lock().unwrap().len(), 1);
    assert_eq!(counts(&bench).await, (0, 0));
}

#[actix::test]
async fn a_drain_tells_stopped_tasks_from_ended_ones() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let id = bench.submit(spec("test.noop")).await.unwrap();
    bench.until(id, TaskState::Running).await;
    let drained = bench.ask(Drain::within(Duration::ZERO)).await;
    assert_eq!((drained.ended, drained.requeued, drained.abandoned), (0, 1, 0));
}

#[actix::test]
async fn a_wait_whose_client_left_is_forgotten() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let id = bench.submit(spec("test.noop")).await.unwrap();
    let (here, gone) = tokio::sync::oneshot::channel();
    let wait = WaitTasks { what: WaitFor::Tasks(vec![id]), is_any: false, timeout: None, gone };
    let answer = actix::spawn(bench.tracker.send(wait));
    while bench.ask(storm::Inspect).await.waits == 0 {
        tokio::task::yield_now().await;
    }
    drop(here);
    assert!(answer.await.unwrap().unwrap().is_err(), "nobody is left to be told");
    while bench.ask(storm::Inspect).await.waits > 0 {
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn nothing_of_a_batch_starts_before_all_of_it_stands_in_the_queues() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let mut specs = vec![spec("test.noop"); 20];
    specs.push(TaskSpec { priority: 9, ..spec("test.first") });
    let caller = Caller { client: "test".into(), connection: 1 };
    let batch = SubmitBatch { caller, request_id: None, name: None, batch: None, specs };
    let submitted = actix::spawn(bench.tracker.send(batch));
    let mut unfinished = Vec::new();
    while !submitted.is_finished() {
        // Lets the tracker start what may start, after each of its turns.
        bench.ask(PauseQueue(false)).await;
        let (running, queued) = counts(&bench).await;
        unfinished.push(running + queued);
    }
    let ids = submitted.await.unwrap().unwrap().unwrap().ids;
    assert!(unfinished.iter().all(|tasks| [0, 21].contains(tasks)), "a part of it was seen: {unfinished:?}");
    bench.gate.add_permits(99);
    bench.wait(ids[20]).await;
    assert_eq!(bench.runs.lock().unwrap()[0], "test.first");
}
