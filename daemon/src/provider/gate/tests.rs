//! When a gate opens and shuts, and for how long: tables, and properties of the minute.

use proptest::prelude::*;

use super::*;

fn gate(max_concurrent: u32, requests_per_minute: Option<u32>) -> Gate {
    Gate::new(GateLimits { max_concurrent, requests_per_minute })
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn permits_go_out_up_to_the_limit_and_come_back() {
    let now = Instant::now();
    let mut gate = gate(2, None);
    let first = gate.take(now).unwrap();
    gate.take(now).unwrap();
    assert_eq!(gate.take(now), Err(Shut::Busy));
    gate.give_back(first);
    assert!(gate.take(now).is_ok());
    gate.set_limits(GateLimits { max_concurrent: 1, requests_per_minute: None });
    assert_eq!((gate.shut(now), gate.running()), (Some(Shut::Busy), 2));
}

#[test]
fn an_attempt_that_never_left_gives_its_place_in_the_minute_back() {
    let now = Instant::now();
    let mut gate = gate(9, Some(2));
    let first = gate.take(now).unwrap();
    let second = gate.take(now).unwrap();
    assert_eq!(gate.take(now), Err(Shut::Busy), "both may still leave");
    gate.give_back(first);
    gate.leaves(second, now);
    gate.leaves(second, now);
    let third = gate.take(now).unwrap();
    gate.leaves(third, now + SECOND);
    assert_eq!(gate.take(now + SECOND), Err(Shut::Rate(now + RATE_WINDOW)));
    assert!(gate.take(now + RATE_WINDOW).is_ok());
}

#[test]
fn five_failures_in_a_row_open_the_circuit_and_one_attempt_closes_it() {
    let now = Instant::now();
    let mut gate = gate(9, None);
    for verdict in [Verdict::Failed; 4].into_iter().chain([Verdict::Answered]).chain([Verdict::Failed; 4]) {
        gate.judge(verdict, now);
        gate.judge(Verdict::Unclear, now);
    }
    assert_eq!(gate.shut(now), None);
    gate.judge(Verdict::Failed, now);
    assert_eq!(gate.shut(now), Some(Shut::Circuit(now + FIRST_OPEN)));
    let later = now + FIRST_OPEN;
    let probe = gate.take(later).unwrap();
    assert_eq!(gate.take(later), Err(Shut::Busy), "one attempt finds out");
    gate.judge(Verdict::Failed, later);
    gate.give_back(probe);
    assert_eq!(gate.shut(later), Some(Shut::Circuit(later + 2 * FIRST_OPEN)));
    gate.judge(Verdict::Answered, later);
    assert_eq!(gate.shut(later), None);
}

#[test]
fn a_pause_is_kept_and_a_shorter_one_does_not_end_it() {
    let now = Instant::now();
    let mut gate = gate(9, None);
    gate.judge(Verdict::Limited(Some(20 * SECOND)), now);
    gate.judge(Verdict::Limited(Some(SECOND)), now);
    assert_eq!(gate.shut(now), Some(Shut::Paused(now + 20 * SECOND)));
    assert_eq!(gate.shut(now + 20 * SECOND), None);
    gate.judge(Verdict::Answered, now);
    gate.judge(Verdict::Limited(None), now + 30 * SECOND);
    assert_eq!(gate.shut(now + 30 * SECOND), Some(Shut::Paused(now + 31 * SECOND)));
    gate.judge(Verdict::Limited(None), now + 40 * SECOND);
    assert_eq!(gate.shut(now + 40 * SECOND), Some(Shut::Paused(now + 42 * SECOND)));
    assert_eq!(doubled(FIRST_PAUSE, 400, LONGEST_PAUSE), LONGEST_PAUSE);
}

proptest! {
    /// Whatever comes when, and however long each request waits before it leaves.
    #[test]
    fn no_minute_holds_more_than_its_requests(
        limit in 1_u32..5,
        steps in prop::collection::vec((0_u64..30_000, 0_usize..3), 1..80),
    ) {
        let mut gate = gate(100, Some(limit));
        let (mut now, mut left, mut held) = (Instant::now(), Vec::new(), Vec::new());
        for (pause, step) in steps {
            now += Duration::from_millis(pause);
            held.extend(gate.take(now).ok());
            if step > 0 && let Some(ticket) = held.pop() {
                gate.leaves(ticket, now);
                gate.give_back(ticket);
                left.push(now);
            }
        }
        for (index, first) in left.iter().enumerate() {
            let within = left[index..].iter().filter(|at| **at < *first + Duration::from_mins(1)).count();
            prop_assert!(within <= limit as usize);
        }
    }

    #[test]
    fn it_opens_when_it_says(limit in 1_u32..4, pauses in prop::collection::vec(0_u64..40_000, 1..40)) {
        let mut gate = gate(1, Some(limit));
        let mut now = Instant::now();
        for pause in pauses {
            now += Duration::from_millis(pause);
            if let Some(until) = gate.shut(now).and_then(Shut::until) {
                prop_assert!(until > now && gate.shut(until).is_none());
                now = until;
            }
            let ticket = gate.take(now).unwrap();
            gate.leaves(ticket, now);
            gate.give_back(ticket);
        }
    }
}
