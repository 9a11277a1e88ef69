//! Weather in front of and behind other elements: rain, snow, fog and lightning.

use crate::canvas::{Shapes, Spot};
use crate::dice::{Contour, Dice};
use crate::keywords::Word;
use crate::stage::Stage;
use crate::tone::WHITE;

/// Draws lightning behind the land. Call this before the land is drawn.
pub fn behind(stage: &mut Stage) {
    if stage.brief.has(Word::Storm) && stage.brief.place != Word::Space {
        let mut dice = stage.dice("lightning");
        let x = stage.canvas.width - stage.focus;
        let top = (x, -1.0);
        let foot = (x + stage.unit * dice.range(-0.16, 0.16), stage.horizon);
        stage.canvas.glow((x, stage.horizon * 0.3), stage.unit * 0.6, WHITE, 0.3);
        bolt(stage, &mut dice, top, foot, stage.unit * 0.009, 3);
    }
}

fn bolt(stage: &mut Stage, dice: &mut Dice, from: Spot, to: Spot, width: f32, forks: u32) {
    let steps = 9;
    let mut spots = vec![from];
    for step in 1..steps {
        let along = step as f32 / steps as f32;
        let loose = (to.1 - from.1) * 0.09;
        spots.push((
            from.0 + (to.0 - from.0) * along + dice.range(-loose, loose),
            from.1 + (to.1 - from.1) * along,
        ));
    }
    spots.push(to);
    let tone = WHITE.mix(stage.palette.glow, 0.25);
    stage.canvas.line(&spots, width * 2.6, tone, 0.25);
    stage.canvas.line(&spots, width, WHITE, 0.95);
    if forks > 0 {
        let branch = spots.get(dice.count(2, 6) as usize).copied().unwrap_or(from);
        let reach = (to.1 - from.1) * 0.3;
        let end = (branch.0 + dice.side() * reach * dice.range(0.4, 0.9), branch.1 + reach);
        bolt(stage, dice, branch, end, width * 0.55, forks - 1);
    }
}

/// Draws fog behind the figures, so that they are visible in front of it.
pub fn between(stage: &mut Stage) {
    if stage.brief.has(Word::Fog) && stage.brief.place != Word::Room {
        fog(stage);
    }
}

/// Draws the weather between the camera and the scene.
pub fn before(stage: &mut Stage) {
    if stage.brief.place != Word::Room {
        falling(stage);
    }
}

/// Draws rain and snow over the picture so far.
pub fn falling(stage: &mut Stage) {
    if stage.brief.has(Word::Rain) || stage.brief.has(Word::Storm) {
        rain(stage);
    }
    if stage.brief.has(Word::Snowfall) {
        snow(stage);
    }
}

/// Draws banks of fog around the horizon and along the ground.
fn fog(stage: &mut Stage) {
    let mut dice = stage.dice("fog");
    let contour = Contour::new(&mut dice);
    let tone = stage.palette.haze.mix(stage.palette.sky[2], 0.4).lighter(0.06);
    let (horizon, unit) = (stage.horizon, stage.unit);
    let reach = horizon.min(unit * 0.7);
    stage.canvas.veil(horizon - reach, stage.canvas.height, tone, |y| {
        let above = ((horizon - y) / reach).max(0.0);
        let below = ((y - horizon) / (unit * 0.3)).clamp(0.0, 1.0);
        let bank = (1.0 - above).powi(2) * (0.42 - 0.26 * below);
        bank + 0.1 * contour.at(y / unit * 9.0) * (1.0 - above)
    });
    for _ in 0..6 {
        let centre = (dice.range(0.0, stage.canvas.width), horizon + unit * dice.range(-0.1, 0.25));
        stage.canvas.glow_oval(
            centre,
            (unit * dice.range(0.4, 0.8), unit * dice.range(0.03, 0.07)),
            tone,
            0.35,
        );
    }
}

fn rain(stage: &mut Stage) {
    let mut dice = stage.dice("rain");
    let heavy = if stage.brief.has(Word::Storm) { 1.7 } else { 1.0 };
    let wind = dice.range(0.08, 0.3) * dice.side() * heavy;
    let count = 190.0
        * heavy
        * (stage.canvas.width * stage.canvas.height / (stage.unit * stage.unit)).clamp(0.5, 4.0);
    let mut layers = [Shapes::default(), Shapes::default()];
    for number in 0..count as u32 {
        let near = number % 3 == 0;
        let long = stage.unit * dice.range(0.03, 0.07) * if near { 1.7 } else { 1.0 };
        let thick = (stage.unit * if near { 0.0017 } else { 0.001 }).max(0.35);
        let (x, y) =
            (dice.range(-0.1, 1.1) * stage.canvas.width, dice.range(-0.1, 1.0) * stage.canvas.height);
        let [far_layer, near_layer] = &mut layers;
        let target = if near { near_layer } else { far_layer };
        target.polygon(&[
            (x, y),
            (x + thick, y),
            (x + thick + wind * long, y + long),
            (x + wind * long, y + long),
        ]);
    }
    let tone = stage.palette.sky[2].lighter(0.45);
    for (shapes, opacity) in layers.into_iter().zip([0.28, 0.4]) {
        stage.canvas.fill(shapes.finish().as_ref(), tone, opacity);
    }
    let veil = stage.palette.haze;
    stage.canvas.veil(0.0, stage.canvas.height, veil, |_| 0.06 * heavy);
}

fn snow(stage: &mut Stage) {
    let mut dice = stage.dice("snow");
    let count =
        150.0 * (stage.canvas.width * stage.canvas.height / (stage.unit * stage.unit)).clamp(0.5, 4.0);
    let mut layers = [Shapes::default(), Shapes::default(), Shapes::default()];
    let sizes = [0.0018, 0.0034, 0.0068];
    for number in 0..count as u32 {
        let layer = if number % 12 == 0 { 2 } else { (number % 2) as usize };
        let spot = (dice.unit() * stage.canvas.width, dice.unit() * stage.canvas.height);
        let size = sizes.get(layer).copied().unwrap_or(0.002) * dice.range(0.7, 1.3);
        if let Some(shapes) = layers.get_mut(layer) {
            shapes.circle(spot, (stage.unit * size).max(0.45));
        }
    }
    for (shapes, opacity) in layers.into_iter().zip([0.65, 0.85, 0.6]) {
        stage.canvas.fill(shapes.finish().as_ref(), WHITE, opacity);
    }
}
