//! The picture under the brush: shapes, light and mirrors on one opaque pixmap.
#![expect(
    clippy::inline_always,
    reason = "what is dispatched by the processor must be inlined to be compiled for it"
)]

use fearless_simd::{Level, dispatch};
use tiny_skia::{Color, Path, PathBuilder, Rect, Stroke};

use super::ink::{Flat, Ink, Pixel, Slant, Wash, mix, mix_onto};
use super::outline::Outline;
use super::tone::Tone;

/// A place in the picture, in pixels from its top left corner.
pub type Spot = (f32, f32);

/// Opaque pixels with what an illustrator does to them.
pub struct Canvas {
    /// The pixels stand at its end; what is before them is room for the sheet that they are developed into.
    buffer: Vec<u8>,
    room: usize,
    outline: Outline,
    columns: usize,
    pub width: f32,
    pub height: f32,
}

impl Canvas {
    /// With `room` bytes before its pixels, in the memory of `buffer`; none when the size is zero or cannot be allocated.
    ///
    /// Its pixels are whatever stood there before: the sky, which comes first, paints every row.
    pub fn new(width: u32, height: u32, room: usize, mut buffer: Vec<u8>) -> Option<Self> {
        let columns = width as usize;
        let bytes = columns.checked_mul(height as usize * 4).filter(|bytes| *bytes > 0)?;
        let size = bytes.checked_add(room)?;
        if buffer.capacity() < size {
            // Not grown: that would copy what nobody wants, and hold both for a moment.
            drop(std::mem::take(&mut buffer));
            buffer.try_reserve_exact(size).ok()?;
        }
        buffer.resize(size, 255);
        let outline = Outline::new(width, height);
        Some(Self { buffer, room, outline, columns, width: width as f32, height: height as f32 })
    }

    /// The bytes, and how many of them come before the pixels.
    pub fn into_buffer(self) -> (Vec<u8>, usize) {
        (self.buffer, self.room)
    }

    fn pixels_mut(&mut self) -> &mut [Pixel] {
        self.buffer.get_mut(self.room..).unwrap_or_default().as_chunks_mut().0
    }

    pub fn rows_mut(&mut self) -> std::slice::ChunksExactMut<'_, Pixel> {
        let columns = self.columns;
        self.pixels_mut().chunks_exact_mut(columns)
    }

    fn fill_with(&mut self, path: Option<&Path>, mut ink: impl Ink) {
        let Some(path) = path else { return };
        self.outline.read(path);
        let (pixels, _) = self.buffer.get_mut(self.room..).unwrap_or_default().as_chunks_mut();
        dispatch!(Level::new(), _ => fill_rows(pixels, self.columns, &self.outline, &mut ink));
    }

    /// Fills a path; what is not a path (nothing to draw) is skipped.
    pub fn fill(&mut self, path: Option<&Path>, tone: Tone, opacity: f32) {
        let opacity = (opacity.clamp(0.0, 1.0) * 256.0 + 0.5) as u16;
        self.fill_with(path, Flat { paint: tone.bytes(), opacity });
    }

    /// Fills a path with a blend from one place and paint to another.
    pub fn blend(&mut self, path: Option<&Path>, from: (Spot, Color), to: (Spot, Color)) {
        self.fill_with(path, Slant::new(from, to));
    }

    /// Fills a path with a vertical blend between two heights.
    pub fn fade(&mut self, path: Option<&Path>, top: (f32, Tone), bottom: (f32, Tone)) {
        self.wash(path, (top.0, top.1, 1.0), (bottom.0, bottom.1, 1.0));
    }

    /// Fills a path with a vertical blend of tones and opacities between two heights.
    pub fn wash(&mut self, path: Option<&Path>, top: (f32, Tone, f32), bottom: (f32, Tone, f32)) {
        self.fill_with(path, Wash { top, bottom, row: Flat { paint: [0; 3], opacity: 0 } });
    }

    pub fn polygon(&mut self, spots: &[Spot], tone: Tone, opacity: f32) {
        self.fill(polygon(spots).as_ref(), tone, opacity);
    }

    pub fn circle(&mut self, centre: Spot, radius: f32, tone: Tone, opacity: f32) {
        self.fill(PathBuilder::from_circle(centre.0, centre.1, radius.max(0.3)).as_ref(), tone, opacity);
    }

    pub fn oval(&mut self, centre: Spot, radii: Spot, tone: Tone, opacity: f32) {
        let (wide, high) = (radii.0.max(0.2), radii.1.max(0.2));
        let bounds = Rect::from_xywh(centre.0 - wide, centre.1 - high, wide * 2.0, high * 2.0);
        self.fill(bounds.and_then(PathBuilder::from_oval).as_ref(), tone, opacity);
    }

    /// A rectangle from its left top corner.
    pub fn rect(&mut self, corner: Spot, size: Spot, tone: Tone, opacity: f32) {
        let bounds = Rect::from_xywh(corner.0, corner.1, size.0.max(0.1), size.1.max(0.1));
        self.fill(bounds.map(PathBuilder::from_rect).as_ref(), tone, opacity);
    }

    /// A line through the spots.
    pub fn line(&mut self, spots: &[Spot], width: f32, tone: Tone, opacity: f32) {
        let mut builder = PathBuilder::new();
        trace(&mut builder, spots);
        self.stroke(builder.finish().as_ref(), width, tone, opacity);
    }

    pub fn stroke(&mut self, path: Option<&Path>, width: f32, tone: Tone, opacity: f32) {
        let stroke =
            Stroke { width: width.max(0.4), line_cap: tiny_skia::LineCap::Round, ..Stroke::default() };
        self.fill(path.and_then(|path| path.stroke(&stroke, 1.0)).as_ref(), tone, opacity);
    }

    /// Light that falls off around a spot; it brightens and never paints over.
    pub fn glow(&mut self, centre: Spot, radius: f32, tone: Tone, strength: f32) {
        self.glow_oval(centre, (radius, radius), tone, strength);
    }

    /// Light with its own width and height.
    ///
    /// It falls off as the product of one curve across and one down, so that a row needs one factor only.
    pub fn glow_oval(&mut self, centre: Spot, radii: Spot, tone: Tone, strength: f32) {
        let (wide, high) = (radii.0.max(1.0), radii.1.max(1.0));
        let from = (centre.0 - wide).max(0.0) as usize;
        let upto = (centre.0 + wide).clamp(0.0, self.width) as usize;
        let above = (centre.1 - high).max(0.0) as usize;
        let below = (centre.1 + high).clamp(0.0, self.height) as usize;
        if from >= upto || above >= below {
            return;
        }
        let lights = tone.bytes().map(|light| f32::from(light) * strength * 256.0);
        let fall = |at: f32| (1.0 - at * at).max(0.0).powi(3);
        let across: Vec<[u16; 4]> = (from..upto)
            .map(|x| {
                let [red, green, blue] =
                    lights.map(|light| (light * fall((x as f32 - centre.0) / wide)) as u16);
                [red, green, blue, 0]
            })
            .collect();
        let middle = (centre.0 as usize).clamp(from, upto) - from;
        let (rising, falling) = across.split_at(middle);
        for (y, row) in self.rows_mut().enumerate().take(below).skip(above) {
            let down = (fall((y as f32 - centre.1) / high) * 65_535.0) as u16;
            // Light that would round to nothing even on black is left out.
            let is_lost = |light: &[u16; 4]| light.iter().all(|light| scaled(*light, down) < 128);
            let first = rising.partition_point(is_lost);
            let last = middle + falling.partition_point(|light| !is_lost(light));
            let (span, lights) = (row.get_mut(from + first..from + last), across.get(first..last));
            let (span, lights) = (span.unwrap_or_default(), lights.unwrap_or_default());
            dispatch!(Level::new(), _ => brighten(span, lights, down));
        }
    }

    /// Rows of one colour each, from `top` down, as the function gives them by row number.
    pub fn rows_of(&mut self, top: f32, bottom: f32, mut tone_at: impl FnMut(f32) -> [u8; 3]) {
        let (top, bottom) = (top.max(0.0) as usize, bottom.clamp(0.0, self.height) as usize);
        for (y, row) in self.rows_mut().enumerate().take(bottom).skip(top) {
            let [red, green, blue] = tone_at(y as f32);
            row.fill([red, green, blue, 255]);
        }
    }

    /// Mixes a tone into every row from `top` down to `bottom`, as much as the function says.
    pub fn veil(&mut self, top: f32, bottom: f32, tone: Tone, amount_at: impl Fn(f32) -> f32) {
        let (top, bottom) = (top.max(0.0) as usize, bottom.clamp(0.0, self.height) as usize);
        for (y, row) in self.rows_mut().enumerate().take(bottom).skip(top) {
            let amount = (amount_at(y as f32).clamp(0.0, 1.0) * 256.0) as u16;
            if amount > 0 {
                mix(row, tone.bytes(), amount);
            }
        }
    }

    /// Mirrors what stands above `shore` into the rows below it. Each row of water asks, by its depth below the
    /// shore: how far to look up, how far aside, and which tone to mix in how much.
    pub fn mirror(&mut self, shore: f32, mut ask: impl FnMut(f32) -> Mirrored) {
        let columns = self.columns;
        let shore = (shore.max(1.0) as usize).min(self.height as usize);
        let (above, below) = self.pixels_mut().split_at_mut(shore * columns);
        for (depth, row) in below.chunks_exact_mut(columns).enumerate() {
            let mirrored = ask(depth as f32);
            let source_row = shore.saturating_sub(1).saturating_sub(mirrored.up.max(0.0) as usize);
            let Some(source) = above.get(source_row * columns..(source_row + 1) * columns) else { continue };
            let shift = (mirrored.aside.abs() as usize).min(columns - 1);
            let amount = (mirrored.amount.clamp(0.0, 1.0) * 256.0) as u16;
            // What would be seen beyond a side is the pixel at that side.
            let (edge, beyond) = if mirrored.aside >= 0.0 {
                let (kept, beyond) = row.split_at_mut(columns - shift);
                mix_onto(kept, source.get(shift..).unwrap_or_default(), mirrored.tone.bytes(), amount);
                (kept.last().copied(), beyond)
            } else {
                let (beyond, kept) = row.split_at_mut(shift);
                mix_onto(kept, source, mirrored.tone.bytes(), amount);
                (kept.first().copied(), beyond)
            };
            beyond.fill(edge.unwrap_or_default());
        }
    }
}

#[inline(always)]
fn fill_rows(pixels: &mut [Pixel], columns: usize, outline: &Outline, ink: &mut impl Ink) {
    for (y, runs) in outline.rows() {
        let Some(row) = pixels.get_mut(y * columns..(y + 1) * columns) else { continue };
        ink.enter(y);
        for (from, upto, cover) in runs {
            if let Some(run) = row.get_mut(from..upto) {
                ink.lay(run, from, cover);
            }
        }
    }
}

/// A number times 65,536ths.
#[inline(always)]
fn scaled(value: u16, share: u16) -> u16 {
    ((u32::from(value) * u32::from(share)) >> 16) as u16
}

/// Adds light to each pixel, as far as it is not white yet; `across` is in 256ths of a channel, `down` in 65,536ths.
#[inline(always)]
fn brighten(pixels: &mut [Pixel], across: &[[u16; 4]], down: u16) {
    for (value, light) in pixels.as_flattened_mut().iter_mut().zip(across.as_flattened()) {
        let missing = u16::from(255 - *value) << 8;
        *value += ((scaled(missing, scaled(*light, down)) + 128) >> 8) as u8;
    }
}

/// What a row of water shows.
pub struct Mirrored {
    pub up: f32,
    pub aside: f32,
    pub tone: Tone,
    pub amount: f32,
}

fn trace(builder: &mut PathBuilder, spots: &[Spot]) {
    for (number, (x, y)) in spots.iter().enumerate() {
        if number == 0 {
            builder.move_to(*x, *y);
        } else {
            builder.line_to(*x, *y);
        }
    }
}

/// A closed outline through the spots.
pub fn polygon(spots: &[Spot]) -> Option<Path> {
    let mut shapes = Shapes::default();
    shapes.polygon(spots);
    shapes.finish()
}

/// Many outlines that are filled at once.
#[derive(Default)]
pub struct Shapes(PathBuilder);

impl Shapes {
    pub fn polygon(&mut self, spots: &[Spot]) {
        trace(&mut self.0, spots);
        self.0.close();
    }

    pub fn rect(&mut self, corner: Spot, size: Spot) {
        if let Some(bounds) = Rect::from_xywh(corner.0, corner.1, size.0.max(0.1), size.1.max(0.1)) {
            self.0.push_rect(bounds);
        }
    }

    pub fn circle(&mut self, centre: Spot, radius: f32) {
        self.0.push_circle(centre.0, centre.1, radius.max(0.2));
    }

    pub fn finish(self) -> Option<Path> {
        self.0.finish()
    }
}
