//! Sends many random requests at once, by seed. In whatever order they are handled, every task ends, and no entry of it remains in the machine.

use std::cell::Cell;

use actix::MessageResult;
use reel_protocol::JsonText;
use rusqlite::Connection;
use tokio::task::JoinHandle;

use super::*;
use crate::tasks::{PauseQueue, SubmitBatch, machine::Census, state::is_legal};

const SEEDS: u64 = 12;
const STEPS: u32 = 150;

#[derive(Message)]
#[rtype(result = "Census")]
pub(super) struct Inspect;

impl Handler<Inspect> for TaskTracker {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Self::Context) -> Self::Result {
        self.machine.assert_consistent().unwrap();
        MessageResult(self.machine.census())
    }
}

struct Dice(Cell<u64>);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
    }
}

fn random_spec(dice: &Dice, last: u64) -> TaskSpec {
    let kinds = ["image.generate", "image.generate", "image.fail", "image.flaky", "test.noop", "test.flaky"];
    let kind = kinds[dice.below(kinds.len() as u64) as usize];
    let after = if last > 0 && dice.below(4) == 0 { vec![TaskId(1 + dice.below(last))] } else { Vec::new() };
    TaskSpec {
        params: JsonText::parse(format!(r#"{{"p":{}}}"#, dice.below(2))).unwrap(),
        after,
        priority: dice.below(3) as i8,
        max_attempts: Some(1 + dice.below(2) as u32),
        deadline_s: (dice.below(12) == 0).then(|| serde_json::from_str("0.02").unwrap()),
        ..spec(kind)
    }
}

/// Sends one random request and one random decision, without waiting for the answers.
fn throw(bench: &Bench, dice: &Dice, last: &Arc<Mutex<u64>>, thrown: &mut Vec<JoinHandle<()>>) {
    let (tracker, known) = (bench.tracker.clone(), *last.lock().unwrap());
    let caller = Caller { client: format!("c{}", dice.below(2)).into(), connection: dice.below(3) };
    let last = Arc::clone(last);
    match dice.below(10) {
        0..=3 => {
            let message = SubmitTask { caller, spec: random_spec(dice, known), step: None };
            thrown.push(actix::spawn(async move {
                if let Ok(taken) = tracker.send(message).await.unwrap() {
                    let mut last = last.lock().unwrap();
                    *last = taken.id.0.max(*last);
                }
            }));
        }
        4 => {
            let specs = (0..=dice.below(4)).map(|_| random_spec(dice, known)).collect();
            let message = SubmitBatch { caller, request_id: None, name: None, batch: None, specs };
            thrown.push(actix::spawn(async move { drop(tracker.send(message).await.unwrap()) }));
        }
        5 => {
            let is_paused = dice.below(2) == 0;
            thrown.push(actix::spawn(async move { tracker.send(PauseQueue(is_paused)).await.unwrap() }));
        }
        6 => bench.gate.add_permits(1 + dice.below(3) as usize),
        _ => {}
    }
    let id = TaskId(1 + dice.below(known + 1));
    let decisions = [
        Decision::Cancel,
        Decision::Retry,
        Decision::Hold,
        Decision::Release,
        Decision::SetPriority(dice.below(9) as i8),
    ];
    let decided = bench.tracker.send(DecideTask { id, decision: decisions[dice.below(5) as usize] });
    thrown.push(actix::spawn(async move { drop(decided.await.unwrap()) }));
}

/// Records each revision of each task as it is committed.
const STEPS_TABLE: &str = "CREATE TABLE steps (seq INTEGER PRIMARY KEY, task, rev, state);
    CREATE TRIGGER accepted AFTER INSERT ON tasks BEGIN
        INSERT INTO steps (task, rev, state) VALUES (NEW.id, NEW.rev, NEW.state); END;
    CREATE TRIGGER went_on AFTER UPDATE OF rev ON tasks BEGIN
        INSERT INTO steps (task, rev, state) VALUES (NEW.id, NEW.rev, NEW.state); END;";

async fn storm(seed: u64) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("reel.db");
    let store = store::open(&path).unwrap().store;
    store.write(|connection| Ok(connection.execute_batch(STEPS_TABLE)?)).await.unwrap();
    let bench = Bench::new(&store, false);
    let dice = Dice(Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
    let last = Arc::new(Mutex::new(0));
    let (mut waits, mut here, mut thrown) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STEPS {
        throw(&bench, &dice, &last, &mut thrown);
        let id = TaskId(1 + dice.below(*last.lock().unwrap() + 1));
        let (stays, gone) = tokio::sync::oneshot::channel();
        let wait = WaitTasks { what: WaitFor::Tasks(vec![id]), is_any: false, timeout: None, gone };
        // Where `stays` is dropped instead, the client goes before it is answered.
        if dice.below(3) > 0 {
            here.push(stays);
        }
        waits.push(actix::spawn(bench.tracker.send(wait)));
        for _ in 0..dice.below(6) {
            tokio::task::yield_now().await;
        }
        if dice.below(8) == 0 {
            store.write(|_| Ok(())).await.unwrap();
        }
    }
    for thrown in thrown {
        thrown.await.unwrap();
    }
    bench.ask(PauseQueue(false)).await;
    bench.gate.add_permits(100_000);
    let begun = std::time::Instant::now();
    loop {
        let counts = bench.ask(GetTaskCounts).await.by_state;
        let open: u64 = ["waiting", "queued", "running", "held"].iter().map(|state| counts[*state]).sum();
        if open == 0 && bench.ask(Inspect).await.live == 0 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "seed {seed}: {counts:?} {:?}",
            bench.ask(Inspect).await
        );
        let known = *last.lock().unwrap() + 9;
        for id in 1..=known {
            let _ = bench.ask(DecideTask { id: TaskId(id), decision: Decision::Release }).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for wait in waits {
        assert!(wait.await.is_ok(), "seed {seed}");
    }
    let held = bench.ask(Inspect).await;
    assert_eq!(held, Census::default(), "seed {seed}");
    let counts = bench.ask(GetTaskCounts).await.by_state;
    check_journal(&Connection::open(&path).unwrap(), &counts, seed);
}

fn check_journal(connection: &Connection, counts: &std::collections::BTreeMap<String, u64>, seed: u64) {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    assert_eq!(
        number("SELECT count(*) FROM attempts WHERE ended_ms IS NULL"),
        0,
        "seed {seed}: open attempts"
    );
    for (state, count) in counts {
        assert_eq!(
            number(&format!("SELECT count(*) FROM tasks WHERE state = '{state}'")),
            *count,
            "seed {seed}: {state}"
        );
    }
    let mut steps = connection.prepare("SELECT task, rev, state FROM steps ORDER BY task, seq").unwrap();
    let steps = steps.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let steps: Vec<(u64, u64, String)> = steps.map(Result::unwrap).collect();
    assert!(!steps.is_empty());
    for pair in steps.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert_eq!(pair[0].1 + 1, pair[1].1, "seed {seed}: {pair:?}");
        let state = |name: &str| TaskState::from_name(name).unwrap();
        let (from, to) = (state(&pair[0].2), state(&pair[1].2));
        assert!(from == to || is_legal(from, to), "seed {seed}: {pair:?}");
    }
}

#[test]
fn whatever_comes_in_whatever_order_every_task_ends_and_nothing_of_it_stays() {
    actix::System::new().block_on(async {
        tokio::time::pause();
        for seed in 1..=SEEDS {
            storm(seed).await;
        }
    });
}
