//! The canvas on which a picture is painted: shapes, light and reflections on one opaque pixmap.

use tiny_skia::{
    Color, FillRule, GradientStop, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point, Rect, Shader,
    SpreadMode, Stroke, Transform,
};

use super::tone::Tone;

/// A position in the picture, in pixels from its top left corner.
pub type Spot = (f32, f32);

/// Red, green, blue and an alpha of 255.
pub type Pixel = [u8; 4];

/// Opaque pixels and the drawing operations on them.
pub struct Canvas {
    pixmap: Pixmap,
    pub width: f32,
    pub height: f32,
}

impl Canvas {
    /// Creates a black canvas. `None` if the size is zero or the pixels cannot be allocated.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let mut pixmap = Pixmap::new(width, height)?;
        pixmap.fill(Color::BLACK);
        Some(Self { pixmap, width: width as f32, height: height as f32 })
    }

    /// Returns the number of pixels in a row.
    pub fn columns(&self) -> usize {
        self.pixmap.width() as usize
    }

    /// Returns all pixels, row by row from the top.
    pub fn pixels(&self) -> &[Pixel] {
        self.pixmap.data().as_chunks().0
    }

    fn pixels_mut(&mut self) -> &mut [Pixel] {
        self.pixmap.data_mut().as_chunks_mut().0
    }

    pub fn rows_mut(&mut self) -> std::slice::ChunksExactMut<'_, Pixel> {
        let columns = self.columns();
        self.pixels_mut().chunks_exact_mut(columns)
    }

    fn fill_with(&mut self, path: Option<&Path>, shader: Shader<'_>) {
        let Some(path) = path else { return };
        let paint = Paint { shader, ..Paint::default() };
        self.pixmap.fill_path(path, &paint, FillRule::Winding, Transform::identity(), None);
    }

    /// Fills a path. `None` is an empty path and changes nothing.
    pub fn fill(&mut self, path: Option<&Path>, tone: Tone, opacity: f32) {
        self.fill_with(path, Shader::SolidColor(tone.paint(opacity)));
    }

    /// Fills a path with a linear gradient between two positions with their colours.
    pub fn blend(&mut self, path: Option<&Path>, from: (Spot, Color), to: (Spot, Color)) {
        let point = |(x, y): Spot| Point::from_xy(x, y);
        let stops = vec![GradientStop::new(0.0, from.1), GradientStop::new(1.0, to.1)];
        let gradient =
            LinearGradient::new(point(from.0), point(to.0), stops, SpreadMode::Pad, Transform::identity());
        self.fill_with(path, gradient.unwrap_or(Shader::SolidColor(to.1)));
    }

    /// Fills a path with an opaque vertical gradient between two heights.
    pub fn fade(&mut self, path: Option<&Path>, top: (f32, Tone), bottom: (f32, Tone)) {
        self.wash(path, (top.0, top.1, 1.0), (bottom.0, bottom.1, 1.0));
    }

    /// Fills a path with a vertical gradient of tone and opacity between two heights.
    pub fn wash(&mut self, path: Option<&Path>, top: (f32, Tone, f32), bottom: (f32, Tone, f32)) {
        self.blend(path, ((0.0, top.0), top.1.paint(top.2)), ((0.0, bottom.0), bottom.1.paint(bottom.2)));
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

    /// Fills a rectangle, given its top left corner.
    pub fn rect(&mut self, corner: Spot, size: Spot, tone: Tone, opacity: f32) {
        let bounds = Rect::from_xywh(corner.0, corner.1, size.0.max(0.1), size.1.max(0.1));
        self.fill(bounds.map(PathBuilder::from_rect).as_ref(), tone, opacity);
    }

    /// Draws a line through the spots.
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

    /// Adds light that decreases around a spot. It only brightens pixels.
    pub fn glow(&mut self, centre: Spot, radius: f32, tone: Tone, strength: f32) {
        self.glow_oval(centre, (radius, radius), tone, strength);
    }

    /// Adds light with different radii across and down. Its strength is the product of a horizontal and a vertical curve.
    pub fn glow_oval(&mut self, centre: Spot, radii: Spot, tone: Tone, strength: f32) {
        let (wide, high) = (radii.0.max(1.0), radii.1.max(1.0));
        let from = (centre.0 - wide).max(0.0) as usize;
        let upto = (centre.0 + wide).clamp(0.0, self.width) as usize;
        let above = (centre.1 - high).max(0.0) as usize;
        let below = (centre.1 + high).clamp(0.0, self.height) as usize;
        if from >= upto || above >= below {
            return;
        }
        // Both factors are in 256ths. The alpha channel gets no light.
        let [red, green, blue] = tone.bytes().map(|light| f32::from(light) * strength);
        let fall = |at: f32| (1.0 - at * at).max(0.0).powi(3);
        let across: Vec<[u16; 4]> = (from..upto)
            .map(|x| {
                let share = fall((x as f32 - centre.0) / wide) * 256.0;
                [(red * share) as u16, (green * share) as u16, (blue * share) as u16, 0]
            })
            .collect();
        for (y, row) in self.rows_mut().enumerate().take(below).skip(above) {
            let down = (fall((y as f32 - centre.1) / high) * 256.0) as u32;
            let pixels = row.get_mut(from..upto).unwrap_or_default();
            for (value, light) in pixels.as_flattened_mut().iter_mut().zip(across.as_flattened()) {
                let missing = u32::from(255 - *value);
                *value += ((missing * u32::from(*light) * down + (1 << 23)) >> 24).min(missing) as u8;
            }
        }
    }

    /// Fills the rows from `top` down to `bottom` with one colour each, which `tone_at` returns for a row number.
    pub fn rows_of(&mut self, top: f32, bottom: f32, mut tone_at: impl FnMut(f32) -> [u8; 3]) {
        let (top, bottom) = (top.max(0.0) as usize, bottom.clamp(0.0, self.height) as usize);
        for (y, row) in self.rows_mut().enumerate().take(bottom).skip(top) {
            let [red, green, blue] = tone_at(y as f32);
            row.fill([red, green, blue, 255]);
        }
    }

    /// Mixes a tone into the rows from `top` down to `bottom`. `amount_at` returns the amount for a row number.
    pub fn veil(&mut self, top: f32, bottom: f32, tone: Tone, amount_at: impl Fn(f32) -> f32) {
        let (top, bottom) = (top.max(0.0) as usize, bottom.clamp(0.0, self.height) as usize);
        for (y, row) in self.rows_mut().enumerate().take(bottom).skip(top) {
            mix(row, tone, amount_at(y as f32));
        }
    }

    /// Mirrors the picture above `shore` into the rows below it. `ask` receives the depth of a row below the shore. It returns which row to read, how
    /// far to shift it, and which tone to mix in.
    pub fn mirror(&mut self, shore: f32, mut ask: impl FnMut(f32) -> Mirrored) {
        let columns = self.columns();
        let shore = (shore.max(1.0) as usize).min(self.height as usize);
        let (above, below) = self.pixels_mut().split_at_mut(shore * columns);
        for (depth, row) in below.chunks_exact_mut(columns).enumerate() {
            let mirrored = ask(depth as f32);
            let source_row = shore.saturating_sub(1).saturating_sub(mirrored.up.max(0.0) as usize);
            let Some(source) = above.get(source_row * columns..(source_row + 1) * columns) else { continue };
            let aside = mirrored.aside as isize;
            for (x, pixel) in (0..).zip(row.iter_mut()) {
                // Beyond a side, the pixel at that side is repeated.
                let seen = usize::try_from(x + aside).unwrap_or(0).min(columns - 1);
                *pixel = source.get(seen).copied().unwrap_or_default();
            }
            mix(row, mirrored.tone, mirrored.amount);
        }
    }
}

/// Mixes a tone into each pixel. `amount` is from 0 to 1.
fn mix(pixels: &mut [Pixel], tone: Tone, amount: f32) {
    let amount = (amount.clamp(0.0, 1.0) * 256.0) as u16;
    let [red, green, blue] = tone.bytes();
    let added = [red, green, blue, 255].map(|light| u16::from(light) * amount + 128);
    for pixel in pixels {
        for (value, added) in pixel.iter_mut().zip(added) {
            *value = ((u16::from(*value) * (256 - amount) + added) >> 8) as u8;
        }
    }
}

/// The reflection in one row of water.
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

/// Returns a closed outline through the spots.
pub fn polygon(spots: &[Spot]) -> Option<Path> {
    let mut shapes = Shapes::default();
    shapes.polygon(spots);
    shapes.finish()
}

/// Several outlines that are filled together.
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
