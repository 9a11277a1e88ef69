//! Trees, grass and flowers.

use crate::canvas::{Shapes, Spot, polygon};
use crate::dice::{Contour, Dice};
use crate::stage::Stage;
use crate::style::Style;
use crate::tone::{Tone, hex};

/// Draws rows of conifers, one behind the other, with mist between them.
pub fn forest(stage: &mut Stage, rows: u32) {
    let mut dice = stage.dice("forest");
    let ground = stage.ground_height();
    for row in 0..rows {
        let nearness = row as f32 / rows.max(2).saturating_sub(1) as f32;
        let base = stage.horizon + ground * (0.02 + 0.5 * nearness.powf(1.4));
        let height = stage.unit * (0.12 + 0.36 * nearness.powf(1.2));
        let green = hex(if stage.style == Style::Ghibli { 0x4E_7E_42 } else { 0x2E_56_46 });
        let tone = stage.palette.lit(green, 0.72 * (1.0 - nearness)).mix(stage.palette.near, 0.42 * nearness);
        let gap = height * (0.24 + 0.14 * nearness);
        let middle = stage.focus;
        let contour = Contour::new(&mut dice);
        let mut shapes = Shapes::default();
        let mut x = -gap;
        while x < stage.canvas.width + gap {
            // Leave a clearing around the subject.
            let opening = ((x - middle).abs() / (stage.unit * 0.34)).min(1.0);
            let tall = height
                * (0.5 + 0.5 * contour.at(x / gap * 0.37))
                * if nearness > 0.5 { 0.25 + 0.75 * opening } else { 1.0 };
            if opening > 0.45 || nearness < 0.5 {
                conifer(&mut shapes, &mut dice, (x, base + height * 0.04), tall);
            }
            x += gap * dice.range(0.6, 1.3);
        }
        shapes.rect((-1.0, base), (stage.canvas.width + 2.0, stage.canvas.height - base + 2.0));
        let foot =
            tone.mix(stage.palette.haze, 0.34 * (1.0 - nearness)).mix(stage.palette.near, 0.2 * nearness);
        stage.canvas.fade(shapes.finish().as_ref(), (base - height, tone), (base + height * 0.3, foot));
        if nearness < 0.8 {
            let haze = stage.palette.haze;
            stage.canvas.veil(base - height * 0.35, base + height * 0.2, haze, |y| {
                0.3 * (1.0 - ((y - base) / (height * 0.35)).abs()).max(0.0)
            });
        }
    }
}

/// Adds one conifer as tiers of branches.
fn conifer(shapes: &mut Shapes, dice: &mut Dice, foot: Spot, height: f32) {
    let tiers = 6;
    let lean = dice.range(-0.02, 0.02) * height;
    let mut left = Vec::with_capacity(tiers * 2 + 1);
    let mut right = Vec::with_capacity(tiers * 2 + 1);
    for tier in 0..=tiers {
        let along = tier as f32 / tiers as f32;
        let y = foot.1 - height * (1.0 - along);
        let reach = height * 0.2 * (along + 0.02) * dice.range(0.85, 1.15);
        let tuck = reach * 0.55;
        left.push((foot.0 + lean - reach, y));
        right.push((foot.0 + lean + reach, y));
        if tier < tiers && tier > 0 {
            left.push((foot.0 + lean - tuck, y - height * 0.015));
            right.push((foot.0 + lean + tuck, y - height * 0.015));
        }
    }
    let mut outline = vec![(foot.0 + lean, foot.1 - height * 1.06)];
    outline.extend(right);
    outline.extend(left.into_iter().rev());
    shapes.polygon(&outline);
}

/// Draws a broad tree: a trunk and a crown of leaf masses that are bright towards the light.
pub fn tree(stage: &mut Stage, foot: Spot, height: f32, leaves: Tone, purpose: &str) {
    let mut dice = stage.dice(purpose);
    let bark = stage.palette.lit(hex(0x4A_38_2E), 0.05);
    let thick = height * 0.045;
    let crown = (foot.0, foot.1 - height * 0.66);
    let trunk = [
        (foot.0 - thick, foot.1),
        (foot.0 - thick * 0.5, foot.1 - height * 0.5),
        (foot.0 + thick * 0.5, foot.1 - height * 0.5),
        (foot.0 + thick, foot.1),
    ];
    stage.canvas.polygon(&trunk, bark, 1.0);
    let side = stage.light_side(foot.0);
    let base = stage.palette.lit(leaves, 0.02);
    let layers = [
        (base.mix(stage.palette.near, 0.45), 0.0, 1.0, 16),
        (base, 0.05, 0.8, 14),
        (base.mix(stage.palette.glow, 0.28).lighter(0.05), 0.1, 0.5, 9),
    ];
    for (tone, shift, grow, masses) in layers {
        let mut shapes = Shapes::default();
        for _ in 0..masses {
            let (angle, away) =
                (dice.range(0.0, std::f32::consts::TAU), dice.unit().sqrt() * height * 0.26 * grow);
            let spot = (
                crown.0 + angle.cos() * away * 1.2 + side * height * shift,
                crown.1 + angle.sin() * away - height * shift * 0.9,
            );
            shapes.circle(spot, height * dice.range(0.07, 0.13) * (0.4 + 0.6 * grow));
        }
        stage.canvas.fill(shapes.finish().as_ref(), tone, 1.0);
    }
}

/// Draws blades of grass along the bottom edge, with flowers if requested.
pub fn grass(stage: &mut Stage, local: Tone, flowers: bool) {
    let mut dice = stage.dice("grass");
    let tone = stage.palette.lit(local, 0.0).mix(stage.palette.near, 0.55);
    let (width, height) = (stage.canvas.width, stage.canvas.height);
    let blade = stage.unit * 0.075;
    let mut shapes = Shapes::default();
    let contour = Contour::new(&mut dice);
    let mut x = -blade;
    while x < width + blade {
        let tall = blade * (0.35 + contour.rough(x / blade * 0.3) * 1.1);
        let bend = tall * dice.range(-0.45, 0.45);
        let thick = (blade * 0.045).max(0.5);
        shapes.polygon(&[(x - thick, height + 1.0), (x + bend, height - tall), (x + thick, height + 1.0)]);
        x += (blade * dice.range(0.06, 0.2)).max(0.8);
    }
    stage.canvas.fill(shapes.finish().as_ref(), tone, 1.0);
    if flowers {
        let colours = [stage.palette.accent, hex(0xF6_E2_6A), hex(0xF4_F0_F6), hex(0xE8_7A_9A)];
        for _ in 0..(70.0 * (width / height).clamp(0.3, 3.0)) as u32 {
            let along = dice.unit();
            let y = stage.horizon + stage.ground_height() * (0.42 + 0.56 * along);
            let spot = (dice.range(0.0, width), y);
            let petal = stage.palette.lit(dice.pick(colours), 0.25 * (1.0 - along));
            stage.canvas.circle(spot, stage.unit * (0.0022 + 0.005 * along), petal, 0.95);
        }
    }
}

/// Draws a few cacti for dry land.
pub fn cacti(stage: &mut Stage) {
    let mut dice = stage.dice("cacti");
    for _ in 0..dice.count(2, 4) {
        let along = dice.range(0.1, 0.8);
        let foot = (
            dice.range(0.05, 0.95) * stage.canvas.width,
            stage.horizon + stage.ground_height() * (0.2 + 0.6 * along),
        );
        let height = stage.unit * (0.05 + 0.13 * along);
        let tone = stage.palette.lit(hex(0x4C_66_48), 0.4 * (1.0 - along)).mix(stage.palette.near, 0.3);
        let thick = height * 0.13;
        stage.canvas.line(&[foot, (foot.0, foot.1 - height)], thick, tone, 1.0);
        for side in [-1.0_f32, 1.0] {
            let (out, low) = (height * 0.24 * side, height * dice.range(0.35, 0.5));
            let arm = [
                (foot.0, foot.1 - low),
                (foot.0 + out, foot.1 - low),
                (foot.0 + out, foot.1 - low - height * dice.range(0.18, 0.32)),
            ];
            stage.canvas.line(&arm, thick * 0.75, tone, 1.0);
        }
    }
}

/// Draws a dark branch with leaves that hangs into the picture from a top corner.
pub fn overhang(stage: &mut Stage) {
    let mut dice = stage.dice("overhang");
    let inward = stage.light_side(stage.canvas.width * 0.5);
    let corner = if inward < 0.0 { stage.canvas.width } else { 0.0 };
    let tone = stage.palette.near;
    let mut shapes = Shapes::default();
    for _ in 0..26 {
        let (along, down) = (dice.unit().powi(2), dice.unit().powi(2));
        let spot = (corner + inward * along * stage.unit * 0.42, down * stage.unit * 0.2 * (1.0 - along));
        let size = stage.unit * dice.range(0.018, 0.045);
        shapes.polygon(&[
            (spot.0 - size, spot.1),
            (spot.0, spot.1 - size * 0.45),
            (spot.0 + size, spot.1 + size * 0.2),
            (spot.0, spot.1 + size * 0.5),
        ]);
    }
    stage.canvas.fill(shapes.finish().as_ref(), tone, 0.9);
    let bough = [(corner, 0.0), (corner + inward * stage.unit * 0.4, 0.0), (corner, stage.unit * 0.07)];
    stage.canvas.fill(polygon(&bough).as_ref(), tone, 0.9);
}
