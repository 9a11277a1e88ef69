//! C1, C4, P4: a cached picture in the client's hand, equal requests at once, and drawing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use reel_tests::{
    bench::{self, Row, Samples, Unit, each, interleaved},
    echo::Echo,
};
use serde_json::{Value, json};

fn main() {
    bench::main(&[("C1", hit), ("C4", flight)]);
}

fn call(params: &Value) -> Value {
    json!({ "service": "image", "method": "generate", "params": params })
}

fn hit() -> Vec<Row> {
    let sandbox = bench::sandbox();
    sandbox.start();
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "a lighthouse at dusk" });
    let made = connection.generate(params.clone());
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "service.call", "params": call(&params) });
    let line = format!("{request}\n");
    let mut echo = Echo::start();
    let (ours, reference) = interleaved(
        20,
        || {
            each(200, || {
                connection.send_bytes(line.as_bytes());
                let answer: Value = serde_json::from_str(&connection.try_read_line().unwrap()).unwrap();
                assert_eq!(answer["result"]["outputs"][0]["path"], made["outputs"][0]["path"]);
            })
        },
        || each(200, || echo.round_trip()),
    );
    vec![Row {
        mark: "C1",
        figure: "cache hit: request → path, p50",
        unit: Unit::Seconds,
        ours,
        reference_name: "bare socket round trip",
        reference,
        first: "≤ 3 ×",
        goal: "≤ 1.5 ×",
    }]
}

fn flight() -> Vec<Row> {
    let sandbox = bench::sandbox();
    sandbox.start();
    let mut connections: Vec<_> = (0..64).map(|_| sandbox.connect()).collect();
    let draws = (0..10).map(|round| {
        let params = json!({ "prompt": format!("one for all, {round}") });
        let ids: Vec<u64> = connections
            .iter_mut()
            .map(|connection| connection.request("service.call", call(&params)))
            .collect();
        let answers = connections.iter_mut().zip(ids).map(|(connection, id)| connection.answer(id).unwrap());
        answers.map(|task| task["attempts"].as_u64().unwrap()).sum::<u64>() as f64
    });
    vec![Row {
        mark: "C4",
        figure: "64 clients ask the same new picture: drawings",
        unit: Unit::Count,
        ours: Samples::new(draws.collect()),
        reference_name: "one",
        reference: Samples::constant(1.0),
        first: "1",
        goal: "1",
    }]
}
