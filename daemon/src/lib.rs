//! The reel daemon: its rooms, wired together by the binary `reeld`.

pub mod cache;
pub mod chain;
pub mod config;
pub mod config_watch;
pub mod control;
pub mod disk;
pub mod events;
pub mod exit;
pub mod home_watch;
pub mod idle;
pub mod ipc;
pub mod logging;
pub mod memory;
pub mod nearest;
pub mod notices;
pub mod provider;
pub mod reload;
pub mod secret;
pub mod service;
pub mod shutdown;
pub mod signals;
pub mod store;
pub mod systemd;
pub mod tasks;
pub mod wiring;
