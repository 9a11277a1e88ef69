//! The commands of `reel`, one file for each.

pub mod animate;
pub mod ask;
pub mod batch;
pub mod cache;
pub mod change;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod fetch;
pub mod follow;
pub mod generate;
pub mod ls;
pub mod make;
pub mod memory;
pub mod providers;
pub mod queue;
pub mod show;
pub mod speak;
pub mod status;
pub mod styles;
pub mod submit;
pub mod translate;
pub mod wait;
