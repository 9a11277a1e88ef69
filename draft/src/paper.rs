//! The paper of a watercolour, which stays bare where the painting ends before the picture's sides.

use std::ops::Range;

use super::dice::{Contour, Dice};
use super::sheet::Region;
use super::tone::{Tone, hex};

/// The colour of the paper.
const PAPER: Tone = hex(0xF7_F1_E4);

/// The bare paper around a painting. The painting has a darker line where pigment collects.
pub struct Edges {
    margin: f32,
    width: f32,
    height: f32,
    left: Vec<f32>,
    right: Vec<f32>,
    above: Vec<f32>,
    below: Vec<f32>,
}

impl Edges {
    pub fn new(dice: &mut Dice, region: Region) -> Self {
        let contour = Contour::new(dice);
        let margin = region.width.min(region.height) as f32 * 0.035;
        let pitch = margin * 1.6 + 1.0;
        let along = |length: u32, shift: f32| -> Vec<f32> {
            (0..length).map(|at| margin * (0.35 + contour.rough(at as f32 / pitch + shift))).collect()
        };
        Self {
            margin,
            width: region.width as f32,
            height: region.height as f32,
            left: along(region.height, 0.0),
            right: along(region.height, 31.0),
            above: along(region.width, 17.0),
            below: along(region.width, 43.0),
        }
    }

    /// Shows the bare paper in one row of the picture.
    pub fn bare(&self, y: u32, row: &mut [u8]) {
        let at = |side: &[f32]| side.get(y as usize).copied().unwrap_or_default();
        let sides = (at(&self.left), at(&self.right));
        let y = y as f32;
        let reach = self.margin * 1.6;
        let columns = row.len() / 3;
        let strip = reach.ceil() as usize + 1;
        if y > reach && y < self.height - reach && strip * 2 < columns {
            self.bare_columns(y, 0..strip, sides, row);
            self.bare_columns(y, columns - strip..columns, sides, row);
        } else {
            self.bare_columns(y, 0..columns, sides, row);
        }
    }

    fn bare_columns(&self, y: f32, columns: Range<usize>, (left, right): (f32, f32), row: &mut [u8]) {
        let paper = PAPER.bytes();
        let (wetting, pooling) = (self.margin * 0.14 + 0.6, self.margin * 0.4);
        let (pixels, _) = row.as_chunks_mut::<3>();
        let (Some(pixels), Some(above), Some(below)) = (
            pixels.get_mut(columns.clone()),
            self.above.get(columns.clone()),
            self.below.get(columns.clone()),
        ) else {
            return;
        };
        for ((x, pixel), (above, below)) in columns.zip(pixels).zip(above.iter().zip(below)) {
            let x = x as f32;
            let inside = (x - left).min(self.width - x - right).min(y - above).min(self.height - y - below);
            if inside <= 0.0 {
                *pixel = paper;
            } else if inside < wetting.max(pooling) {
                let wet = (inside / wetting).min(1.0);
                let pooled = 1.0 - 0.2 * (1.0 - (inside / pooling - 0.5).abs() * 2.0).max(0.0);
                for (channel, white) in pixel.iter_mut().zip(paper) {
                    let paint = f32::from(*channel) * pooled;
                    *channel = (f32::from(white) + (paint - f32::from(white)) * wet) as u8;
                }
            }
        }
    }
}
