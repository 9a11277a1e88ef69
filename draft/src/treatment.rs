//! Turns a painted canvas into the picture of its style: colour grade, texture, edges and vignette.
use super::canvas::{Canvas, Pixel};
use super::dice::{Contour, Dice, RequestDigest};
use super::paper::Edges;
use super::sheet::{Mount, Region, Sheet};
use super::style::Style;

/// Side of the texture tile that is repeated over the picture, in pixels.
const TILE: usize = 128;

/// A tone curve for each channel.
struct Grade([[u8; 256]; 3]);

impl Grade {
    fn of(style: Style) -> Self {
        let mut curves = [[0; 256]; 3];
        for (channel, curve) in curves.iter_mut().enumerate() {
            for (value, graded) in curve.iter_mut().enumerate() {
                let light = value as f32 / 255.0;
                *graded = (curve_of(style, channel, light).clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            }
        }
        Self(curves)
    }

    /// Writes the graded colours into a row of three bytes per pixel.
    fn apply<'a>(&self, pixels: impl Iterator<Item = &'a Pixel>, row: &mut [u8]) {
        let (row, _) = row.as_chunks_mut::<3>();
        for (graded, pixel) in row.iter_mut().zip(pixels) {
            *graded = self.of_pixel(*pixel);
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
    fn of_pixel(&self, [red, green, blue, _]: Pixel) -> [u8; 3] {
        let [reds, greens, blues] = &self.0;
        [reds[usize::from(red)], greens[usize::from(green)], blues[usize::from(blue)]]
    }
}

/// Returns the graded value of a channel: 0 is red, 1 is green, 2 is blue.
fn curve_of(style: Style, channel: usize, light: f32) -> f32 {
    let contrast = light * light * (3.0 - 2.0 * light);
    // Makes lights warm and shadows cool, as strongly as `amount` says.
    let split = |base: f32, amount: f32| match channel {
        0 => base + amount * (base - 0.45),
        1 => base + amount * 0.12 * (0.6 - base),
        _ => base - amount * (base - 0.5),
    };
    match style {
        Style::Plain => light + (contrast - light) * 0.15,
        Style::Cinematic => split(light + (contrast - light) * 0.45, 0.14),
        Style::Anime => light.powf(0.92),
        Style::Ghibli => split(light.powf(0.93), 0.03),
        Style::Cyberpunk => {
            light + (contrast - light) * 0.35 + if channel == 2 { 0.03 * (1.0 - light) } else { 0.0 }
        }
        Style::Watercolor => 0.1 + 0.86 * light.powf(0.9),
        Style::PixelArt => light + (contrast - light) * 0.2,
        Style::Photorealistic => split(0.025 + 0.965 * (light + (contrast - light) * 0.25), 0.03),
    }
}

fn vignette_of(style: Style) -> f32 {
    match style {
        Style::Cinematic => 0.42,
        Style::Photorealistic | Style::Cyberpunk => 0.3,
        Style::Plain => 0.2,
        Style::PixelArt => 0.12,
        Style::Anime | Style::Ghibli => 0.07,
        Style::Watercolor => 0.0,
    }
}

/// Creates a repeating texture of brightness differences: `TILE` rows with three equal numbers per pixel. Empty if the style has none.
fn texture_of(style: Style, dice: &mut Dice) -> Vec<i16> {
    let (coarse, strength) = match style {
        Style::Watercolor => (2, 5.0),
        Style::Ghibli => (8, 3.6),
        Style::Cinematic => (1, 2.6),
        Style::Photorealistic => (1, 1.6),
        _ => return Vec::new(),
    };
    let side = TILE / coarse;
    let knots: Vec<f32> = (0..side * side).map(|_| dice.range(-strength, strength)).collect();
    // Rounds to the nearest number. The conversion truncates towards zero, so the value is made positive before it.
    let whole = |value: f32| (value + 64.5) as i16 - 64;
    let mut texture = Vec::with_capacity(TILE * TILE * 3);
    if coarse == 1 {
        texture.extend(knots.iter().flat_map(|knot| [whole(*knot); 3]));
        return texture;
    }
    let row_of = |y: usize| knots.chunks_exact(side).nth(y % side).unwrap_or_default();
    for y in 0..TILE {
        let (upper, lower) = (row_of(y / coarse), row_of(y / coarse + 1));
        let down = (y % coarse) as f32 / coarse as f32;
        let mixed = upper.iter().zip(lower).map(|(upper, lower)| upper + (lower - upper) * down);
        let column: Vec<f32> = mixed.collect();
        for (left, right) in column.iter().zip(column.iter().cycle().skip(1)) {
            for x in 0..coarse {
                let value = left + (right - left) * (x as f32 / coarse as f32);
                texture.extend_from_slice(&[whole(value); 3]);
            }
        }
    }
    texture
}

/// Creates the sheet with the picture in its style. `ground` is the colour around the picture. `None` if the sheet cannot be allocated.
pub fn develop(
    mut canvas: Canvas,
    style: Style,
    digest: &RequestDigest,
    mount: Mount,
    ground: [u8; 3],
) -> Option<Sheet> {
    let mut dice = digest.dice("treatment");
    if style == Style::PixelArt {
        reduce_colours(&mut canvas);
    }
    let mut sheet = Sheet::new(mount.width, mount.height, ground)?;
    let development = Development::new(style, &mut dice, mount);
    for (y, row) in (0..).zip(sheet.rows_mut(mount.picture)) {
        // All rows of a block are equal.
        development.row(y - y % mount.block, row, &canvas);
    }
    Some(sheet)
}

/// The steps that turn a canvas into the rows of a picture.
struct Development {
    grade: Grade,
    texture: Vec<i16>,
    shade: Shade,
    watercolour: Option<(Wobble, Edges)>,
    /// Height of each black bar of the cinematic style, in pixels.
    bars: u32,
    mount: Mount,
}

impl Development {
    fn new(style: Style, dice: &mut Dice, mount: Mount) -> Self {
        let region = mount.picture;
        let is_wet = style == Style::Watercolor;
        Self {
            grade: Grade::of(style),
            texture: texture_of(style, dice),
            shade: Shade::new(style, region),
            watercolour: is_wet.then(|| (Wobble::new(dice, region), Edges::new(dice, region))),
            bars: if style == Style::Cinematic && mount.has_bars {
                (region.height as f32 * 0.075) as u32
            } else {
                0
            },
            mount,
        }
    }

    fn row(&self, y: u32, row: &mut [u8], canvas: &Canvas) {
        let Mount { picture, block, .. } = self.mount;
        if y < self.bars || y >= picture.height - self.bars {
            row.fill(6);
            return;
        }
        if let Some((wobble, _)) = &self.watercolour {
            wobble.copy(canvas, y, row, &self.grade);
        } else if block > 1 {
            let pixels = canvas_row(canvas, y / block).iter();
            self.grade.apply(pixels.flat_map(|pixel| std::iter::repeat_n(pixel, block as usize)), row);
        } else {
            self.grade.apply(canvas_row(canvas, y).iter(), row);
        }
        let grain = self.texture.chunks_exact(TILE * 3).nth(y as usize % TILE);
        self.shade.apply(y + block / 2, row, grain);
        if let Some((_, edges)) = &self.watercolour {
            edges.bare(y, row);
        }
    }
}

/// Returns the pixels of one row of the canvas.
fn canvas_row(canvas: &Canvas, y: u32) -> &[Pixel] {
    let start = y as usize * canvas.columns();
    canvas.pixels().get(start..start + canvas.columns()).unwrap_or_default()
}

/// The vignette, and the scan lines of a screen. [`Shade::apply`] adds the grain too.
struct Shade {
    /// The light that remains across a row (three equal numbers per pixel) and down the rows, in 65,536ths. The two are multiplied.
    across: Vec<u16>,
    down: Vec<u16>,
}

impl Shade {
    fn new(style: Style, region: Region) -> Self {
        let strength = vignette_of(style);
        let scanned = |y: usize, light: u16| {
            if style == Style::Cyberpunk && y % 4 == 3 {
                (u32::from(light) * 238 / 256) as u16
            } else {
                light
            }
        };
        let down = falloff(region.height, strength).enumerate();
        Self {
            across: falloff(region.width, strength).flat_map(|light| [light; 3]).collect(),
            down: down.map(|(y, light)| scanned(y, light)).collect(),
        }
    }

    fn apply(&self, y: u32, row: &mut [u8], grain: Option<&[i16]>) {
        let down = self.down.get(y as usize).or(self.down.last()).copied().unwrap_or_default();
        let high = |one: u16, other: u16| ((u32::from(one) * u32::from(other)) >> 16) as u16;
        let shaded = |value: u8, across: u16| high(u16::from(value) << 8 | 0xFF, high(across, down)) >> 8;
        let Some(grain) = grain else {
            for (value, across) in row.iter_mut().zip(&self.across) {
                *value = shaded(*value, *across) as u8;
            }
            return;
        };
        for (values, across) in row.chunks_mut(TILE * 3).zip(self.across.chunks(TILE * 3)) {
            for ((value, across), grit) in values.iter_mut().zip(across).zip(grain) {
                *value = (shaded(*value, *across) as i16 + grit).clamp(0, 255) as u8;
            }
        }
    }
}

/// Returns the light that remains at each position along one side, in 65,536ths.
fn falloff(length: u32, strength: f32) -> impl Iterator<Item = u16> {
    let half = length as f32 / 2.0;
    (0..length).map(move |at| {
        let away = ((at as f32 + 0.5 - half) / half).powi(4);
        (65_535.0 * (1.0 - strength * 0.72 * away)) as u16
    })
}

/// Reduces the colours to 12 levels per channel with an ordered dither, like hardware of the eighties.
fn reduce_colours(canvas: &mut Canvas) {
    const BAYER: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    const LEVELS: i32 = 11;
    for (row, thresholds) in canvas.rows_mut().zip(BAYER.iter().cycle()) {
        for (pixel, threshold) in row.iter_mut().zip(thresholds.iter().cycle()) {
            for channel in pixel.iter_mut().take(3) {
                // The dither has half the size of a step. That suggests a blend without a visible chequerboard.
                let level = (i32::from(*channel) * LEVELS * 32 / 255 + threshold + 8) / 32;
                *channel = (level.min(LEVELS) * 255 / LEVELS) as u8;
            }
        }
    }
}

/// The irregular shifts of a painted watercolour.
struct Wobble {
    aside_of_row: Vec<isize>,
    /// For each column, the offset of its source pixel from the start of the row.
    lookups: Vec<isize>,
}

impl Wobble {
    /// Returns the largest shift, in pixels.
    fn reach(region: Region) -> f32 {
        region.width.min(region.height) as f32 * 0.006
    }

    fn new(dice: &mut Dice, region: Region) -> Self {
        let short = region.width.min(region.height) as f32;
        let reach = Self::reach(region);
        let (rows, columns) = (Contour::new(dice), Contour::new(dice));
        let pitch = (short * 0.03).max(3.0);
        let offsets = |contour: &Contour, length: u32| -> Vec<isize> {
            (0..length)
                .map(|at| ((contour.rough(at as f32 / pitch) - 0.5) * 2.0 * reach).round() as isize)
                .collect()
        };
        let down_of_column = offsets(&columns, region.width).into_iter();
        Self {
            aside_of_row: offsets(&rows, region.height),
            lookups: (0..).zip(down_of_column).map(|(x, down)| x + down * region.width as isize).collect(),
        }
    }

    /// Grades a row with its shifts: the whole row is shifted sideways, and each column up or down. Pixels from beyond the picture's sides do not
    /// matter, because the paper is bare there.
    fn copy(&self, canvas: &Canvas, y: u32, row: &mut [u8], grade: &Grade) {
        let aside = self.aside_of_row.get(y as usize).copied().unwrap_or_default();
        let start = (y as usize * canvas.columns()).cast_signed() + aside;
        let pixels = canvas.pixels();
        let beyond = Pixel::default();
        let seen = self.lookups.iter().map(|lookup| {
            usize::try_from(start + lookup).ok().and_then(|at| pixels.get(at)).unwrap_or(&beyond)
        });
        grade.apply(seen, row);
    }
}
