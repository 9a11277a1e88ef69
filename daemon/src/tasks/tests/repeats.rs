//! Calls that are answered again: each with a number and a row of its own, and none that might be wrong.

use std::fs;

use reel_protocol::Timestamp;

use super::*;
use crate::tasks::{CallService, Called, Known, Replan};

impl Bench {
    async fn call(&self, client: &str, spec: TaskSpec) -> Called {
        let (_here, gone) = tokio::sync::oneshot::channel();
        let caller = Caller { client: client.into(), connection: 1 };
        self.ask(CallService { caller, spec, known: None, timeout: None, gone }).await.unwrap()
    }

    /// What the cache answers to the call that [`Bench::make`] made first.
    async fn known(&self) -> Arc<Known> {
        self.call("test", spec("image.cached")).await.known.expect("the cache has it")
    }

    async fn make(&self) -> TaskView {
        self.gate.add_permits(1);
        let made = self.call("test", spec("image.cached")).await;
        assert!(made.known.is_none(), "it was made");
        made.task
    }

    /// What follows from a commit comes a turn later.
    async fn until_answered(&self, known: &Arc<Known>) {
        while self.again(known).is_none() {
            tokio::task::yield_now().await;
        }
    }

    fn again(&self, known: &Arc<Known>) -> Option<(TaskId, Timestamp)> {
        self.repeats.answer(known, &"another".into())
    }
}

#[actix::test]
async fn a_call_that_is_answered_again_is_a_task_of_its_own() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    let made = bench.make().await;
    let first = bench.call("test", spec("image.cached")).await;
    assert_eq!((first.task.source, &first.task.outputs), (Some(Source::Cache), &made.outputs));
    let known = first.known.unwrap();
    for number in 1..=3 {
        let (id, at) = bench.again(&known).unwrap();
        assert_eq!(id.0, first.task.id.0 + number);
        let expected = TaskView {
            id,
            client: "another".into(),
            created_at: at,
            finished_at: Some(at),
            ..first.task.clone()
        };
        assert_eq!(bench.ask(GetTask(id)).await.unwrap(), expected);
    }
    assert_eq!(bench.ask(GetTaskCounts).await.by_state["succeeded"], 5);
    assert_eq!(bench.runs.lock().unwrap().len(), 1);
}

#[actix::test]
async fn answers_end_where_ids_are_not_reserved_and_go_on_after_the_commit() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    bench.make().await;
    let known = bench.known().await;
    let answered: Vec<_> = std::iter::from_fn(|| bench.again(&known)).collect();
    assert!((1..=2_048).contains(&answered.len()), "{}", answered.len());
    let (last, _) = answered[answered.len() - 1];
    assert_eq!(bench.ask(GetTask(last)).await.unwrap().id, last, "its row is on disk when it is asked for");
    bench.until_answered(&known).await;
}

#[actix::test]
async fn what_may_not_hold_any_more_is_not_answered_again() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    let made = bench.make().await;
    let known = bench.known().await;
    assert!(bench.again(&known).is_some());
    bench.gate.add_permits(1);
    bench.call("test", TaskSpec { cache: CacheMode::Fresh, ..spec("image.cached") }).await;
    assert_eq!(bench.again(&known), None, "it was made anew");
    let known = bench.known().await;
    assert!(bench.again(&known).is_some());
    fs::remove_file(&made.outputs[0].path).unwrap();
    assert_eq!(bench.again(&known), None, "its file is gone");
}

/// The next planner.
#[derive(Debug)]
struct NextPlan(AnyPlan);

impl PlanTasks for NextPlan {
    fn generation(&self) -> u64 {
        1
    }

    fn plan(&self, spec: &PlanSpec<'_>) -> Result<Plan, PlanRefusal> {
        self.0.plan(spec).map(|plan| Plan { generation: 1, ..plan })
    }
}

#[actix::test]
async fn nothing_is_answered_again_by_a_former_plan_or_while_the_daemon_stops() {
    let (_home, store) = journal();
    let bench = Bench::new(&store, true);
    bench.make().await;
    let former = bench.known().await;
    bench.ask(Replan(Arc::new(NextPlan(AnyPlan { is_paid: true })))).await;
    assert_eq!(bench.again(&former), None, "the providers have changed");
    let known = bench.known().await;
    assert!(bench.again(&known).is_some());
    bench.ask(Drain::within(Duration::ZERO)).await;
    assert_eq!(bench.again(&known), None);
    assert_eq!(count(&store, "SELECT count(*) FROM tasks").await, 4, "what was answered is on disk");
}

async fn count(store: &Store, sql: &'static str) -> u64 {
    store.read(move |connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).await.unwrap()
}
