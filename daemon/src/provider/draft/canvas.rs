//! The picture under the brush: shapes, light and mirrors on one opaque pixmap.

use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Mask, Paint, Path, PathBuilder, Pixmap, Point, Rect,
    Shader, SpreadMode, Stroke, Transform,
};

use super::tone::Tone;

/// A place in the picture, in pixels from its top left corner.
pub type Spot = (f32, f32);

/// An opaque pixmap with what an illustrator does to it.
pub struct Canvas {
    pixmap: Pixmap,
    /// Empty between two fills.
    mask: Mask,
    pub width: f32,
    pub height: f32,
}

impl Canvas {
    /// None when the size is zero or cannot be allocated.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let (pixmap, mask) = (Pixmap::new(width, height)?, Mask::new(width, height)?);
        Some(Self { pixmap, mask, width: width as f32, height: height as f32 })
    }

    /// Rows of four bytes a pixel, top down.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.pixmap.data().chunks_exact(self.pixmap.width() as usize * 4)
    }

    pub fn rows_mut(&mut self) -> std::slice::ChunksExactMut<'_, u8> {
        let row_bytes = self.pixmap.width() as usize * 4;
        self.pixmap.data_mut().chunks_exact_mut(row_bytes)
    }

    fn fill_with(&mut self, path: Option<&Path>, shader: Shader<'_>) {
        if let Some(path) = path {
            let paint = Paint { shader, anti_alias: true, ..Paint::default() };
            self.pixmap.fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Fills a path; what is not a path (nothing to draw) is skipped.
    pub fn fill(&mut self, path: Option<&Path>, tone: Tone, opacity: f32) {
        self.fill_with(path, Shader::SolidColor(tone.paint(opacity)));
    }

    /// Fills a path with a blend from one place and paint to another.
    pub fn blend(&mut self, path: Option<&Path>, from: (Spot, Color), to: (Spot, Color)) {
        let stops = vec![GradientStop::new(0.0, from.1), GradientStop::new(1.0, to.1)];
        let (start, end) = (Point::from_xy(from.0.0, from.0.1), Point::from_xy(to.0.0, to.0.1));
        let shader = LinearGradient::new(start, end, stops, SpreadMode::Pad, Transform::identity());
        self.fill_with(path, shader.unwrap_or(Shader::SolidColor(from.1)));
    }

    /// Fills a path with a vertical blend between two heights.
    ///
    /// Most of a picture is painted by this, so it does not go through the gradient shader, which computes for each
    /// pixel what is the same for a whole row.
    pub fn fade(&mut self, path: Option<&Path>, top: (f32, Tone), bottom: (f32, Tone)) {
        self.wash(path, (top.0, top.1, 1.0), (bottom.0, bottom.1, 1.0));
    }

    /// Fills a path with a vertical blend of tones and opacities between two heights.
    pub fn wash(&mut self, path: Option<&Path>, top: (f32, Tone, f32), bottom: (f32, Tone, f32)) {
        let Some(path) = path else { return };
        let bounds = path.bounds();
        let from = (bounds.left().max(0.0) as usize).min(self.width as usize);
        let upto = (bounds.right() + 1.0).clamp(0.0, self.width) as usize;
        let first = bounds.top().max(0.0) as usize;
        let last = (bounds.bottom() + 1.0).clamp(0.0, self.height) as usize;
        if from >= upto || first >= last {
            return;
        }
        self.mask.fill_path(path, FillRule::Winding, true, Transform::identity());
        let width = self.pixmap.width() as usize;
        let covers = self.mask.data_mut().chunks_exact_mut(width);
        let rows = self.pixmap.data_mut().chunks_exact_mut(width * 4);
        for (y, (row, cover)) in rows.zip(covers).enumerate().take(last).skip(first) {
            let along = ((y as f32 + 0.5 - top.0) / (bottom.0 - top.0).max(0.001)).clamp(0.0, 1.0);
            let paint = top.1.mix(bottom.1, along).bytes();
            let opacity = ((top.2 + (bottom.2 - top.2) * along).clamp(0.0, 1.0) * 256.0) as i32;
            let (Some(row), Some(cover)) = (row.get_mut(from * 4..upto * 4), cover.get_mut(from..upto))
            else {
                continue;
            };
            cover_row(row, cover, paint, opacity);
            cover.fill(0);
        }
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
        if let Some(path) = path {
            let paint = Paint {
                shader: Shader::SolidColor(tone.paint(opacity)),
                anti_alias: true,
                ..Paint::default()
            };
            let stroke =
                Stroke { width: width.max(0.4), line_cap: tiny_skia::LineCap::Round, ..Stroke::default() };
            self.pixmap.stroke_path(path, &paint, &stroke, Transform::identity(), None);
        }
    }

    /// Light that falls off around a spot; it brightens and never paints over.
    pub fn glow(&mut self, centre: Spot, radius: f32, tone: Tone, strength: f32) {
        self.glow_oval(centre, (radius, radius), tone, strength);
    }

    /// Light with its own width and height.
    pub fn glow_oval(&mut self, centre: Spot, radii: Spot, tone: Tone, strength: f32) {
        let (wide, high) = (radii.0.max(1.0), radii.1.max(1.0));
        let from = (centre.0 - wide).max(0.0) as usize;
        let upto = (centre.0 + wide).clamp(0.0, self.width) as usize;
        let above = (centre.1 - high).max(0.0) as usize;
        let below = (centre.1 + high).clamp(0.0, self.height) as usize;
        let [red, green, blue] = tone.bytes().map(|light| (f32::from(light) * strength) as i32);
        if from >= upto || above >= below {
            return;
        }
        let squares: Vec<f32> = (from..upto).map(|x| ((x as f32 - centre.0) / wide).powi(2)).collect();
        for (y, row) in self.rows_mut().enumerate().take(below).skip(above) {
            let down = (y as f32 - centre.1) / high;
            let reach = 1.0 - down * down;
            let Some(span) = row.get_mut(from * 4..upto * 4) else { continue };
            // Outside of this part of the row there is no light: a circle leaves a fifth of its square dark.
            let dark = squares.iter().take_while(|square| **square >= reach).count();
            for (square, pixel) in squares.iter().zip(span.chunks_exact_mut(4)).skip(dark) {
                let left = reach - square;
                if left <= 0.0 {
                    break;
                }
                let fall = (left * left * left * 256.0) as i32;
                let brighten = |value: u8, light: i32| {
                    value + (((255 - i32::from(value)) * light * fall + (1 << 15)) >> 16) as u8
                };
                if let [r, g, b, _] = pixel {
                    (*r, *g, *b) = (brighten(*r, red), brighten(*g, green), brighten(*b, blue));
                }
            }
        }
    }

    /// Rows of one colour each, from `top` down, as the function gives them by row number.
    pub fn rows_of(&mut self, top: f32, bottom: f32, mut tone_at: impl FnMut(f32) -> [u8; 3]) {
        let (top, bottom) = (top.max(0.0) as usize, bottom.clamp(0.0, self.height) as usize);
        for (y, row) in self.rows_mut().enumerate().take(bottom).skip(top) {
            let [red, green, blue] = tone_at(y as f32);
            for pixel in row.chunks_exact_mut(4) {
                pixel.copy_from_slice(&[red, green, blue, 255]);
            }
        }
    }

    /// Mixes a tone into every row from `top` down to `bottom`, as much as the function says.
    pub fn veil(&mut self, top: f32, bottom: f32, tone: Tone, amount_at: impl Fn(f32) -> f32) {
        let (top, bottom) = (top.max(0.0) as usize, bottom.clamp(0.0, self.height) as usize);
        let [red, green, blue] = tone.bytes();
        for (y, row) in self.rows_mut().enumerate().take(bottom).skip(top) {
            let amount = (amount_at(y as f32).clamp(0.0, 1.0) * 256.0) as i32;
            if amount == 0 {
                continue;
            }
            let veiled = |value: u8, light: u8| {
                let value = i32::from(value);
                (value + (((i32::from(light) - value) * amount) >> 8)) as u8
            };
            for pixel in row.chunks_exact_mut(4) {
                if let [r, g, b, _] = pixel {
                    (*r, *g, *b) = (veiled(*r, red), veiled(*g, green), veiled(*b, blue));
                }
            }
        }
    }

    /// Mirrors what stands above `shore` into the rows below it. Each row of water asks, by its depth below the
    /// shore: how far to look up, how far aside, and which tone to mix in how much.
    pub fn mirror(&mut self, shore: f32, mut ask: impl FnMut(f32) -> Mirrored) {
        let row_bytes = self.pixmap.width() as usize * 4;
        let shore = (shore.max(1.0) as usize).min(self.pixmap.height() as usize);
        let (above, below) = self.pixmap.data_mut().split_at_mut(shore * row_bytes);
        for (depth, row) in below.chunks_exact_mut(row_bytes).enumerate() {
            let mirrored = ask(depth as f32);
            let source_row = shore.saturating_sub(1).saturating_sub(mirrored.up.max(0.0) as usize);
            let Some(source) = above.get(source_row * row_bytes..(source_row + 1) * row_bytes) else {
                continue;
            };
            let shift = (mirrored.aside.abs() as usize).min(row_bytes / 4 - 1) * 4;
            let (kept, edge) = if mirrored.aside >= 0.0 {
                (source.get(shift..), source.last_chunk::<4>())
            } else {
                (source.get(..row_bytes - shift), source.first_chunk::<4>())
            };
            let (Some(kept), Some(edge)) = (kept, edge) else { continue };
            let padding = edge.iter().cycle().take(shift);
            let [red, green, blue] = mirrored.tone.bytes();
            let amount = (mirrored.amount.clamp(0.0, 1.0) * 256.0) as i32;
            let shown = |value: u8, light: u8| {
                let value = i32::from(value);
                (value + (((i32::from(light) - value) * amount) >> 8)) as u8
            };
            let paint = |target: &mut [u8], from: &[u8]| {
                for (pixel, seen) in target.chunks_exact_mut(4).zip(from.chunks_exact(4)) {
                    if let ([r, g, b, alpha], [seen_r, seen_g, seen_b, _]) = (pixel, seen) {
                        (*r, *g, *b, *alpha) =
                            (shown(*seen_r, red), shown(*seen_g, green), shown(*seen_b, blue), 255);
                    }
                }
            };
            let padding: Vec<u8> = padding.copied().collect();
            let (left, right) =
                if mirrored.aside >= 0.0 { (kept, padding.as_slice()) } else { (padding.as_slice(), kept) };
            let (start, end) = row.split_at_mut(left.len());
            paint(start, left);
            paint(end, right);
        }
    }
}

/// Paints one colour over a row as far as each pixel is covered; `opacity` in 256ths.
fn cover_row(row: &mut [u8], cover: &[u8], [red, green, blue]: [u8; 3], opacity: i32) {
    for (pixel, cover) in row.chunks_exact_mut(4).zip(cover) {
        if *cover == 255 && opacity == 256 {
            pixel.copy_from_slice(&[red, green, blue, 255]);
        } else if *cover > 0
            && let [r, g, b, _] = pixel
        {
            let amount = i32::from(*cover) * opacity;
            let mixed = |value: u8, light: u8| {
                let value = i32::from(value);
                (value + (i32::from(light) - value) * amount / (255 * 256)) as u8
            };
            (*r, *g, *b) = (mixed(*r, red), mixed(*g, green), mixed(*b, blue));
        }
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
