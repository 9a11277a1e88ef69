//! The support code of end-to-end tests and benches: a sandbox with real processes, a raw connection, and waits with a deadline.
//!
//! This code does not know how the daemon works inside. It starts and kills processes, and sends and reads bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests and benches use this crate: they fail by panicking, where they stand"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write their params in place: `json!({ .. })`")]

pub mod any_comfyui;
pub mod bench;
pub mod connect_page;
pub mod echo;
pub mod fake_a1111;
pub mod fake_ollama;
pub mod fake_provider;
pub mod fake_sdcpp;
pub mod film;
pub mod http;
pub mod lines;
pub mod local_server;
pub mod mask;
pub mod module_graph;
pub mod needs;
pub mod own_machine;
pub mod pinned;
pub mod preload;
pub mod process;
pub mod random;
pub mod raw_server;
pub mod real_peer;
pub mod sandbox;
pub mod small_disk;
pub mod studio;
pub mod table;
pub mod tale;
pub mod terminal;
pub mod wait;

mod connection;

pub use self::{
    connection::{Connection, RpcResult},
    fake_a1111::FakeA1111,
    fake_ollama::FakeOllama,
    fake_provider::{FakeComfyui, FakeProvider},
    fake_sdcpp::FakeSdcpp,
    lines::Lines,
    process::Ran,
    random::Random,
    real_peer::RealPeer,
    sandbox::Sandbox,
    small_disk::SmallDisk,
    table::every,
    wait::{DEADLINE, eventually, pause},
};
