//! The elements of a picture, from the sky to the rain. Each draws itself on the stage.

pub mod city;
pub mod coast;
pub mod figures;
pub mod guests;
pub mod interior;
pub mod land;
pub mod landmarks;
pub mod plants;
pub mod portrait;
pub mod sky;
pub mod space;
pub mod street;
pub mod water;
pub mod weather;
