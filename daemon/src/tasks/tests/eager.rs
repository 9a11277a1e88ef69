//! Starts that go to the journal with their tasks.

use super::*;

fn image(prompt: &str) -> TaskSpec {
    let params = reel_protocol::JsonText::parse(format!(r#"{{"prompt":"{prompt}"}}"#)).unwrap();
    TaskSpec { params, ..spec("image.generate") }
}

#[actix::test]
async fn a_task_and_the_begin_of_its_attempt_are_in_one_commit() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    let id = bench.submit(image("a")).await.unwrap();
    let states = store.read(move |connection| store::find_states(connection, &[id])).await.unwrap();
    assert_eq!(states, [(id, TaskState::Running)]);
    bench.gate.add_permits(1);
    assert_eq!(bench.wait(id).await.rev, 3);
}

#[actix::test]
async fn a_refused_task_gives_back_its_slot_its_permit_and_its_flight() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    let with_id = |prompt: &str| TaskSpec { request_id: Some("once".into()), ..image(prompt) };
    bench.gate.add_permits(1);
    let first = bench.submit(with_id("a")).await.unwrap();
    assert_eq!(bench.wait(first).await.state, TaskState::Succeeded);
    // The same id for something else: its eager start is taken back.
    assert!(matches!(bench.submit(with_id("b")).await, Err(TaskRefusal::RequestIdConflict(_))));
    let again = bench.submit(with_id("a")).await.unwrap();
    assert_eq!(again, first);
    let equal = bench.submit(image("b")).await.unwrap();
    bench.until(equal, TaskState::Running).await;
    bench.gate.add_permits(1);
    assert_eq!(bench.wait(equal).await.source, Some(Source::Made));
    assert_eq!(bench.runs.lock().unwrap().len(), 2);
}

#[actix::test]
async fn equal_tasks_of_one_request_share_the_first_ones_call() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    let caller = Caller { client: "test".into(), connection: 1 };
    let specs = vec![image("a"), image("a"), image("b")];
    let batch = SubmitBatch { caller, request_id: None, name: None, batch: None, specs };
    let ids = bench.ask(batch).await.unwrap().ids;
    bench.until(ids[0], TaskState::Running).await;
    bench.gate.add_permits(2);
    assert_eq!(bench.wait(ids[0]).await.source, Some(Source::Made));
    assert_eq!(bench.wait(ids[1]).await.source, Some(Source::Shared));
    assert_eq!(bench.wait(ids[2]).await.source, Some(Source::Made));
    assert_eq!(bench.runs.lock().unwrap().len(), 2);
}

#[actix::test]
async fn a_cancel_right_behind_the_acceptance_waits_for_the_start_and_ends_it() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, false);
    let id = bench.submit(image("a")).await.unwrap();
    bench.ask(DecideTask { id, decision: Decision::Cancel }).await.unwrap();
    assert_eq!(bench.wait(id).await.state, TaskState::Cancelled);
    let next = bench.submit(image("a")).await.unwrap();
    bench.gate.add_permits(1);
    assert_eq!(bench.wait(next).await.state, TaskState::Succeeded);
}
