//! Develops a painted canvas into the picture of its style: grade, texture, edges, vignette.

use super::canvas::Canvas;
use super::dice::{Contour, Dice, Seal};
use super::sheet::{Region, Sheet};
use super::style::Style;
use super::tone::{Tone, hex};

/// Side of the texture that is repeated over the picture.
const TILE: usize = 128;
/// The white of paper.
const PAPER: Tone = hex(0xF7_F1_E4);

/// One curve for each channel.
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

    #[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
    fn apply(&self, pixel: [u8; 3]) -> [u8; 3] {
        let [reds, greens, blues] = &self.0;
        let [red, green, blue] = pixel;
        [reds[usize::from(red)], greens[usize::from(green)], blues[usize::from(blue)]]
    }
}

/// Channel 0 is red, 2 is blue.
fn curve_of(style: Style, channel: usize, light: f32) -> f32 {
    let contrast = light * light * (3.0 - 2.0 * light);
    // Warm lights and cool shadows, as much as `amount` says.
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

/// A repeating texture of differences in brightness; strength 0 has none.
fn texture_of(style: Style, dice: &mut Dice) -> Vec<i16> {
    let (coarse, strength) = match style {
        Style::Watercolor => (2, 5.0),
        Style::Ghibli => (8, 3.6),
        Style::Cinematic => (1, 2.6),
        Style::Photorealistic => (1, 1.6),
        _ => return vec![0; TILE * TILE],
    };
    let side = TILE / coarse;
    let knots: Vec<f32> = (0..side * side).map(|_| dice.range(-1.0, 1.0)).collect();
    let knot = |x: usize, y: usize| knots.get(y % side * side + x % side).copied().unwrap_or_default();
    (0..TILE * TILE)
        .map(|place| {
            let (x, y) = (place % TILE, place / TILE);
            let (along, down) = ((x % coarse) as f32 / coarse as f32, (y % coarse) as f32 / coarse as f32);
            let upper =
                knot(x / coarse, y / coarse) * (1.0 - along) + knot(x / coarse + 1, y / coarse) * along;
            let lower = knot(x / coarse, y / coarse + 1) * (1.0 - along)
                + knot(x / coarse + 1, y / coarse + 1) * along;
            ((upper * (1.0 - down) + lower * down) * strength).round() as i16
        })
        .collect()
}

/// Puts the canvas on the sheet in its style; `block` real pixels for each of the canvas.
pub fn develop(
    canvas: &mut Canvas,
    style: Style,
    seal: &Seal,
    sheet: &mut Sheet,
    region: Region,
    block: u32,
) {
    let mut dice = seal.dice("treatment");
    if style == Style::PixelArt {
        reduce_colours(canvas);
    }
    let grade = Grade::of(style);
    let texture = texture_of(style, &mut dice);
    let strength = vignette_of(style);
    let across: Vec<u32> = falloff(region.width, strength);
    let down: Vec<u32> = falloff(region.height, strength);
    let wobble = Wobble::new(style, &mut dice, region);
    let sources: Vec<&[u8]> = canvas.rows().collect();
    let bars = if style == Style::Cinematic { (region.height as f32 * 0.075) as u32 } else { 0 };
    let mut seen = vec![[0; 3]; region.width as usize];
    for ((y, row), fall) in (0..region.height).zip(sheet.rows_mut(region)).zip(&down) {
        if y < bars || y >= region.height - bars {
            row.fill(6);
            continue;
        }
        let Some(grain) = texture.chunks_exact(TILE).nth(y as usize % TILE) else { continue };
        let light = if style == Style::Cyberpunk && y % 4 == 3 { fall * 238 / 256 } else { *fall };
        if wobble.is_still() && block == 1 {
            let straight = sources.get(y as usize).copied().unwrap_or_default().chunks_exact(4);
            let grit = grain.iter().cycle();
            for (((pixel, seen), aside), grit) in row.chunks_exact_mut(3).zip(straight).zip(&across).zip(grit)
            {
                if let [red, green, blue, _] = seen {
                    finish(pixel, grade.apply([*red, *green, *blue]), light * aside, *grit);
                }
            }
            continue;
        }
        if wobble.is_still() {
            copy_blocks(&mut seen, sources.get((y / block) as usize).copied().unwrap_or_default(), block);
        } else {
            wobble.copy(&mut seen, &sources, y);
        }
        let grit = grain.iter().cycle();
        for (((pixel, seen), aside), grit) in row.chunks_exact_mut(3).zip(&seen).zip(&across).zip(grit) {
            finish(pixel, grade.apply(*seen), light * aside, *grit);
        }
        if style == Style::Watercolor {
            wobble.paper_edges(y, row);
        }
    }
}

/// Widens each pixel of a row to a block of equal ones.
fn copy_blocks(seen: &mut [[u8; 3]], row: &[u8], block: u32) {
    for (target, pixel) in seen.chunks_mut(block as usize).zip(row.chunks_exact(4)) {
        if let [red, green, blue, _] = pixel {
            target.fill([*red, *green, *blue]);
        }
    }
}

fn finish(pixel: &mut [u8], graded: [u8; 3], fall: u32, grit: i16) {
    for (channel, value) in pixel.iter_mut().zip(graded) {
        let shaded = (u32::from(value) * fall) >> 16;
        *channel = (shaded as i16 + grit).clamp(0, 255) as u8;
    }
}

/// How much light is left along one side, in 256ths; the corners multiply.
fn falloff(length: u32, strength: f32) -> Vec<u32> {
    let half = length as f32 / 2.0;
    (0..length)
        .map(|at| {
            let away = ((at as f32 + 0.5 - half) / half).powi(4);
            (256.0 * (1.0 - strength * 0.72 * away)) as u32
        })
        .collect()
}

/// Few colours with an ordered dither, as hardware of the eighties had them.
fn reduce_colours(canvas: &mut Canvas) {
    const BAYER: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    const LEVELS: i32 = 11;
    for (row, thresholds) in canvas.rows_mut().zip(BAYER.iter().cycle()) {
        for (pixel, threshold) in row.chunks_exact_mut(4).zip(thresholds.iter().cycle()) {
            for channel in pixel.iter_mut().take(3) {
                // Half a step of dither: enough to hint at the blend, too little for a chequerboard.
                let level = (i32::from(*channel) * LEVELS * 32 / 255 + threshold + 8) / 32;
                *channel = (level.min(LEVELS) * 255 / LEVELS) as u8;
            }
        }
    }
}

/// The unsteady hand of watercolour: edges waver, and the paint stops short of the paper's edge.
struct Wobble {
    aside_of_row: Vec<isize>,
    /// How many columns move down together, and how far.
    stretches: Vec<(usize, isize)>,
    edge: Contour,
    region: Region,
    margin: f32,
}

impl Wobble {
    fn new(style: Style, dice: &mut Dice, region: Region) -> Self {
        let short = region.width.min(region.height) as f32;
        let reach = if style == Style::Watercolor { short * 0.006 } else { 0.0 };
        let (rows, columns) = (Contour::new(dice), Contour::new(dice));
        let pitch = (short * 0.03).max(3.0);
        let offsets = |contour: &Contour, length: u32| -> Vec<isize> {
            if reach == 0.0 {
                return Vec::new();
            }
            (0..length)
                .map(|at| ((contour.rough(at as f32 / pitch) - 0.5) * 2.0 * reach).round() as isize)
                .collect()
        };
        let down_of_column = offsets(&columns, region.width);
        Self {
            aside_of_row: offsets(&rows, region.height),
            stretches: down_of_column
                .chunk_by(|one, other| one == other)
                .map(|run| (run.len(), run.first().copied().unwrap_or_default()))
                .collect(),
            edge: Contour::new(dice),
            region,
            margin: short * 0.035,
        }
    }

    fn is_still(&self) -> bool {
        self.aside_of_row.is_empty()
    }

    /// Reads a row as the hand drew it: shifted aside as a whole, and up or down in stretches of columns.
    fn copy(&self, seen: &mut [[u8; 3]], rows: &[&[u8]], y: u32) {
        let aside = self.aside_of_row.get(y as usize).copied().unwrap_or_default();
        let last = rows.len().saturating_sub(1);
        let width = self.region.width as usize;
        let mut from = 0_usize;
        for (length, down) in &self.stretches {
            let row =
                rows.get((y as usize).saturating_add_signed(*down).min(last)).copied().unwrap_or_default();
            let start = from.saturating_add_signed(aside).min(width - length.min(&width));
            let source = row.get(start * 4..(start + length) * 4).unwrap_or_default();
            let target = seen.get_mut(from..from + length).unwrap_or_default();
            for (target, pixel) in target.iter_mut().zip(source.chunks_exact(4)) {
                if let [red, green, blue, _] = pixel {
                    *target = [*red, *green, *blue];
                }
            }
            from += length;
        }
    }

    /// Bare paper around the painting, with a darker line where the pigment gathers.
    fn paper_edges(&self, y: u32, row: &mut [u8]) {
        let pitch = self.margin * 1.6 + 1.0;
        let (width, height) = (self.region.width as f32, self.region.height as f32);
        let paper = PAPER.bytes();
        let from_left = self.margin * (0.35 + self.edge.rough(y as f32 / pitch));
        let from_right = self.margin * (0.35 + self.edge.rough(y as f32 / pitch + 31.0));
        let y = y as f32;
        let middle = y > self.margin * 1.6 && y < height - self.margin * 1.6;
        for (x, pixel) in (0..).zip(row.chunks_exact_mut(3)) {
            let x = x as f32;
            if middle && x > self.margin * 1.6 && x < width - self.margin * 1.6 {
                continue;
            }
            let above = self.margin * (0.35 + self.edge.rough(x / pitch + 17.0));
            let below = self.margin * (0.35 + self.edge.rough(x / pitch + 43.0));
            let inside = (x - from_left).min(width - x - from_right).min(y - above).min(height - y - below);
            let wet = (inside / (self.margin * 0.14 + 0.6)).clamp(0.0, 1.0);
            let pooled = 1.0 - 0.2 * (1.0 - (inside / (self.margin * 0.4) - 0.5).abs() * 2.0).max(0.0);
            for (channel, white) in pixel.iter_mut().zip(paper) {
                let paint = f32::from(*channel) * pooled;
                *channel = (f32::from(white) + (paint - f32::from(white)) * wet) as u8;
            }
        }
    }
}
