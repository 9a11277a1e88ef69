//! Tests of sessions over in-memory streams, with fake rooms.

use std::time::Duration;

use reel_protocol::{
    endpoint::Locations,
    limits::{CONNECTIONS, LARGE_LINE_BYTES, LINE_BYTES, READ_BYTES},
    methods::METHODS,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    HomeLock, Listener,
    fakes::{EndRooms, Fake},
    serve,
    test_client::{Client, run},
};

#[test]
fn every_method_of_the_specification_is_served() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        // The main task does not run in this test. Requests that only it can answer are refused, and do not hang.
        drop(fake.control);
        for method in METHODS {
            let answer = client.call(method, json!({})).await;
            let code = answer["error"]["data"]["code"].as_str().unwrap_or_default();
            assert!(!["method_not_found", "internal"].contains(&code), "{method}: {answer}");
        }
        let answer = client.call("task.sumbit", json!({})).await;
        assert_eq!(answer["error"]["code"], -32601);
        assert_eq!(answer["error"]["data"]["hint"], "did you mean task.submit?");
        assert_eq!(client.code("daemon.reload", json!({})).await, "shutting_down");
    });
}

#[test]
fn three_hundred_pipelined_requests_are_all_answered_once() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        for id in 0..300 {
            client.ask(id, "task.get", json!({ "id": id })).await;
        }
        let mut seen = vec![false; 300];
        for _ in 0..300 {
            let answer = client.line().await.unwrap();
            assert_eq!(answer["result"]["id"], answer["id"]);
            let id = answer["id"].as_u64().unwrap() as usize;
            assert!(!std::mem::replace(&mut seen[id], true));
        }
    });
}

#[test]
fn a_257th_unanswered_request_waits_unread_and_quick_answers_overtake_slow_ones() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        let wait = |id: u64, timeout_s: u64| {
            let params = json!({ "ids": [1], "timeout_s": timeout_s });
            format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": "task.wait", "params": params }))
        };
        client.send(&wait(0, 50)).await;
        assert_eq!(client.call("task.get", json!({ "id": 1 })).await["result"]["id"], 1);
        let lines: String = (1..300).map(|id| wait(id, 100)).collect();
        client.send(&lines).await;
        let started = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(fake.asked.borrow().iter().filter(|asked| *asked == "WaitTasks").count(), 256);
        for _ in 0..300 {
            client.line().await.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_secs(150));
    });
}

#[test]
fn after_the_end_of_input_pending_answers_still_go_out() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.ask(1, "task.wait", json!({ "ids": [1], "timeout_s": 20 })).await;
        client.send(r#"{"jsonrpc":"2.0","id":2,"method":"task.get","params":{"id":3}}"#).await;
        client.end_input().await;
        assert_eq!(client.line().await.unwrap()["id"], 2);
        assert_eq!(client.line().await.unwrap()["result"]["timed_out"], true);
        assert_eq!(client.line().await, None);
        client.session.await.unwrap();
        assert_eq!(fake.router.open_connections(), 0);
    });
}

#[test]
fn a_peer_that_vanishes_gives_up_its_waits_but_not_what_was_accepted() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.ask(1, "task.wait", json!({ "ids": [999] })).await;
        client.call("task.submit", json!({ "kind": "debug.noop" })).await;
        drop(client.stream);
        timeout(Duration::from_secs(5), client.session).await.unwrap().unwrap();
        assert!(fake.asked.borrow().iter().any(|asked| asked.starts_with("SubmitTask")));
    });
}

#[test]
fn garbage_is_answered_and_the_next_good_line_too() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.send("\u{feff}garbage\r\n\r\n[]\n{\"jsonrpc\":\"2.0\",\"id\":5}\n").await;
        for (id, code) in [(Value::Null, -32700), (Value::Null, -32600), (json!(5), -32600)] {
            let answer = client.line().await.unwrap();
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{answer}");
        }
        assert_eq!(client.code("task.get", json!([1])).await, "invalid_params");
        assert_eq!(client.code("task.get", json!({ "id": "x" })).await, "invalid_params");
        assert_eq!(client.code("task.get", json!({ "id": 5000 })).await, "task_not_found");
        assert_eq!(client.code("provider.check", json!({ "name": "draff" })).await, "unknown_provider");
        assert_eq!(
            client.call("provider.check", json!({ "name": "draft" })).await["result"]["is_usable"],
            true
        );
    });
}

#[test]
fn long_lines_are_refused_by_size_and_by_budget_and_the_connection_goes_on() {
    run(|fake| async move {
        let mut client = Client::with_room(&fake, LARGE_LINE_BYTES * 2);
        let long = "x".repeat(LINE_BYTES);
        assert_eq!(client.code("task.get", json!({ "id": long })).await, "request_too_large");
        client.send(&"y".repeat(LARGE_LINE_BYTES + 1)).await;
        client.send("\n").await;
        assert_eq!(client.line().await.unwrap()["error"]["data"]["code"], "request_too_large");
        fake.budget.set_limit(1024 * 1024);
        client.send(&"z".repeat(4 * 1024 * 1024)).await;
        client.send("\n").await;
        assert_eq!(client.line().await.unwrap()["error"]["data"]["code"], "over_memory");
        assert_eq!(client.call("task.get", json!({ "id": 1 })).await["result"]["id"], 1);
        fake.budget.set_limit(64 * 1024 * 1024);
        let spec = json!({ "kind": "debug.noop", "params": { "text": "p".repeat(10_000) } });
        let answer = client.call("task.submit_batch", json!({ "tasks": vec![spec; 500] })).await;
        assert_eq!(answer["result"]["ids"].as_array().map(Vec::len), Some(500));
        let bad = json!({ "tasks": [{ "kind": "a.b" }, { "kind": "a.b", "max_attempts": 0 }] });
        let answer = client.call("task.submit_batch", bad).await;
        assert!(answer["error"]["message"].as_str().unwrap().starts_with("tasks[1]: "), "{answer}");
        drop(client.stream);
        client.session.await.unwrap();
        assert_eq!(fake.budget.reserved_bytes(), 0);
    });
}

#[test]
fn a_notification_is_carried_out_and_not_answered() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.send("{\"jsonrpc\":\"2.0\",\"method\":\"queue.pause\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}\n").await;
        assert_eq!(client.call("task.get", json!({ "id": 1 })).await["id"], 7);
        client.end_input().await;
        assert_eq!(client.line().await, None);
        assert!(fake.asked.borrow().iter().any(|asked| asked == "PauseQueue(true)"));
    });
}

#[test]
fn hello_names_the_caller_of_what_follows() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.call("task.submit", json!({ "kind": "debug.noop" })).await;
        let hello = client.call("hello", json!({ "client": "editor" })).await;
        assert_eq!((&hello["result"]["instance"], &hello["result"]["protocol"]), (&json!("i"), &json!(1)));
        client.call("task.submit", json!({ "kind": "debug.noop" })).await;
        let asked = fake.asked.borrow();
        assert!(
            asked[0].contains("client: \"test\"") && asked[1].contains("client: \"editor\""),
            "{asked:?}"
        );
    });
}

#[test]
fn a_reader_that_stops_is_not_read_from_and_is_closed_after_a_minute() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        let digest = "0".repeat(64);
        let started = Instant::now();
        for id in 0..20 {
            client.ask(id, "artifact.read", json!({ "digest": digest, "length": READ_BYTES })).await;
        }
        timeout(Duration::from_mins(2), client.session).await.unwrap().unwrap();
        assert!(started.elapsed() >= Duration::from_secs(59), "{:?}", started.elapsed());
        let reads = fake.asked.borrow().iter().filter(|asked| *asked == "ReadArtifact").count();
        assert!(reads <= 3, "{reads} answers of 6 MB wait");
        assert_eq!(fake.budget.reserved_bytes(), 0);
    });
}

#[test]
fn a_slow_reader_gets_all_answers_in_time() {
    run(|fake| async move {
        let mut client = Client::with_room(&fake, 1024 * 1024);
        let params = json!({ "digest": "0".repeat(64), "length": READ_BYTES });
        for id in 0..20 {
            client.ask(id, "artifact.read", params.clone()).await;
        }
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let answer = client.line().await.unwrap();
            assert_eq!(answer["result"]["size_bytes"], READ_BYTES);
        }
    });
}

#[test]
fn a_stop_lets_quick_answers_out_and_waits_a_second_for_the_rest() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        client.ask(1, "task.wait", json!({ "ids": [1], "timeout_s": 0.5 })).await;
        client.ask(2, "task.wait", json!({ "ids": [999] })).await;
        client.call("task.get", json!({ "id": 1 })).await;
        let started = Instant::now();
        client.stop.send(true).unwrap();
        assert_eq!(client.line().await.unwrap()["id"], 1);
        assert_eq!(client.line().await, None);
        assert!(started.elapsed() <= Duration::from_millis(1_100), "{:?}", started.elapsed());
    });
}

#[test]
fn a_call_that_is_not_accepted_is_answered_after_its_timeout() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        let started = Instant::now();
        let params = json!({ "service": "hangs", "method": "generate", "timeout_s": 7 });
        let answer = client.call("service.call", params).await;
        assert_eq!(answer["error"]["data"]["code"], "storage_failed", "{answer}");
        assert!((7..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    });
}

#[test]
fn a_room_that_has_ended_is_an_error_and_not_a_hang() {
    run(|fake| async move {
        let mut client = Client::connect(&fake);
        fake.rooms.send(EndRooms).await.unwrap();
        for method in ["task.get", "daemon.status", "cache.stats"] {
            assert_eq!(client.code(method, json!({ "id": 1 })).await, "shutting_down", "{method}");
        }
    });
}

#[test]
fn one_connection_too_many_is_told_so_and_closed() {
    run(|fake| async move {
        let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::with_room(&fake, 4 * 1024)).collect();
        tokio::task::yield_now().await;
        let mut last = Client::connect(&fake);
        assert_eq!(last.line().await.unwrap()["error"]["data"]["code"], "too_many_connections");
        assert_eq!(last.line().await, None);
        let status = clients[0].call("daemon.status", json!({})).await;
        assert_eq!(status["result"]["connections"], CONNECTIONS);
        assert_eq!(
            status["result"]["providers"]["draft"],
            json!({ "running": 1, "max_concurrent": 2, "wait_reason": null, "waits_until": null })
        );
        let leaver = clients.pop().unwrap();
        drop(leaver.stream);
        leaver.session.await.unwrap();
        assert_eq!(Client::connect(&fake).call("task.get", json!({ "id": 1 })).await["result"]["id"], 1);
    });
}

#[test]
fn over_the_real_socket_a_closed_peer_is_told_from_one_that_only_ended_its_input() {
    actix::System::new().block_on(async {
        let fake = Fake::new();
        let root = tempfile::tempdir().unwrap();
        let (home, socket) = (root.path().join("home"), root.path().join("run/s"));
        let config = root.path().join("c");
        let locations = Locations { home, socket: socket.clone(), is_socket_given: true, config };
        let lock = HomeLock::acquire(&locations).unwrap();
        let listener = Listener::bind(&locations, &lock).unwrap();
        let (_stop, stopped) = watch::channel(false);
        let session = |(stream, peer)| {
            tokio::task::spawn_local(serve(stream, peer, fake.router.clone(), stopped.clone()))
        };
        let wait = |params: Value| {
            format!("{}\n", json!({ "jsonrpc": "2.0", "id": 1, "method": "task.wait", "params": params }))
        };
        let mut half = UnixStream::connect(&socket).await.unwrap();
        let half_session = session(listener.accept().await.unwrap());
        half.write_all(wait(json!({ "ids": [1], "timeout_s": 0.8 })).as_bytes()).await.unwrap();
        half.shutdown().await.unwrap();
        let mut gone = UnixStream::connect(&socket).await.unwrap();
        let gone_session = session(listener.accept().await.unwrap());
        gone.write_all(wait(json!({ "ids": [999] })).as_bytes()).await.unwrap();
        drop(gone);
        timeout(Duration::from_secs(5), gone_session).await.expect("its end is seen").unwrap();
        let mut answer = String::new();
        half.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("\"timed_out\":true"), "{answer}");
        half_session.await.unwrap();
    });
}
