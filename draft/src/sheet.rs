//! The sheet on which a panel is assembled: RGB rows with the picture in its frame, and text over it.

use super::caption::Lettering;
use super::tone::Tone;

/// A rectangle of whole pixels on the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// The placement of a picture on its sheet.
#[derive(Debug, Clone, Copy)]
pub struct Mount {
    pub width: u32,
    pub height: u32,
    pub picture: Region,
    /// Pixels of the sheet per pixel of the canvas, in each direction.
    pub block: u32,
    /// Whether a style may draw bars above and below the picture. A picture without a border is made for camera moves, and bars would move with the
    /// picture.
    pub has_bars: bool,
}

impl Mount {
    /// Returns the width and height of the canvas.
    pub fn canvas(&self) -> (u32, u32) {
        (self.picture.width.div_ceil(self.block), self.picture.height.div_ceil(self.block))
    }
}

/// The pixels of a panel: three bytes per pixel, rows from the top.
pub struct Sheet {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

impl Sheet {
    /// Creates a sheet of one colour. `None` if its pixels cannot be allocated.
    pub fn new(width: u32, height: u32, ground: [u8; 3]) -> Option<Self> {
        let bytes = (width as usize).checked_mul(height as usize)?.checked_mul(3)?;
        let mut pixels = Vec::new();
        pixels.try_reserve_exact(bytes).ok()?;
        pixels.resize(bytes, 0);
        pixels.as_chunks_mut().0.fill(ground);
        Some(Self { width, height, pixels })
    }

    /// Returns the parts of the rows that are inside the region.
    pub fn rows_mut(&mut self, region: Region) -> impl Iterator<Item = &mut [u8]> {
        let (from, upto) = (region.left as usize * 3, (region.left + region.width) as usize * 3);
        self.pixels
            .chunks_exact_mut(self.width as usize * 3)
            .skip(region.top as usize)
            .take(region.height as usize)
            .filter_map(move |row| row.get_mut(from..upto))
    }

    /// Mixes a tone over a region. `opacity` is from 0 to 1.
    pub fn tint(&mut self, region: Region, tone: Tone, opacity: f32) {
        let paint = tone.bytes();
        let amount = (opacity.clamp(0.0, 1.0) * 256.0) as i32;
        for row in self.rows_mut(region) {
            for pixel in row.chunks_exact_mut(3) {
                mix(pixel, paint, amount);
            }
        }
    }

    /// Mixes a tone over a region with round corners.
    pub fn pill(&mut self, region: Region, tone: Tone, opacity: f32) {
        let paint = tone.bytes();
        let radius = region.height as f32 * 0.3;
        let (width, height) = (region.width as f32, region.height as f32);
        for (y, row) in (0..).zip(self.rows_mut(region)) {
            for (x, pixel) in (0..).zip(row.chunks_exact_mut(3)) {
                let outside = |at: f32, length: f32| (radius - at).max(at - (length - radius)).max(0.0);
                let away = outside(x as f32 + 0.5, width).hypot(outside(y as f32 + 0.5, height));
                let cover = (radius + 0.5 - away).clamp(0.0, 1.0);
                mix(pixel, paint, (cover * opacity * 256.0) as i32);
            }
        }
    }

    /// Draws text in one colour, with the top left corner of its block at this position.
    pub fn letter(&mut self, lettering: &Lettering, left: u32, top: u32, ink: Tone) {
        let width = lettering.width.min(self.width.saturating_sub(left));
        let height = lettering.height.min(self.height.saturating_sub(top));
        let paint = ink.bytes();
        let region = Region { left, top, width, height };
        let covers = lettering.coverage.chunks_exact((lettering.width as usize).max(1));
        for (row, cover) in self.rows_mut(region).zip(covers) {
            for (pixel, cover) in row.chunks_exact_mut(3).zip(cover) {
                mix(pixel, paint, i32::from(*cover) + i32::from(*cover >> 7));
            }
        }
    }
}

fn mix(pixel: &mut [u8], paint: [u8; 3], amount: i32) {
    for (channel, light) in pixel.iter_mut().zip(paint) {
        let value = i32::from(*channel);
        *channel = (value + (((i32::from(light) - value) * amount) >> 8)) as u8;
    }
}
