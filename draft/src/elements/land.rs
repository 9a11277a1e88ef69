//! The shape of the land: mountains, hills, dunes and fields. Parts farther away are paler.

use crate::brief::Hour;
use crate::canvas::{Shapes, Spot, polygon};
use crate::dice::{Contour, Dice};
use crate::stage::Stage;
use crate::style::Style;
use crate::tone::{Tone, WHITE, hex};

const RIDGE_STEPS: u32 = 90;

/// Draws mountain ranges on the horizon, from far to near.
pub fn mountains(stage: &mut Stage, layers: u32, grandeur: f32) {
    let mut dice = stage.dice("mountains");
    for layer in 0..layers {
        let nearness = (layer + 1) as f32 / layers as f32;
        let distance = 0.78 - 0.5 * nearness;
        let height = stage.unit * grandeur * (0.22 + 0.14 * (1.0 - nearness)) * dice.range(0.9, 1.15);
        let base = stage.horizon + stage.unit * 0.015 * nearness;
        range(stage, &mut dice, base, height, distance);
    }
}

fn range(stage: &mut Stage, dice: &mut Dice, base: f32, height: f32, distance: f32) {
    let width = stage.canvas.width;
    let peaks = ((width / (height * dice.range(0.8, 1.2))) as u32).clamp(2, 18);
    let rock = stage.palette.lit(hex(0x5C_66_78), distance);
    let (sunny, shaded) =
        (rock.mix(stage.palette.glow, 0.1 * (1.0 - distance)).lighter(0.06), rock.darker(0.24));
    let snow = stage.palette.lit(hex(0xF6_F8_FC), distance * 0.55);
    let foot = rock.mix(stage.palette.haze, 0.4);
    let step = width / peaks as f32;
    let side = stage.light_side(width * 0.5);
    // Sort the highest peaks first, so that a lower peak is drawn in front of a higher one.
    let mut tops: Vec<Spot> = (0..=peaks)
        .map(|number| {
            let x = (number as f32 + dice.range(-0.3, 0.3)) * step;
            (x, base - height * dice.range(0.5, 1.0))
        })
        .collect();
    tops.sort_by(|one, other| one.1.total_cmp(&other.1));
    foothills(stage, dice, base, height * 0.34, rock.mix(stage.palette.haze, 0.25));
    for top in tops {
        let rise = base - top.1;
        let spread = rise * dice.range(1.3, 1.9);
        let left = slope(dice, top, (top.0 - spread, base));
        let right = slope(dice, top, (top.0 + spread, base));
        let mut outline: Vec<Spot> = left.iter().rev().copied().collect();
        outline.extend(right.iter().skip(1));
        stage.canvas.fade(polygon(&outline).as_ref(), (top.1, sunny), (base, foot));
        let spine = slope(dice, top, (top.0 - side * spread * 0.22, base));
        let dark_side = if side < 0.0 { &right } else { &left };
        let mut facet = dark_side.clone();
        facet.extend(spine.iter().rev());
        stage.canvas.fade(polygon(&facet).as_ref(), (top.1, shaded), (base, foot));
        if rise > height * 0.55 {
            cap(stage, dice, &left, &right, snow, side);
        }
    }
}

/// Draws the low ground that joins the mountains of a range.
fn foothills(stage: &mut Stage, dice: &mut Dice, base: f32, height: f32, tone: Tone) {
    let contour = Contour::new(dice);
    let width = stage.canvas.width;
    let mut outline = vec![(-1.0, base)];
    for step in 0..=RIDGE_STEPS {
        let x = step as f32 / RIDGE_STEPS as f32 * (width + 2.0) - 1.0;
        outline.push((x, base - height * (0.35 + 0.65 * contour.rough(x / (height * 2.2)))));
    }
    outline.push((width + 1.0, base));
    stage.canvas.fade(
        polygon(&outline).as_ref(),
        (base - height, tone),
        (base, tone.mix(stage.palette.haze, 0.35)),
    );
}

/// Returns an irregular line from a summit down to its foot.
fn slope(dice: &mut Dice, top: Spot, foot: Spot) -> Vec<Spot> {
    let steps = 9;
    let wander = (foot.1 - top.1) * 0.045;
    (0..=steps)
        .map(|step| {
            let along = step as f32 / steps as f32;
            let loose = if step == 0 || step == steps { 0.0 } else { dice.range(-wander, wander) };
            (
                top.0 + (foot.0 - top.0) * along.powf(1.12) + loose,
                top.1 + (foot.1 - top.1) * along + loose * 0.6,
            )
        })
        .collect()
}

/// Draws snow on a summit. The side that faces away from the light is in shade.
fn cap(stage: &mut Stage, dice: &mut Dice, left: &[Spot], right: &[Spot], snow: Tone, side: f32) {
    let (Some(top), Some(west), Some(east)) = (left.first(), left.get(3), right.get(3)) else { return };
    let drop = |from: &Spot, to: &Spot, along: f32, depth: f32| {
        (from.0 + (to.0 - from.0) * along, from.1 + (to.1 - from.1) * along + depth)
    };
    let deep = (west.1 - top.1) * 0.5;
    let mut outline: Vec<Spot> = left.iter().take(4).rev().copied().collect();
    outline.extend(right.iter().take(4).skip(1));
    let teeth: Vec<Spot> = (1..8)
        .map(|tooth| {
            let depth =
                if tooth % 2 == 0 { -deep * dice.range(0.4, 0.9) } else { deep * dice.range(0.2, 0.8) };
            drop(east, west, tooth as f32 / 8.0, depth)
        })
        .collect();
    outline.extend(&teeth);
    stage.canvas.polygon(&outline, snow, 0.95);
    let middle = teeth.get(3).copied().unwrap_or(*top);
    let dark = if side < 0.0 { right } else { left };
    let mut shade: Vec<Spot> = dark.iter().take(4).copied().collect();
    if side < 0.0 {
        shade.extend(teeth.iter().take(3));
    } else {
        shade.extend(teeth.iter().rev().take(3));
    }
    shade.push(middle);
    stage.canvas.polygon(&shade, snow.mix(stage.palette.sky[0], 0.4), 0.75);
}

/// Draws rolling hills from the horizon towards the camera. The nearest hill reaches the bottom edge.
pub fn hills(stage: &mut Stage, local: Tone, layers: u32, relief: f32) {
    let mut dice = stage.dice("hills");
    let ground = stage.ground_height();
    for layer in 0..layers {
        let nearness = layer as f32 / layers.max(2).saturating_sub(1) as f32;
        let base =
            stage.horizon + ground * 0.72 * nearness.powf(1.3) - stage.unit * relief * 0.4 * (1.0 - nearness);
        let tone = stage.palette.lit(local, 0.62 * (1.0 - nearness).powf(1.4));
        let contour = Contour::new(&mut dice);
        let height = stage.unit * relief * (0.6 + 0.4 * nearness);
        let waves =
            dice.range(1.4, 2.6) * (stage.canvas.width / stage.unit).max(0.5) * (1.4 - 0.6 * nearness);
        let spots = swell(stage, base, height, |along| {
            contour.at(along * waves) + contour.at(along * waves * 3.1) * 0.12
        });
        let lit = tone.mix(stage.palette.glow, 0.16 * (1.0 - nearness * 0.6)).lighter(0.03);
        let foot = base + ground * 0.34 + stage.unit * 0.05;
        stage.canvas.fade(
            polygon(&spots).as_ref(),
            (base - height, lit),
            (foot, tone.mix(stage.palette.near, 0.34)),
        );
    }
}

/// Returns the outline of a surface with a curved top that reaches the bottom edge.
fn swell(stage: &Stage, base: f32, height: f32, curve: impl Fn(f32) -> f32) -> Vec<Spot> {
    let mut spots = vec![(-2.0, stage.canvas.height + 2.0)];
    for step in 0..=RIDGE_STEPS {
        let along = step as f32 / RIDGE_STEPS as f32;
        spots.push((along * (stage.canvas.width + 4.0) - 2.0, base - curve(along) * height));
    }
    spots.push((stage.canvas.width + 2.0, stage.canvas.height + 2.0));
    spots
}

/// Draws dunes with a bright and a dark side.
pub fn dunes(stage: &mut Stage) {
    let mut dice = stage.dice("dunes");
    let sand = if stage.brief.hour == Hour::Day { hex(0xE8_BE_7E) } else { hex(0xDD_A6_6C) };
    let ground = stage.ground_height();
    for layer in 0..5 {
        let nearness = layer as f32 / 4.0;
        let base = stage.horizon + ground * 0.7 * nearness.powf(1.35);
        let tone = stage.palette.lit(sand, 0.55 * (1.0 - nearness));
        let contour = Contour::new(&mut dice);
        let height = stage.unit * (0.05 + 0.12 * nearness);
        let waves = (stage.canvas.width / stage.unit).max(0.6) * (2.2 - nearness);
        let crest = |along: f32| contour.at(along * waves);
        let bright = tone.mix(stage.palette.glow, 0.22);
        let spots = swell(stage, base, height, crest);
        stage.canvas.fade(
            polygon(&spots).as_ref(),
            (base - height, bright),
            (base + ground * 0.4, tone.darker(0.2)),
        );
        let side = stage.light_side(stage.canvas.width * 0.5);
        lee_sides(stage, &spots, side, height, tone.mix(stage.palette.sky[0], 0.3).darker(0.22));
    }
}

/// Draws the shadow under each falling part of a crest.
fn lee_sides(stage: &mut Stage, spots: &[Spot], side: f32, height: f32, tone: Tone) {
    let crest = spots.get(1..spots.len().saturating_sub(1)).unwrap_or_default();
    let mut shapes = Shapes::default();
    let mut run: Vec<Spot> = Vec::new();
    for pair in crest.windows(2) {
        let [one, other] = pair else { continue };
        if (other.1 - one.1) * -side > 0.0 {
            run.push(*one);
        } else if run.len() > 2 {
            shade_run(&mut shapes, &run, height, side);
            run.clear();
        } else {
            run.clear();
        }
    }
    if run.len() > 2 {
        shade_run(&mut shapes, &run, height, side);
    }
    stage.canvas.fill(shapes.finish().as_ref(), tone, 0.6);
}

fn shade_run(shapes: &mut Shapes, run: &[Spot], height: f32, side: f32) {
    let count = run.len() as f32;
    let mut outline = run.to_vec();
    for (number, (x, y)) in run.iter().enumerate().rev() {
        let along = number as f32 / count;
        let belly = (along * std::f32::consts::PI).sin() * height * 0.55;
        outline.push((x - side * belly * 0.9, y + belly));
    }
    shapes.polygon(&outline);
}

/// Draws a flat plain in perspective. It fades into the haze at the horizon. Furrows run towards the vanishing point.
pub fn plain(stage: &mut Stage, local: Tone, furrows: bool) {
    let mut dice = stage.dice("plain");
    let (far, near) = (stage.palette.lit(local, 0.5), stage.palette.lit(local, 0.0));
    let (horizon, height, width) = (stage.horizon, stage.canvas.height, stage.canvas.width);
    let outline = [(0.0, horizon), (width, horizon), (width, height), (0.0, height)];
    let dark = near.mix(stage.palette.near, 0.3);
    stage.canvas.fade(polygon(&outline).as_ref(), (horizon, far), (height, dark));
    if furrows {
        let vanish = (width * dice.range(0.3, 0.7), horizon);
        let mut shapes = Shapes::default();
        for number in -14..=14 {
            let x = width * 0.5 + number as f32 * width * 0.13;
            shapes.polygon(&[vanish, (x, height), (x + width * 0.05, height)]);
        }
        stage.canvas.fill(shapes.finish().as_ref(), dark.mix(stage.palette.near, 0.3), 0.35);
    }
}

/// Draws a white field with blue shadows.
pub fn snowfield(stage: &mut Stage) {
    let white = if stage.style == Style::Cyberpunk { hex(0xC8_C8_F0) } else { hex(0xF4_F7_FC) };
    hills(stage, white, 4, 0.1);
    let mut dice = stage.dice("drifts");
    let shade = stage.palette.lit(white, 0.1).mix(stage.palette.sky[0], 0.3);
    for _ in 0..7 {
        let along = dice.unit();
        let centre = (
            dice.range(0.0, stage.canvas.width),
            stage.horizon + stage.ground_height() * (0.4 + 0.55 * along),
        );
        let size = (stage.unit * dice.range(0.1, 0.3) * (0.5 + along), stage.unit * 0.008 * (0.5 + along));
        stage.canvas.oval(centre, size, shade, 0.4);
        stage.canvas.oval(
            (centre.0 + size.0 * 0.2, centre.1 - size.1),
            size,
            white.under(WHITE.mix(stage.palette.ambient, 0.8)),
            0.5,
        );
    }
}
