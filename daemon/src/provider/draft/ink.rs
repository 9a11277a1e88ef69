//! What runs of pixels are painted with. All mixing is done in whole numbers of 16 bits, many channels at a time.
#![expect(
    clippy::inline_always,
    reason = "what is dispatched by the processor must be inlined to be compiled for it"
)]

use tiny_skia::Color;

use super::canvas::Spot;
use super::tone::Tone;

/// Red, green, blue and 255.
pub type Pixel = [u8; 4];

/// A paint that covers runs of a row.
pub trait Ink {
    /// Another row begins.
    fn enter(&mut self, row: usize);
    /// Paints the pixels, the first of which stands in `column`, as far as `cover` (in 256ths) allows.
    fn lay(&self, pixels: &mut [Pixel], column: usize, cover: u16);
}

/// Mixes `amount` (in 256ths) of a paint into each pixel.
#[inline(always)]
pub fn mix(pixels: &mut [Pixel], [red, green, blue]: [u8; 3], amount: u16) {
    if amount >= 256 {
        pixels.fill([red, green, blue, 255]);
        return;
    }
    let keep = 256 - amount;
    let added = [red, green, blue, 255].map(|light| u16::from(light) * amount + 128);
    let mixed = |value: u8, added: u16| ((u16::from(value) * keep + added) >> 8) as u8;
    let (blocks, rest) = pixels.as_chunks_mut::<4>();
    if !blocks.is_empty() {
        let mut repeated = [0; 16];
        for (one, added) in repeated.iter_mut().zip(added.iter().cycle()) {
            *one = *added;
        }
        for block in blocks {
            for (value, added) in block.as_flattened_mut().iter_mut().zip(repeated) {
                *value = mixed(*value, added);
            }
        }
    }
    for pixel in rest {
        for (value, added) in pixel.iter_mut().zip(added) {
            *value = mixed(*value, added);
        }
    }
}

/// Sets each pixel to what is seen, with `amount` (in 256ths) of a paint in it.
#[inline(always)]
pub fn mix_onto(pixels: &mut [Pixel], seen: &[Pixel], paint: [u8; 3], amount: u16) {
    for (pixel, seen) in pixels.iter_mut().zip(seen) {
        *pixel = *seen;
    }
    let painted = pixels.len().min(seen.len());
    mix(pixels.get_mut(..painted).unwrap_or_default(), paint, amount);
}

/// One colour.
pub struct Flat {
    pub paint: [u8; 3],
    /// In 256ths.
    pub opacity: u16,
}

impl Ink for Flat {
    fn enter(&mut self, _row: usize) {}

    #[inline(always)]
    fn lay(&self, pixels: &mut [Pixel], _column: usize, cover: u16) {
        mix(pixels, self.paint, ((u32::from(cover) * u32::from(self.opacity)) >> 8) as u16);
    }
}

/// A vertical blend of tones and opacities between two heights: one colour for each row.
pub struct Wash {
    pub top: (f32, Tone, f32),
    pub bottom: (f32, Tone, f32),
    pub row: Flat,
}

impl Ink for Wash {
    fn enter(&mut self, row: usize) {
        let (top, bottom) = (self.top, self.bottom);
        let along = ((row as f32 + 0.5 - top.0) / (bottom.0 - top.0).max(0.001)).clamp(0.0, 1.0);
        self.row.paint = top.1.mix(bottom.1, along).bytes();
        self.row.opacity = ((top.2 + (bottom.2 - top.2) * along).clamp(0.0, 1.0) * 256.0) as u16;
    }

    #[inline(always)]
    fn lay(&self, pixels: &mut [Pixel], column: usize, cover: u16) {
        self.row.lay(pixels, column, cover);
    }
}

/// Steps of a slanted blend.
const STEPS: usize = 256;

/// A blend along any line, from a table.
pub struct Slant {
    table: Vec<Flat>,
    from: Spot,
    /// Steps for each pixel to the right and down.
    pace: Spot,
    row_start: f32,
}

impl Slant {
    pub fn new(from: (Spot, Color), to: (Spot, Color)) -> Self {
        let (across, down) = (to.0.0 - from.0.0, to.0.1 - from.0.1);
        let square = (across * across + down * down).max(0.001);
        let channels = |color: Color| [color.red(), color.green(), color.blue(), color.alpha()];
        let (start, end) = (channels(from.1), channels(to.1));
        let table = (0..STEPS).map(|step| {
            let along = step as f32 / (STEPS - 1) as f32;
            let mut mixed = start;
            for (mine, theirs) in mixed.iter_mut().zip(end) {
                *mine += (theirs - *mine) * along;
            }
            let [red, green, blue, alpha] = mixed;
            Flat { paint: Tone { red, green, blue }.bytes(), opacity: (alpha * 256.0 + 0.5) as u16 }
        });
        let scale = (STEPS - 1) as f32 / square;
        Self { table: table.collect(), from: from.0, pace: (across * scale, down * scale), row_start: 0.0 }
    }
}

impl Ink for Slant {
    fn enter(&mut self, row: usize) {
        self.row_start = (0.5 - self.from.0) * self.pace.0 + (row as f32 + 0.5 - self.from.1) * self.pace.1;
    }

    #[inline(always)]
    fn lay(&self, pixels: &mut [Pixel], column: usize, cover: u16) {
        for (x, pixel) in (column..).zip(pixels) {
            let step = (self.row_start + x as f32 * self.pace.0 + 0.5).clamp(0.0, (STEPS - 1) as f32);
            if let Some(flat) = self.table.get(step as usize) {
                flat.lay(std::slice::from_mut(pixel), x, cover);
            }
        }
    }
}
