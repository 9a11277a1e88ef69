//! Tests of when a gate lets attempts begin, and property tests of `requests_per_minute`.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    model::{FIRST_OPEN, FIRST_PAUSE, LONGEST_PAUSE},
    *,
};

fn gate(max_concurrent: u32, requests_per_minute: Option<u32>) -> Gate {
    Gate::new(GateLimits { max_concurrent, requests_per_minute })
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn permits_go_out_up_to_the_limit_and_come_back() {
    let now = Instant::now();
    let mut gate = gate(2, None);
    let first = gate.take(&None, now).unwrap();
    gate.take(&None, now).unwrap();
    assert_eq!(gate.take(&None, now), Err(WhyNot::Busy));
    gate.give_back(first);
    assert!(gate.take(&None, now).is_ok());
    gate.set_limits(GateLimits { max_concurrent: 1, requests_per_minute: None });
    assert_eq!((gate.why_not(&None, now), gate.running()), (Some(WhyNot::Busy), 2));
}

#[test]
fn an_attempt_that_never_left_gives_its_place_in_the_minute_back() {
    let now = Instant::now();
    let mut gate = gate(9, Some(2));
    let first = gate.take(&None, now).unwrap();
    let second = gate.take(&None, now).unwrap();
    assert_eq!(gate.take(&None, now), Err(WhyNot::Rate(now + RATE_WINDOW)), "both may still leave");
    gate.give_back(first);
    gate.leaves(second, now);
    gate.leaves(second, now);
    let third = gate.take(&None, now).unwrap();
    gate.leaves(third, now + SECOND);
    assert_eq!(gate.take(&None, now + SECOND), Err(WhyNot::Rate(now + RATE_WINDOW)));
    assert!(gate.take(&None, now + RATE_WINDOW).is_ok());
}

/// Runs an attempt that begins and ends at `now`. It panics if the gate lets none begin.
fn attempt(gate: &mut Gate, verdict: Verdict, now: Instant) {
    let ticket = began(gate, now);
    end(gate, ticket, verdict, now);
}

fn began(gate: &mut Gate, now: Instant) -> u64 {
    gate.take(&None, now).unwrap()
}

fn end(gate: &mut Gate, ticket: u64, verdict: Verdict, now: Instant) {
    gate.judge(ticket, verdict, now);
    gate.give_back(ticket);
}

#[test]
fn five_failures_in_a_row_open_the_circuit_and_one_attempt_closes_it() {
    let now = Instant::now();
    let mut gate = gate(9, None);
    for verdict in [Verdict::Failed; 4].into_iter().chain([Verdict::Answered]).chain([Verdict::Failed; 4]) {
        attempt(&mut gate, verdict, now);
        attempt(&mut gate, Verdict::Unclear, now);
    }
    assert_eq!(gate.why_not(&None, now), None);
    attempt(&mut gate, Verdict::Failed, now);
    assert_eq!(gate.why_not(&None, now), Some(WhyNot::Circuit(now + FIRST_OPEN)));
    let later = now + FIRST_OPEN;
    let probe = began(&mut gate, later);
    assert_eq!(gate.take(&None, later), Err(WhyNot::Busy), "one attempt finds out");
    end(&mut gate, probe, Verdict::Failed, later);
    assert_eq!(gate.why_not(&None, later), Some(WhyNot::Circuit(later + 2 * FIRST_OPEN)));
    let later = later + 2 * FIRST_OPEN;
    attempt(&mut gate, Verdict::Answered, later);
    assert_eq!(gate.why_not(&None, later), None);
}

#[test]
fn the_late_failures_of_one_burst_count_once() {
    let now = Instant::now();
    let mut gate = gate(100, None);
    let burst: Vec<_> = (0..100).map(|_| began(&mut gate, now)).collect();
    let (first, late) = burst.split_at(50);
    for ticket in first {
        end(&mut gate, *ticket, Verdict::Failed, now + SECOND);
    }
    let until = now + SECOND + FIRST_OPEN;
    assert_eq!(gate.why_not(&None, now + SECOND), Some(WhyNot::Circuit(until)));
    // These began before the circuit opened and end after it may close, so they are no probes.
    for ticket in late {
        end(&mut gate, *ticket, Verdict::Failed, until + SECOND);
    }
    assert_eq!(gate.why_not(&None, until + SECOND), None);
    attempt(&mut gate, Verdict::Failed, until + SECOND);
    let again = until + SECOND + 2 * FIRST_OPEN;
    assert_eq!(
        gate.why_not(&None, until + SECOND),
        Some(WhyNot::Circuit(again)),
        "the second time, not the fiftieth"
    );
}

#[test]
fn the_late_limits_of_one_burst_count_once_and_their_longest_wait_is_kept() {
    let now = Instant::now();
    let mut gate = gate(100, None);
    let mut burst: Vec<_> = (0..100).map(|_| began(&mut gate, now)).collect();
    let failed = burst.split_off(90);
    let longest = burst.pop().unwrap();
    for ticket in burst {
        end(&mut gate, ticket, Verdict::Limited(None), now + SECOND);
    }
    assert_eq!(gate.why_not(&None, now + SECOND), Some(WhyNot::Paused(now + 2 * SECOND)));
    end(&mut gate, longest, Verdict::Limited(Some(5 * SECOND)), now + SECOND);
    for ticket in failed {
        end(&mut gate, ticket, Verdict::Failed, now + SECOND);
    }
    assert_eq!(gate.why_not(&None, now + SECOND), Some(WhyNot::Paused(now + 6 * SECOND)), "and no circuit");
    assert_eq!(gate.why_not(&None, now + 6 * SECOND), None);
    attempt(&mut gate, Verdict::Limited(None), now + 6 * SECOND);
    assert_eq!(
        gate.why_not(&None, now + 6 * SECOND),
        Some(WhyNot::Paused(now + 8 * SECOND)),
        "the second time"
    );
}

#[test]
fn a_pause_is_kept_and_a_shorter_one_does_not_end_it() {
    let now = Instant::now();
    let mut gate = gate(9, None);
    let (first, second) = (began(&mut gate, now), began(&mut gate, now));
    end(&mut gate, first, Verdict::Limited(Some(20 * SECOND)), now);
    end(&mut gate, second, Verdict::Limited(Some(SECOND)), now);
    assert_eq!(gate.why_not(&None, now), Some(WhyNot::Paused(now + 20 * SECOND)));
    assert_eq!(gate.why_not(&None, now + 20 * SECOND), None);
    attempt(&mut gate, Verdict::Answered, now + 20 * SECOND);
    attempt(&mut gate, Verdict::Limited(None), now + 30 * SECOND);
    assert_eq!(gate.why_not(&None, now + 30 * SECOND), Some(WhyNot::Paused(now + 31 * SECOND)));
    attempt(&mut gate, Verdict::Limited(None), now + 40 * SECOND);
    assert_eq!(gate.why_not(&None, now + 40 * SECOND), Some(WhyNot::Paused(now + 42 * SECOND)));
    assert_eq!(doubled(FIRST_PAUSE, 400, LONGEST_PAUSE), LONGEST_PAUSE);
}

#[test]
fn a_provider_that_limits_and_says_to_come_back_at_once_is_asked_less_and_less() {
    let mut now = Instant::now();
    let mut gate = gate(1, None);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        attempt(&mut gate, Verdict::Limited(Some(Duration::from_millis(12))), now);
        let until = gate.why_not(&None, now).and_then(WhyNot::until).unwrap();
        pauses.push((until - now).as_millis());
        now = until;
    }
    assert_eq!(pauses, [12, 12, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    attempt(&mut gate, Verdict::Limited(Some(40 * SECOND)), now);
    assert_eq!(
        gate.why_not(&None, now),
        Some(WhyNot::Paused(now + 40 * SECOND)),
        "it is left alone for longer if it says so"
    );
    attempt(&mut gate, Verdict::Answered, now + 40 * SECOND);
    attempt(&mut gate, Verdict::Limited(Some(SECOND)), now + 40 * SECOND);
    assert_eq!(gate.why_not(&None, now + 40 * SECOND), Some(WhyNot::Paused(now + 41 * SECOND)));
}

#[test]
fn another_service_of_that_name_is_not_judged_by_what_the_former_did() {
    let now = Instant::now();
    let mut gate = gate(9, Some(10));
    let mut former: Vec<_> = (0..9).map(|_| began(&mut gate, now)).collect();
    for ticket in former.split_off(4) {
        gate.leaves(ticket, now);
        end(&mut gate, ticket, Verdict::Failed, now);
    }
    assert_eq!(gate.why_not(&None, now), Some(WhyNot::Circuit(now + FIRST_OPEN)));
    gate.renew();
    assert_eq!(gate.why_not(&None, now), None);
    for ticket in former {
        end(&mut gate, ticket, Verdict::Limited(Some(20 * SECOND)), now);
    }
    assert_eq!(gate.why_not(&None, now), None);
    for _ in 0..5 {
        let ticket = began(&mut gate, now);
        gate.leaves(ticket, now);
        gate.give_back(ticket);
    }
    assert_eq!(gate.why_not(&None, now), Some(WhyNot::Rate(now + RATE_WINDOW)), "the minute is kept");
}

/// Returns why no attempt with that model may begin.
fn why_not_for(gate: &Gate, model: &str, now: Instant) -> Option<WhyNot> {
    gate.why_not(&Some(Arc::from(model)), now)
}

fn attempt_with(gate: &mut Gate, model: &str, verdict: Verdict, now: Instant) {
    let ticket = gate.take(&Some(Arc::from(model)), now).unwrap();
    end(gate, ticket, verdict, now);
}

#[test]
fn a_model_that_fails_or_is_limited_does_not_stop_the_others() {
    let now = Instant::now();
    let mut gate = gate(9, None);
    for _ in 0..5 {
        attempt_with(&mut gate, "broken", Verdict::Failed, now);
    }
    attempt_with(&mut gate, "busy", Verdict::Limited(Some(20 * SECOND)), now);
    assert_eq!(why_not_for(&gate, "broken", now), Some(WhyNot::Circuit(now + FIRST_OPEN)));
    assert_eq!(why_not_for(&gate, "busy", now), Some(WhyNot::Paused(now + 20 * SECOND)));
    assert_eq!((why_not_for(&gate, "well", now), gate.why_not(&None, now)), (None, None));
    assert!(gate.is_down(&Some("broken".into()), now) && !gate.is_down(&Some("busy".into()), now));
    attempt_with(&mut gate, "well", Verdict::Answered, now);
    assert!(why_not_for(&gate, "broken", now).is_some(), "an answer for one says nothing about another");
    // One attempt for each model probes it, while attempts of other models go on.
    let later = now + FIRST_OPEN;
    gate.take(&None, later).unwrap();
    gate.take(&Some("broken".into()), later).unwrap();
    assert_eq!(why_not_for(&gate, "broken", later), Some(WhyNot::Busy));
    assert_eq!(why_not_for(&gate, "well", later), None);
}

#[test]
fn a_provider_that_is_not_reached_is_tried_by_one_attempt_at_a_time_up_to_a_minute_apart() {
    let mut now = Instant::now();
    let mut gate = gate(100, Some(200));
    let burst: Vec<_> = (0..100).map(|_| began(&mut gate, now)).collect();
    for ticket in burst {
        gate.leaves(ticket, now);
        end(&mut gate, ticket, Verdict::Unreached, now);
    }
    let mut pauses = Vec::new();
    for tries in 1..9 {
        assert_eq!(gate.is_down(&None, now), tries >= LONG_UNREACHED);
        let Some(WhyNot::Unreachable(until)) = why_not_for(&gate, "any", now) else { panic!("it is open") };
        pauses.push((until - now).as_secs());
        now = until;
        let probe = gate.take(&None, now).unwrap();
        assert_eq!(why_not_for(&gate, "any", now), Some(WhyNot::Busy), "one attempt finds out");
        end(&mut gate, probe, Verdict::Unreached, now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    let until = gate.why_not(&None, now).and_then(WhyNot::until).unwrap();
    attempt_with(&mut gate, "any", Verdict::Failed, until);
    assert_eq!(gate.why_not(&None, until), None, "a refusal reaches it too");
    for _ in 0..99 {
        let ticket = began(&mut gate, until);
        gate.leaves(ticket, until);
    }
    assert_eq!(gate.why_not(&None, until), None, "what did not arrive is not in its minute");
}

#[test]
fn a_server_that_loads_is_told_from_one_that_cannot_be_reached() {
    let mut now = Instant::now();
    let mut gate = gate(9, None);
    for (verdict, reason) in [
        (Verdict::Unreached, Some(WaitReason::ProviderUnreachable)),
        (Verdict::Loading, Some(WaitReason::ProviderLoading)),
        (Verdict::Unreached, Some(WaitReason::ProviderUnreachable)),
        (Verdict::Answered, None),
    ] {
        attempt(&mut gate, verdict, now);
        let why_not = gate.why_not(&None, now);
        assert_eq!(why_not.map(WhyNot::reason), reason, "{verdict:?}");
        now = why_not.and_then(WhyNot::until).unwrap_or(now);
    }
}

#[test]
fn an_attempt_that_hangs_since_before_keeps_nobody_from_finding_out() {
    let now = Instant::now();
    let mut gate = gate(9, None);
    let hanging = began(&mut gate, now);
    attempt(&mut gate, Verdict::Unreached, now + SECOND);
    let later = now + 2 * SECOND;
    assert_eq!(gate.why_not(&None, later), None);
    gate.judge(hanging, Verdict::Answered, later - Duration::from_millis(1));
    let probe = began(&mut gate, later);
    end(&mut gate, probe, Verdict::Unreached, later);
    assert_eq!(gate.why_not(&None, later), Some(WhyNot::Unreachable(later + 2 * SECOND)));
}

#[test]
fn models_without_end_are_not_remembered() {
    let now = Instant::now();
    let mut gate = gate(9, None);
    for model in 0..3 * MAX_MODELS {
        attempt_with(&mut gate, &model.to_string(), Verdict::Limited(Some(SECOND)), now);
        assert!(gate.models.len() <= MAX_MODELS);
    }
}

proptest! {
    /// No minute has more requests than the limit, whatever the times of the attempts and the delays before their requests.
    #[test]
    fn no_minute_holds_more_than_its_requests(
        limit in 1_u32..5,
        steps in prop::collection::vec((0_u64..30_000, 0_usize..3), 1..80),
    ) {
        let mut gate = gate(100, Some(limit));
        let (mut now, mut left, mut held) = (Instant::now(), Vec::new(), Vec::new());
        for (pause, step) in steps {
            now += Duration::from_millis(pause);
            held.extend(gate.take(&None, now).ok());
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
            if let Some(until) = gate.why_not(&None, now).and_then(WhyNot::until) {
                prop_assert!(until > now && gate.why_not(&None, until).is_none());
                now = until;
            }
            let ticket = gate.take(&None, now).unwrap();
            gate.leaves(ticket, now);
            gate.give_back(ticket);
        }
    }
}

#[test]
fn an_answered_attempt_leaves_its_place_to_another_one_and_is_judged_all_the_same() {
    let now = Instant::now();
    let mut gate = Gate::new(GateLimits { max_concurrent: 1, requests_per_minute: None });
    let first = gate.take(&None, now).unwrap();
    gate.leaves(first, now);
    assert_eq!(gate.why_not(&None, now), Some(WhyNot::Busy));
    gate.answered(first);
    assert_eq!((gate.running(), gate.why_not(&None, now)), (0, None));
    gate.take(&None, now).unwrap();
    gate.judge(first, Verdict::Limited(Some(Duration::from_secs(9))), now);
    assert!(matches!(gate.why_not(&None, now), Some(WhyNot::Busy)));
    gate.give_back(first);
    assert_eq!(gate.running(), 1);
}

#[test]
fn only_a_failure_to_serve_speaks_against_a_provider() {
    let minute = Some(Duration::from_mins(1));
    for (class, verdict) in [
        (Class::Unreached, Verdict::Unreached),
        (Class::Loading, Verdict::Loading),
        (Class::Transient(minute), Verdict::Failed),
        (Class::RateLimited(minute), Verdict::Limited(minute)),
        (Class::Ambiguous, Verdict::Unclear),
        (Class::Quota, Verdict::Answered),
        (Class::QuotaWindow(None), Verdict::Answered),
        (Class::Auth, Verdict::Answered),
        (Class::Invalid, Verdict::Answered),
        (Class::Moderated, Verdict::Answered),
        (Class::Gone, Verdict::Answered),
        (Class::Unknown, Verdict::Answered),
    ] {
        assert_eq!(Verdict::from(class), verdict, "{class:?}");
    }
}
