//! The sky: its colours, the sun or the moon, stars and clouds.

use crate::brief::Hour;
use crate::canvas::{Shapes, Spot, polygon};
use crate::dice::{Contour, Dice};
use crate::keywords::Word;
use crate::stage::Stage;
use crate::style::Style;
use crate::tone::{Tone, WHITE};

/// Draws everything above the horizon.
pub fn draw(stage: &mut Stage) {
    backdrop(stage);
    let dark = stage.brief.is_dark() || stage.style == Style::Cyberpunk;
    if dark && (!stage.brief.is_overcast() || stage.brief.has(Word::Stars)) {
        stars(stage);
    }
    disc(stage);
    clouds(stage);
    if stage.style == Style::Anime && stage.brief.hour != Hour::Night && !stage.brief.is_overcast() {
        rays(stage);
    }
}

/// Blends the three colours of the sky down to the horizon, and continues below it.
pub fn backdrop(stage: &mut Stage) {
    let [top, middle, low] = stage.palette.sky;
    let (horizon, height) = (stage.horizon.max(1.0), stage.canvas.height);
    let bands = stage.style.sky_bands();
    let mut dice = stage.dice("sky dither");
    stage.canvas.rows_of(0.0, height, |y| {
        // Each row is dithered as a whole, with one threshold. That hides banding, and the rows still compress well.
        let jitter = if bands.is_some() { 0.0 } else { dice.range(-0.5, 0.5) / 255.0 };
        let mut along = (y / horizon).min(1.0);
        if let Some(bands) = bands {
            along = (along * bands as f32).floor() / bands as f32;
        }
        let tone = if along < 0.55 {
            top.mix(middle, (along / 0.55).powf(1.15))
        } else {
            middle.mix(low, ((along - 0.55) / 0.45).powf(1.3))
        };
        let lift = |light: f32| (light + jitter).clamp(0.0, 1.0);
        Tone { red: lift(tone.red), green: lift(tone.green), blue: lift(tone.blue) }.bytes()
    });
}

/// Draws stars of three sizes. There are fewer near the horizon.
pub fn stars(stage: &mut Stage) {
    let mut dice = stage.dice("stars");
    let many = if stage.brief.has(Word::Stars) || stage.brief.place == Word::Space { 240 } else { 90 };
    let reach = if stage.brief.place == Word::Space { stage.canvas.height } else { stage.horizon };
    let wide = (stage.canvas.width / stage.canvas.height).clamp(0.3, 3.0);
    let mut layers = [Shapes::default(), Shapes::default(), Shapes::default()];
    for _ in 0..(many as f32 * wide) as u32 {
        let spot = (dice.range(0.0, stage.canvas.width), dice.unit().powf(1.4) * reach);
        let radius = stage.unit * dice.pick([0.0008, 0.0011, 0.0016, 0.0024]);
        let layer = dice.count(0, 2) as usize;
        if let Some(shapes) = layers.get_mut(layer) {
            shapes.circle(spot, radius.max(0.45));
        }
    }
    let tint = stage.palette.disc;
    for (shapes, opacity) in layers.into_iter().zip([0.35, 0.65, 0.95]) {
        stage.canvas.fill(shapes.finish().as_ref(), tint, opacity);
    }
}

fn disc(stage: &mut Stage) {
    let (light, unit, palette) = (stage.light, stage.unit, stage.palette);
    let veiled = stage.brief.is_overcast();
    let strength = if veiled { 0.28 } else { 0.55 };
    let spread = match stage.brief.hour {
        Hour::Day => 0.55,
        Hour::Night => 0.42,
        Hour::Dawn | Hour::Dusk => 0.75,
    };
    stage.canvas.glow(light, unit * spread, palette.glow, strength);
    if matches!(stage.brief.hour, Hour::Dawn | Hour::Dusk) {
        let along = (light.0, stage.horizon);
        stage.canvas.glow_oval(along, (unit * 1.3, unit * 0.2), palette.glow, 0.4 * strength / 0.55);
    }
    if veiled && !stage.brief.has(Word::Moon) {
        return;
    }
    let size = if stage.style == Style::Cyberpunk { 0.13 } else { 0.055 };
    let grown = if stage.brief.has(Word::Moon) { 1.35 } else { 1.0 };
    let radius = unit * size * grown * if stage.brief.hour == Hour::Day { 0.8 } else { 1.0 };
    stage.canvas.glow(light, radius * 2.8, palette.disc, 0.6);
    stage.canvas.circle(light, radius, palette.disc, 1.0);
    if stage.brief.hour == Hour::Night {
        craters(stage, light, radius);
    }
}

fn craters(stage: &mut Stage, centre: Spot, radius: f32) {
    let mut dice = stage.dice("moon");
    if stage.style == Style::Cyberpunk {
        return;
    }
    let shade = stage.palette.disc.mix(stage.palette.sky[1], 0.35);
    for _ in 0..6 {
        let (angle, away) = (dice.range(0.0, std::f32::consts::TAU), dice.range(0.1, 0.62) * radius);
        let spot = (centre.0 + angle.cos() * away, centre.1 + angle.sin() * away);
        stage.canvas.circle(spot, radius * dice.range(0.08, 0.24), shade, 0.4);
    }
}

fn clouds(stage: &mut Stage) {
    let mut dice = stage.dice("clouds");
    let brief = &stage.brief;
    if brief.has(Word::Clear) && !brief.is_overcast() {
        return;
    }
    let heaps = match stage.style {
        Style::Ghibli | Style::Anime => dice.count(4, 6),
        _ if brief.has(Word::Cloudy) || brief.has(Word::Storm) => dice.count(5, 7),
        _ if brief.hour == Hour::Day => dice.count(2, 4),
        _ => 0,
    };
    let streaks = match brief.hour {
        Hour::Day => dice.count(1, 3),
        Hour::Night => dice.count(2, 4),
        Hour::Dawn | Hour::Dusk => dice.count(6, 10),
    };
    if brief.is_overcast() {
        ceiling(stage, &mut dice);
    }
    for _ in 0..streaks {
        streak(stage, &mut dice);
    }
    for number in 0..heaps {
        heap(stage, &mut dice, number as f32 / heaps as f32);
    }
}

/// Draws a long thin cloud, lit from below by the light at the horizon.
fn streak(stage: &mut Stage, dice: &mut Dice) {
    let width = stage.canvas.width.max(stage.unit);
    let centre = (dice.range(-0.05, 1.05) * stage.canvas.width, stage.horizon * dice.range(0.12, 0.9));
    let (length, depth) = (width * dice.range(0.1, 0.34), stage.unit * dice.range(0.006, 0.018));
    let near_light = 1.0 - ((centre.1 - stage.light.1).abs() / stage.horizon.max(1.0)).min(1.0);
    let tone = stage.palette.cloud_shade.mix(stage.palette.cloud, near_light * 0.9);
    let contour = Contour::new(dice);
    let steps = 28;
    let mut spots = Vec::with_capacity(steps * 2 + 2);
    for step in 0..=steps {
        let along = step as f32 / steps as f32;
        let taper = (along * std::f32::consts::PI).sin();
        let top = depth * taper * (0.5 + contour.rough(along * 7.0) * 1.4);
        spots.push((centre.0 + (along - 0.5) * 2.0 * length, centre.1 - top));
    }
    for step in (0..=steps).rev() {
        let along = step as f32 / steps as f32;
        let sag = depth * 0.35 * (along * std::f32::consts::PI).sin();
        spots.push((centre.0 + (along - 0.5) * 2.0 * length, centre.1 + sag));
    }
    stage.canvas.polygon(&spots, tone, 0.55);
}

/// Draws a cumulus cloud with a flat base: bright towards the light, and shaded below.
fn heap(stage: &mut Stage, dice: &mut Dice, depth: f32) {
    let grand = matches!(stage.style, Style::Ghibli | Style::Anime);
    let scale = stage.unit * if grand { dice.range(0.2, 0.42) } else { dice.range(0.12, 0.28) };
    let centre = (dice.range(0.0, 1.0) * stage.canvas.width, stage.horizon * (0.3 + 0.62 * depth));
    let scale = scale * (1.15 - 0.6 * depth);
    let puffs: Vec<(Spot, f32)> = (0..11)
        .map(|number| {
            let along = number as f32 / 10.0 - 0.5;
            let crown = 1.0 - (along * 2.0).powi(2) * 0.8;
            let radius = scale * dice.range(0.12, 0.26) * (0.5 + crown * 0.6);
            let lift = scale * crown * dice.range(0.02, 0.3);
            ((centre.0 + along * scale * 2.3, centre.1 - lift), radius)
        })
        .collect();
    let (bright, shade) = (stage.palette.cloud, stage.palette.cloud_shade);
    let fading = 0.3 * depth;
    let outline = crown_of(&puffs, centre.1, 0.0, 1.0);
    let height = scale * 0.5;
    let shade = shade.mix(stage.palette.sky[2], fading);
    let bright = bright.mix(stage.palette.sky[2], fading);
    stage.canvas.fade(
        polygon(&outline).as_ref(),
        (centre.1 - height, bright.mix(shade, 0.35)),
        (centre.1, shade.mix(stage.palette.sky[2], 0.35)),
    );
    let towards = stage.light_side(centre.0) * scale * 0.05;
    let lit: Vec<(Spot, f32)> =
        puffs.iter().map(|((x, y), radius)| ((x + towards, y - radius * 0.22), radius * 0.78)).collect();
    let floor = centre.1 - scale * 0.1;
    let crown = crown_of(&lit, floor, 0.0, 1.0);
    let strong = if grand { 0.9 } else { 0.6 };
    let top = centre.1 - height * 0.7;
    stage.canvas.wash(polygon(&crown).as_ref(), (top, bright, strong), (floor, bright, 0.0));
}

/// Returns the upper outline of overlapping circles, closed along a flat base.
fn crown_of(puffs: &[(Spot, f32)], base: f32, aside: f32, grow: f32) -> Vec<Spot> {
    let left = puffs.iter().map(|((x, _), radius)| x - radius * grow).fold(f32::MAX, f32::min);
    let right = puffs.iter().map(|((x, _), radius)| x + radius * grow).fold(f32::MIN, f32::max);
    let steps = 96;
    let mut outline = vec![(left + aside, base)];
    for step in 0..=steps {
        let x = left + (right - left) * step as f32 / steps as f32;
        let top = puffs
            .iter()
            .filter_map(|((cx, cy), radius)| {
                let inside = (radius * grow).powi(2) - (x - cx).powi(2);
                (inside > 0.0).then(|| cy - inside.sqrt())
            })
            .fold(base, f32::min);
        outline.push((x + aside, top));
    }
    outline.push((right + aside, base));
    outline
}

/// Draws the underside of an overcast sky: wide, soft, overlapping banks of cloud.
fn ceiling(stage: &mut Stage, dice: &mut Dice) {
    let storm = stage.brief.has(Word::Storm);
    let tone =
        stage.palette.sky[0].mix(stage.palette.cloud_shade, 0.5).darker(if storm { 0.35 } else { 0.08 });
    for layer in 0..4 {
        let contour = Contour::new(dice);
        let base = stage.horizon * (0.12 + 0.13 * layer as f32);
        let steps = 60;
        let mut spots = vec![(0.0, 0.0)];
        for step in 0..=steps {
            let along = step as f32 / steps as f32;
            let sag = contour.rough(along * 6.0 + layer as f32 * 9.0) * stage.horizon * 0.16;
            spots.push((along * stage.canvas.width, base + sag));
        }
        spots.push((stage.canvas.width, 0.0));
        let heavy = if storm { 0.55 } else { 0.34 };
        let foot = base + stage.horizon * 0.12;
        stage.canvas.wash(polygon(&spots).as_ref(), (0.0, tone, 0.1), (foot, tone, heavy));
    }
}

/// Draws broad rays of sunlight across a clear sky.
fn rays(stage: &mut Stage) {
    let mut dice = stage.dice("rays");
    let (from, reach) = (stage.light, stage.canvas.width.max(stage.canvas.height) * 1.2);
    for _ in 0..5 {
        let (angle, spread) = (dice.range(0.0, std::f32::consts::TAU), dice.range(0.02, 0.06));
        let arm = |turn: f32| (from.0 + (angle + turn).cos() * reach, from.1 + (angle + turn).sin() * reach);
        stage.canvas.blend(
            polygon(&[from, arm(-spread), arm(spread)]).as_ref(),
            (from, WHITE.paint(0.22)),
            ((from.0 + angle.cos() * reach * 0.5, from.1 + angle.sin() * reach * 0.5), WHITE.paint(0.0)),
        );
    }
}
