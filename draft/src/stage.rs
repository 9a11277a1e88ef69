//! The state that all elements of a picture share: the canvas, the brief, the colours and the position of the ground.

use super::brief::{Brief, Camera, Hour};
use super::canvas::{Canvas, Spot};
use super::dice::{Dice, RequestDigest};
use super::keywords::Word;
use super::palette::Palette;
use super::style::Style;

/// A picture while it is being composed.
pub struct Stage {
    pub canvas: Canvas,
    pub brief: Brief,
    pub style: Style,
    pub palette: Palette,
    digest: RequestDigest,
    /// The unit of length, in pixels: the picture's height, unless the picture is much taller or wider than a screen.
    pub unit: f32,
    /// The height at which the sky ends, in pixels from the top.
    pub horizon: f32,
    /// The height at which figures stand, in pixels from the top.
    pub floor: f32,
    /// The position of the sun or the moon.
    pub light: Spot,
    /// The horizontal position of the picture's subject. It is on the side opposite to the light.
    pub focus: f32,
}

impl Stage {
    pub fn new(canvas: Canvas, brief: Brief, style: Style, digest: RequestDigest) -> Self {
        let mut dice = digest.dice("stage");
        let (width, height) = (canvas.width, canvas.height);
        let unit = height.min(width * 1.15).max(width.min(height * 3.0) * 0.34);
        let horizon = height
            * match (brief.camera, brief.place) {
                (Camera::Aerial, _) => dice.range(0.26, 0.34),
                (_, Word::Street | Word::Station) => dice.range(0.5, 0.58),
                (Camera::Wide, _) => dice.range(0.62, 0.7),
                (Camera::CloseUp, _) => dice.range(0.58, 0.68),
                (Camera::Normal, _) => dice.range(0.55, 0.66),
            };
        let light_side = dice.side();
        let light_x = width * (0.5 + light_side * dice.range(0.12, 0.32));
        let light_y = match brief.hour {
            Hour::Day => horizon * dice.range(0.16, 0.34),
            Hour::Night => horizon * dice.range(0.2, 0.42),
            Hour::Dawn | Hour::Dusk => horizon - unit * dice.range(0.05, 0.16),
        };
        let focus = width * (0.5 - light_side * dice.range(0.1, 0.26));
        let palette = Palette::new(&brief, style, &mut digest.dice("palette"));
        // The bars of the cinematic style cover the lowest part of the picture.
        let lift = if style == Style::Cinematic { 0.05 } else { 0.0 };
        let floor = height * (dice.range(0.9, 0.95) - lift);
        Self { canvas, brief, style, palette, digest, unit, horizon, floor, light: (light_x, light_y), focus }
    }

    pub fn dice(&self, purpose: &str) -> Dice {
        self.digest.dice(purpose)
    }

    /// Returns −1 if light comes from the left of a position, and 1 if it comes from its right.
    pub fn light_side(&self, x: f32) -> f32 {
        if self.light.0 < x { -1.0 } else { 1.0 }
    }

    /// Returns the height between the horizon and the bottom edge.
    pub fn ground_height(&self) -> f32 {
        self.canvas.height - self.horizon
    }
}
