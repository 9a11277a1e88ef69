//! The city from afar: skylines, lit windows, and rooftops in front of the camera.

use crate::canvas::{Shapes, Spot, polygon};
use crate::dice::Dice;
use crate::stage::Stage;
use crate::style::Style;
use crate::tone::hex;

/// Draws rows of towers on the horizon. Farther rows are paler.
pub fn skyline(stage: &mut Stage, rows: u32, grandeur: f32) {
    let mut dice = stage.dice("skyline");
    for row in 0..rows {
        let nearness = (row + 1) as f32 / rows as f32;
        let distance = 0.74 - 0.56 * nearness;
        let height = stage.unit * grandeur * (0.26 + 0.1 * (1.0 - nearness)) * dice.range(0.85, 1.15);
        let base = stage.horizon + stage.unit * 0.03 * nearness;
        towers(stage, &mut dice, base, height, distance);
    }
}

fn towers(stage: &mut Stage, dice: &mut Dice, base: f32, height: f32, distance: f32) {
    let concrete = stage.palette.lit(hex(0x56_5E_70), distance);
    let tone = concrete.mix(stage.palette.near, 0.5 * (1.0 - distance));
    let mut shapes = Shapes::default();
    let mut windows = [Shapes::default(), Shapes::default()];
    let mut x = -stage.unit * 0.05;
    while x < stage.canvas.width {
        let wide = stage.unit * dice.range(0.045, 0.11) * (1.25 - distance);
        let middle = 1.0 - ((x - stage.focus) / stage.canvas.width.max(1.0)).abs();
        let tall = height * dice.range(0.3, 1.0) * (0.55 + 0.6 * middle);
        shapes.rect((x, base - tall), (wide, tall + 2.0));
        crown(&mut shapes, dice, (x, base - tall), wide);
        panes(dice, &mut windows, (x, base - tall), (wide, tall), stage.unit * 0.011 * (1.3 - distance));
        x += wide * dice.range(0.92, 1.25);
    }
    let foot = tone.mix(stage.palette.haze, 0.5);
    stage.canvas.fade(shapes.finish().as_ref(), (base - height, tone), (base, foot));
    let (glow, glass) = (stage.palette.lamp, stage.palette.sky[2]);
    let lit = stage.brief.is_dim() || stage.style == Style::Cyberpunk;
    let [some, others] = windows;
    if lit {
        let other = if stage.style == Style::Cyberpunk { stage.palette.accent } else { glow.lighter(0.3) };
        stage.canvas.fill(some.finish().as_ref(), glow.mix(stage.palette.haze, distance * 0.6), 0.9);
        stage.canvas.fill(others.finish().as_ref(), other.mix(stage.palette.haze, distance * 0.6), 0.75);
    } else {
        stage.canvas.fill(some.finish().as_ref(), glass, 0.22);
        stage.canvas.fill(others.finish().as_ref(), stage.palette.near, 0.16);
    }
}

/// Adds a step, a spire or a mast to the top of a tower.
fn crown(shapes: &mut Shapes, dice: &mut Dice, corner: Spot, wide: f32) {
    let (x, top) = corner;
    match dice.count(0, 5) {
        0 => shapes.rect((x + wide * 0.2, top - wide * 0.3), (wide * 0.6, wide * 0.32)),
        1 => shapes.polygon(&[(x, top + 0.5), (x + wide * 0.5, top - wide * 0.7), (x + wide, top + 0.5)]),
        2 => {
            shapes.rect((x + wide * 0.3, top - wide * 0.2), (wide * 0.4, wide * 0.22));
            shapes.rect((x + wide * 0.48, top - wide * 0.9), ((wide * 0.05).max(0.7), wide * 0.75));
        }
        3 => shapes.polygon(&[(x, top + 0.5), (x, top - wide * 0.4), (x + wide, top + 0.5)]),
        _ => {}
    }
}

/// Adds windows in rows. Some of them are dark.
fn panes(dice: &mut Dice, windows: &mut [Shapes; 2], corner: Spot, size: Spot, pitch: f32) {
    let pitch = pitch.max(2.4);
    let columns = (size.0 / pitch) as u32;
    let floors = ((size.1 / (pitch * 1.25)) as u32).min(40);
    let density = dice.range(0.18, 0.5);
    let [some, others] = windows;
    for floor in 1..floors {
        for column in 0..columns {
            if !dice.chance(density) {
                continue;
            }
            let x = corner.0 + (column as f32 + 0.5) * size.0 / columns as f32 - pitch * 0.22;
            let y = corner.1 + floor as f32 * pitch * 1.25;
            let target = if dice.chance(0.7) { &mut *some } else { &mut *others };
            target.rect((x, y), (pitch * 0.44, pitch * 0.6));
        }
    }
}

/// Draws roofs between the camera and the skyline: gables, chimneys, tanks, aerials and a few lit attics.
pub fn rooftops(stage: &mut Stage) {
    let mut dice = stage.dice("rooftops");
    let ground = stage.ground_height();
    for row in 0..4 {
        let nearness = row as f32 / 3.0;
        let base = stage.horizon + ground * (0.12 + 0.62 * nearness);
        let size = stage.unit * (0.09 + 0.16 * nearness);
        let roof = hex(dice.pick([0x6A_4A_44, 0x4E_56_68, 0x7A_54_40, 0x56_4C_5C]));
        let tone =
            stage.palette.lit(roof, 0.5 * (1.0 - nearness)).mix(stage.palette.near, 0.2 + 0.35 * nearness);
        let mut x = -size * dice.unit();
        let (height, width) = (stage.canvas.height, stage.canvas.width);
        while x < width {
            let wide = size * dice.range(1.0, 1.9);
            let top = base - size * dice.range(0.25, 0.75);
            let wall = tone.mix(stage.palette.near, 0.35);
            stage.canvas.rect((x, top), (wide, height - top), wall, 1.0);
            if dice.chance(0.6) {
                let peak = top - wide * dice.range(0.25, 0.4);
                let gable =
                    [(x - wide * 0.06, top + 1.0), (x + wide * 0.5, peak), (x + wide * 1.06, top + 1.0)];
                stage.canvas.fade(
                    polygon(&gable).as_ref(),
                    (peak, tone.mix(stage.palette.glow, 0.18)),
                    (top, tone),
                );
                stage.canvas.rect((x + wide * 0.7, peak), (wide * 0.09, wide * 0.3), wall, 1.0);
            } else {
                stage.canvas.rect(
                    (x - 1.0, top - size * 0.05),
                    (wide + 2.0, size * 0.07),
                    tone.lighter(0.06),
                    1.0,
                );
                let mast = x + wide * dice.range(0.2, 0.8);
                stage.canvas.line(&[(mast, top), (mast, top - size * 0.45)], size * 0.014, wall, 1.0);
                stage.canvas.line(
                    &[(mast - size * 0.1, top - size * 0.36), (mast + size * 0.1, top - size * 0.36)],
                    size * 0.012,
                    wall,
                    1.0,
                );
            }
            lit_windows(stage, &mut dice, (x, top), (wide, size));
            x += wide * dice.range(0.98, 1.1);
        }
    }
}

fn lit_windows(stage: &mut Stage, dice: &mut Dice, corner: Spot, size: Spot) {
    let lit = stage.brief.is_dim() || stage.style == Style::Cyberpunk;
    for column in 0..3 {
        let x = corner.0 + size.0 * (0.16 + 0.27 * column as f32);
        let on = lit && dice.chance(0.5);
        let tone = if on { stage.palette.lamp } else { stage.palette.near };
        let pane = (size.1 * 0.13, size.1 * 0.18);
        stage.canvas.rect((x, corner.1 + size.1 * 0.16), pane, tone, if on { 0.95 } else { 0.45 });
        if on {
            stage.canvas.glow(
                (x + pane.0 * 0.5, corner.1 + size.1 * 0.25),
                size.1 * 0.3,
                stage.palette.lamp,
                0.3,
            );
        }
    }
}
