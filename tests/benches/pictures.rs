//! C1, C4, P4: a cached picture in the client's hand, equal requests at once, and drawing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails by panicking, where it stands"
)]

use std::{io::Cursor, ops::ControlFlow, thread};

use reel_tests::{
    bench::{self, Row, Samples, Unit, each, interleaved, seconds},
    echo::Echo,
    pinned::Pinned,
};
use reeld::provider::draft::{self, Panel};
use serde::Deserialize;
use serde_json::{Value, json};

fn main() {
    bench::main(&[("C1", hit), ("C4", flight), ("P4", drawing)]);
}

fn call(params: &Value) -> Value {
    json!({ "service": "image", "method": "generate", "params": params })
}

/// What a client that wants the file reads of an answer.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Task<'a>,
}

#[derive(Deserialize)]
struct Task<'a> {
    #[serde(borrow)]
    outputs: Vec<Output<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    path: &'a str,
}

fn hit() -> Vec<Row> {
    let sandbox = bench::sandbox();
    let _pinned = Pinned::here().with_process(sandbox.start());
    let mut connection = sandbox.connect();
    let params = json!({ "prompt": "a lighthouse at dusk" });
    let made = connection.generate(params.clone());
    let path = made["outputs"][0]["path"].as_str().unwrap();
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "service.call", "params": call(&params) });
    let line = format!("{request}\n");
    let mut echo = Echo::start();
    let (ours, reference) = interleaved(
        20,
        || {
            each(200, || {
                connection.send_bytes(line.as_bytes());
                let line = connection.try_read_line().unwrap();
                let answer: Answer<'_> = serde_json::from_str(&line).unwrap();
                assert_eq!(answer.result.outputs[0].path, path);
            })
        },
        || each(200, || echo.round_trip()),
    );
    vec![Row {
        mark: "C1",
        figure: "cache hit: request → path, p50 (on one core)",
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

/// Prompts as storyboards have them, so that scenes of all kinds are drawn.
const PROMPTS: [&str; 8] = [
    "a lighthouse at dusk, waves against the rocks",
    "two children run through a wheat field under a summer sky",
    "a rainy street at night, neon signs in the puddles",
    "an old library, dust in the light of a tall window",
    "a caravan crosses the desert towards snowy mountains",
    "a rocket over the city, seen from a balcony",
    "a fox in the forest, first snow",
    "灯台、夕暮れ、波",
];

/// Runs one job a prompt on as many threads as there are cores; all jobs a second.
fn jobs_per_second(job: impl Fn(usize) + Sync) -> f64 {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let time = seconds(|| {
        thread::scope(|scope| {
            for core in 0..cores {
                let job = &job;
                scope.spawn(move || (core..PROMPTS.len()).step_by(cores).for_each(job));
            }
        });
    });
    PROMPTS.len() as f64 / time
}

fn panel(prompt: &str) -> Panel {
    let prompt = prompt.to_owned();
    Panel { prompt, negative_prompt: None, style: None, width: 1024, height: 1024, seed: 1, sample: 0 }
}

fn draw(prompt: &str) -> Vec<u8> {
    draft::draw(&panel(prompt), &mut |_, _| ControlFlow::Continue(())).unwrap().png
}

/// The pixels of a panel.
fn pixels(png: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

/// With the settings of the draft provider.
fn encode(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(pixels.len() / 4);
    let mut encoder = png::Encoder::new(&mut bytes, 1024, 1024);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(png::Filter::Adaptive);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

fn drawing() -> Vec<Row> {
    let sheets: Vec<Vec<u8>> = PROMPTS.iter().map(|prompt| pixels(&draw(prompt))).collect();
    let (ours, reference) = interleaved(
        10,
        || vec![jobs_per_second(|index| drop(draw(PROMPTS[index])))],
        || vec![jobs_per_second(|index| drop(encode(&sheets[index])))],
    );
    vec![Row {
        mark: "P4",
        figure: "draft panels at 1024×1024, all cores",
        unit: Unit::PerSecond,
        ours,
        reference_name: "PNG-encoding the same pixels",
        reference,
        first: "≥ 0.5 ×",
        goal: "≥ 0.8 ×",
    }]
}
