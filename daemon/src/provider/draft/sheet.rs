//! The sheet that a panel is put together on: RGB rows, the picture in its frame, text over it.

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

/// Where a picture goes on its sheet.
#[derive(Debug, Clone, Copy)]
pub struct Mount {
    pub width: u32,
    pub height: u32,
    pub picture: Region,
    /// Pixels of the sheet for each of the canvas, across and down.
    pub block: u32,
}

impl Mount {
    /// Width and height of the canvas.
    pub fn canvas(&self) -> (u32, u32) {
        (self.picture.width.div_ceil(self.block), self.picture.height.div_ceil(self.block))
    }

    /// Bytes of a row of the sheet.
    pub fn row_bytes(&self) -> usize {
        self.width as usize * 3
    }

    /// Bytes to keep free before the pixels of a canvas, so that it becomes the sheet in its own memory, row by row:
    /// no row of the sheet may reach a row of the canvas that is still looked at, up to `behind` rows above it.
    pub fn room(&self, behind: u32) -> usize {
        let (width, height) = self.canvas();
        let (first, last) = (self.picture.top as usize, (self.picture.top + self.picture.height) as usize);
        let canvas_row = width as usize * 4;
        let canvas = canvas_row * height as usize;
        let whole = (self.height as usize * self.row_bytes()).saturating_sub(canvas);
        if self.block > 1 {
            return whole.max(last * self.row_bytes());
        }
        // The distance between both changes evenly: it is smallest at the first row or at the last.
        let behind = behind as usize * canvas_row;
        let at_first = (first + 1) * self.row_bytes() + behind;
        let at_last = (last * self.row_bytes() + behind + canvas_row).saturating_sub(canvas);
        whole.max(at_first).max(at_last)
    }
}

/// Rows of three bytes a pixel, top down.
pub struct Sheet {
    pub width: u32,
    pub height: u32,
    /// Begins with the rows; what follows is left of the canvas.
    pub buffer: Vec<u8>,
}

impl Sheet {
    /// The rows, each of [`Mount::row_bytes`].
    pub fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        let row_bytes = self.width as usize * 3;
        let rows = self.buffer.get(..row_bytes * self.height as usize);
        rows.unwrap_or_default().chunks_exact(row_bytes.max(1))
    }

    /// The parts of the rows that lie inside the region.
    pub fn rows_mut(&mut self, region: Region) -> impl Iterator<Item = &mut [u8]> {
        let (from, upto) = (region.left as usize * 3, (region.left + region.width) as usize * 3);
        self.buffer
            .chunks_exact_mut(self.width as usize * 3)
            .skip(region.top as usize)
            .take(region.height as usize)
            .filter_map(move |row| row.get_mut(from..upto))
    }

    /// Mixes a tone over a region; `opacity` from 0 to 1.
    pub fn tint(&mut self, region: Region, tone: Tone, opacity: f32) {
        let paint = tone.bytes();
        let amount = (opacity.clamp(0.0, 1.0) * 256.0) as i32;
        for row in self.rows_mut(region) {
            for pixel in row.chunks_exact_mut(3) {
                mix(pixel, paint, amount);
            }
        }
    }

    /// A tinted region with round corners.
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

    /// Letters in one colour, their block's left top corner at a place on the sheet.
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

#[cfg(test)]
mod tests {
    use super::{Mount, Region};

    #[test]
    fn a_sheet_never_overtakes_its_canvas() {
        for (width, height) in [(64, 64), (64, 2048), (2048, 64), (300, 400), (1024, 1024), (97, 131)] {
            for (border, band, block, behind) in
                [(1, 0, 1, 0), (9, 20, 1, 7), (1, 30, 1, 2), (1, 40, 1, 0), (1, 9, 2, 0), (4, 20, 7, 0)]
            {
                let size = (width - 2 * border, (height - 2 * border - band).max(8));
                let picture = Region { left: border, top: border, width: size.0, height: size.1 };
                let mount = Mount { width, height, picture, block };
                let (columns, rows) = mount.canvas();
                let (room, row) = (mount.room(behind), columns as usize * 4);
                for y in 0..picture.height {
                    let seen = room + (y / block).saturating_sub(behind) as usize * row;
                    assert!((picture.top + y + 1) as usize * mount.row_bytes() <= seen, "{mount:?} row {y}");
                }
                assert!(room + rows as usize * row >= height as usize * mount.row_bytes(), "{mount:?}");
            }
        }
    }
}
