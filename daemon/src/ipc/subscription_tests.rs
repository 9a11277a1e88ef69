//! Tests of subscriptions through whole sessions, with fake rooms.

use std::time::Duration;

use reel_protocol::{
    limits::{BATCH_TASKS, SUBSCRIPTIONS},
    methods::Topic,
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::test_client::{Client, run};

#[test]
fn events_reach_their_subscription_until_it_ends() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        fake.events.plain(Topic::Daemon, "before");
        let answer = client.call("events.subscribe", json!({ "topics": ["daemon"] })).await;
        assert_eq!(answer["result"], json!({ "subscription": 1, "instance": "i", "seq": 1 }));
        fake.events.plain(Topic::Cache, "evicted");
        fake.events.plain(Topic::Daemon, "reloaded");
        let event = client.line().await.unwrap();
        assert_eq!(event["method"], "event");
        assert_eq!((&event["params"]["seq"], &event["params"]["event"]), (&json!(3), &json!("reloaded")));
        client.call("events.unsubscribe", json!({ "subscription": 1 })).await;
        assert_eq!(
            client.code("events.unsubscribe", json!({ "subscription": 1 })).await,
            "subscription_not_found"
        );
        for _ in 0..SUBSCRIPTIONS {
            client.call("events.subscribe", json!({ "topics": ["daemon"] })).await;
        }
        let code = client.code("events.subscribe", json!({ "topics": ["task"] })).await;
        assert_eq!(code, "too_many_subscriptions");
        assert_eq!(client.code("events.subscribe", json!({ "topics": ["wether"] })).await, "invalid_params");
    });
}

#[test]
fn a_subscription_that_falls_behind_is_dropped_and_the_connection_stays() {
    run(|fake| async move {
        let mut client = Client::with_room(&fake, 1024);
        client.call("events.subscribe", json!({ "topics": ["daemon"] })).await;
        let told = 20_000_u64;
        for _ in 0..told / 100 {
            (0..100).for_each(|_| fake.events.plain(Topic::Daemon, "reloaded"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut seen = 0;
        let missed = loop {
            let event = client.line().await.unwrap();
            if event["params"]["event"] == "subscription_dropped" {
                break event["params"]["missed"].as_u64().unwrap();
            }
            seen += 1;
            assert_eq!(event["params"]["seq"], seen);
        };
        assert!(missed > 0 && seen + missed <= told, "{seen} seen, {missed} missed");
        assert_eq!(client.call("task.get", json!({ "id": 1 })).await["result"]["id"], 1);
        assert_eq!(
            client.code("events.unsubscribe", json!({ "subscription": 1 })).await,
            "subscription_not_found"
        );
    });
}

#[test]
fn a_reader_that_keeps_up_is_not_dropped_for_the_burst_of_a_large_batch() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.call("events.subscribe", json!({ "topics": ["daemon"] })).await;
        for round in 0..2 {
            (0..BATCH_TASKS).for_each(|_| fake.events.plain(Topic::Daemon, "reloaded"));
            for seen in 1..=BATCH_TASKS {
                assert_eq!(client.line().await.unwrap()["params"]["seq"], round * BATCH_TASKS + seen);
            }
        }
    });
}

#[test]
fn a_thousand_subscribers_each_get_an_event() {
    run(|fake| async move {
        let mut clients: Vec<Client> = (0..1_000).map(|_| Client::with_room(&fake, 4 * 1024)).collect();
        for client in &mut clients {
            client.call("events.subscribe", json!({ "topics": ["daemon"] })).await;
        }
        fake.events.plain(Topic::Daemon, "reloaded");
        for client in &mut clients {
            assert_eq!(client.line().await.unwrap()["params"]["event"], "reloaded");
        }
    });
}

#[test]
fn a_reader_that_takes_no_events_is_closed_after_a_minute_though_no_answer_is_due() {
    run(|fake| async move {
        let mut client = Client::with_room(&fake, 1024);
        client.call("events.subscribe", json!({ "topics": ["daemon"] })).await;
        assert!(fake.budget.reserved_bytes() > 0);
        let started = Instant::now();
        (0..100).for_each(|_| fake.events.plain(Topic::Daemon, "reloaded"));
        timeout(Duration::from_mins(2), client.session).await.unwrap().unwrap();
        assert!(started.elapsed() >= Duration::from_secs(59), "{:?}", started.elapsed());
        assert_eq!(fake.budget.reserved_bytes(), 0);
    });
}

#[test]
fn a_subscription_is_reserved_with_what_it_names_and_refused_where_that_does_not_fit() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.call("events.subscribe", json!({ "topics": vec!["daemon"; 1_000] })).await;
        let plain = fake.budget.reserved_bytes();
        let ids: Vec<u64> = (0..1_000).chain(0..500).take(1_000).collect();
        let params = json!({ "topics": ["task"], "task_ids": ids });
        client.call("events.subscribe", params.clone()).await;
        assert_eq!(fake.budget.reserved_bytes(), plain * 2 + 8_000);
        fake.budget.set_limit(1024);
        assert_eq!(client.code("events.subscribe", params).await, "over_memory");
        for subscription in [1, 2] {
            client.call("events.unsubscribe", json!({ "subscription": subscription })).await;
        }
        tokio::task::yield_now().await;
        assert_eq!(fake.budget.reserved_bytes(), 0);
    });
}
