//! A street seen along its middle: walls on both sides, signs, lamps and a shining road.

use crate::canvas::{Spot, polygon};
use crate::dice::Dice;
use crate::keywords::Word;
use crate::stage::Stage;
use crate::style::Style;
use crate::tone::{Tone, hex};

/// The perspective of the street. All lines run towards one spot.
#[derive(Clone, Copy)]
struct View {
    vanish: Spot,
    half: f32,
}

impl View {
    /// Returns the position at `side` (−1 to 1 across the road's width) and `nearness` (0 at the vanishing point, 1 at the camera).
    fn at(self, side: f32, lift: f32, nearness: f32) -> Spot {
        (
            self.vanish.0 + side * self.half * nearness,
            self.vanish.1 + (1.0 - lift) * self.half * 0.62 * nearness,
        )
    }
}

/// Draws the whole street, from its far end to the camera.
pub fn draw(stage: &mut Stage) {
    let mut dice = stage.dice("street");
    let vanish = (stage.canvas.width * dice.range(0.4, 0.6), stage.horizon);
    let half = (stage.ground_height() / 0.62).max(stage.canvas.width * 0.62) * 1.02;
    let view = View { vanish, half };
    stage.canvas.glow(vanish, stage.unit * 0.5, stage.palette.sky[2], 0.5);
    road(stage, view);
    for side in [-1.0, 1.0] {
        let mut marks = vec![0.06, 0.1];
        while let Some(last) = marks.last().copied().filter(|last| *last < 1.7) {
            marks.push(last * dice.range(1.35, 1.7));
        }
        for pair in marks.windows(2) {
            if let [far, near] = pair {
                house(stage, &mut dice, view, side, (*far, *near));
            }
        }
    }
    lamps(stage, view);
    if stage.brief.has(Word::Rain) || stage.style == Style::Cyberpunk || stage.brief.is_dark() {
        shine(stage, &mut dice, view);
    }
}

fn road(stage: &mut Stage, view: View) {
    let asphalt = stage.palette.lit(hex(0x6A_68_70), 0.1).mix(stage.palette.near, 0.3);
    let far = asphalt.mix(stage.palette.haze, 0.7);
    let (width, height) = (stage.canvas.width, stage.canvas.height);
    let outline = [(0.0, view.vanish.1), (width, view.vanish.1), (width, height), (0.0, height)];
    stage.canvas.fade(
        polygon(&outline).as_ref(),
        (view.vanish.1, far),
        (height, asphalt.mix(stage.palette.near, 0.35)),
    );
    let paint = stage.palette.lit(hex(0xE8_E2_D0), 0.2);
    let mut near = 0.09;
    while near < 2.0 {
        let (one, other) = (near, near * 1.22);
        let dash = [
            view.at(-0.012, 0.0, one),
            view.at(0.012, 0.0, one),
            view.at(0.012, 0.0, other),
            view.at(-0.012, 0.0, other),
        ];
        stage.canvas.polygon(&dash, paint, 0.5);
        near *= 1.5;
    }
    for side in [-1.0_f32, 1.0] {
        let kerb = [
            view.at(side * 0.5, 0.0, 0.04),
            view.at(side * 0.5, 0.0, 3.0),
            view.at(side * 1.2, 0.0, 3.0),
            view.at(side * 1.2, 0.0, 0.04),
        ];
        stage.canvas.polygon(&kerb, asphalt.mix(stage.palette.haze, 0.25), 0.8);
    }
}

/// Draws one house front between two depths.
fn house(stage: &mut Stage, dice: &mut Dice, view: View, side: f32, (far, near): (f32, f32)) {
    let tall = dice.range(1.9, 3.6);
    let wall = side * 0.72;
    let nearness = (near / 1.6).min(1.0);
    let brick = hex(dice.pick([0x6E_5A_56, 0x55_5A_6D, 0x7C_6A_58, 0x4E_5E_66, 0x8A_72_66]));
    let tone =
        stage.palette.lit(brick, 0.62 * (1.0 - nearness)).mix(stage.palette.near, 0.25 + 0.3 * nearness);
    let front = [
        view.at(wall, 0.0, far),
        view.at(wall, tall, far),
        view.at(wall, tall, near),
        view.at(wall, 0.0, near),
    ];
    let (top, foot) = (view.at(wall, tall, near).1, view.at(wall, 0.0, near).1);
    stage.canvas.fade(
        polygon(&front).as_ref(),
        (top, tone.darker(0.12)),
        (foot, tone.mix(stage.palette.lamp, 0.08)),
    );
    let end = [
        view.at(wall, 0.0, near),
        view.at(wall, tall, near),
        view.at(side * 9.0, tall, near),
        view.at(side * 9.0, 0.0, near),
    ];
    stage.canvas.polygon(&end, tone.mix(stage.palette.near, 0.45), 1.0);
    let lit = stage.brief.is_dim() || stage.style == Style::Cyberpunk;
    let floors = (tall * 2.0) as u32;
    for floor in 1..floors {
        for column in 0..3 {
            let (start, stop) = (0.16 + 0.28 * column as f32, 0.34 + 0.28 * column as f32);
            let (one, other) = (far + (near - far) * start, far + (near - far) * stop);
            let (low, high) = (floor as f32 * 0.5 + 0.1, floor as f32 * 0.5 + 0.38);
            let pane = [
                view.at(wall, low, one),
                view.at(wall, high, one),
                view.at(wall, high, other),
                view.at(wall, low, other),
            ];
            let on = lit && dice.chance(0.4);
            let glass = if on { stage.palette.lamp } else { stage.palette.sky[1].mix(tone, 0.6) };
            stage.canvas.polygon(
                &pane,
                glass.mix(stage.palette.haze, 0.4 * (1.0 - nearness)),
                if on { 0.92 } else { 0.5 },
            );
        }
    }
    shop(stage, dice, view, wall, (far, near), lit);
}

/// Draws a lit shop window, and a sign that extends over the pavement.
fn shop(stage: &mut Stage, dice: &mut Dice, view: View, wall: f32, (far, near): (f32, f32), lit: bool) {
    let (one, other) = (far + (near - far) * 0.12, far + (near - far) * 0.88);
    let window = [
        view.at(wall, 0.06, one),
        view.at(wall, 0.36, one),
        view.at(wall, 0.36, other),
        view.at(wall, 0.06, other),
    ];
    let colours =
        [stage.palette.accent, stage.palette.lamp, hex(0x2E_C4_C8), hex(0xF0_58_88), stage.palette.glow];
    let neon: Tone = dice.pick(colours);
    let inside = if lit { stage.palette.lamp.lighter(0.15) } else { stage.palette.near.lighter(0.1) };
    stage.canvas.polygon(&window, inside, if lit { 0.85 } else { 0.6 });
    let awning = [
        view.at(wall, 0.42, one),
        view.at(wall * 0.86, 0.36, one),
        view.at(wall * 0.86, 0.36, other),
        view.at(wall, 0.42, other),
    ];
    stage.canvas.polygon(&awning, stage.palette.lit(neon, 0.1), 0.9);
    if dice.chance(0.75) {
        let depth = far + (near - far) * dice.range(0.3, 0.7);
        let (low, high) = (dice.range(0.6, 0.9), dice.range(1.05, 1.5));
        let (outer, inner) = (wall * 0.84, wall * 0.97);
        let sign = [
            view.at(outer, low, depth),
            view.at(outer, high, depth),
            view.at(inner, high, depth),
            view.at(inner, low, depth),
        ];
        let board = if lit { neon } else { stage.palette.lit(neon, 0.1) };
        stage.canvas.polygon(&sign, board, 0.95);
        for mark in 0..3 {
            let y = low + (high - low) * (0.2 + 0.26 * mark as f32);
            let letter = [
                view.at(outer * 1.03, y, depth),
                view.at(outer * 1.03, y + (high - low) * 0.14, depth),
                view.at(inner * 0.98, y + (high - low) * 0.14, depth),
                view.at(inner * 0.98, y, depth),
            ];
            stage.canvas.polygon(&letter, board.lighter(0.65), 0.85);
        }
        if lit {
            let middle = view.at((outer + inner) * 0.5, (low + high) * 0.5, depth);
            stage.canvas.glow(middle, (stage.unit * 0.2 * depth.min(0.9)).max(4.0), neon, 0.5);
        }
    }
}

fn lamps(stage: &mut Stage, view: View) {
    for depth in [0.16, 0.27, 0.46, 0.78] {
        for side in [-1.0, 1.0] {
            let (foot, head) = (view.at(side * 0.5, 0.0, depth), view.at(side * 0.5, 0.95, depth));
            let arm = view.at(side * 0.43, 0.98, depth);
            stage.canvas.line(&[foot, head, arm], stage.unit * 0.012 * depth + 0.4, stage.palette.near, 0.9);
            if stage.brief.is_dim() || stage.style == Style::Cyberpunk {
                stage.canvas.circle(
                    arm,
                    stage.unit * 0.012 * depth + 0.5,
                    stage.palette.lamp.lighter(0.5),
                    1.0,
                );
                stage.canvas.glow(arm, stage.unit * (0.05 + 0.16 * depth), stage.palette.lamp, 0.55);
            }
        }
    }
}

/// Draws reflections of lights as soft streaks on a wet road.
fn shine(stage: &mut Stage, dice: &mut Dice, view: View) {
    let colours =
        [stage.palette.lamp, stage.palette.accent, hex(0x2E_C4_C8), stage.palette.lamp, hex(0xF0_58_88)];
    for _ in 0..14 {
        let depth = dice.range(0.2, 1.1);
        let (x, y) = view.at(dice.range(-0.48, 0.48), 0.0, depth);
        let size = (stage.unit * 0.05 * depth, stage.unit * 0.2 * depth);
        stage.canvas.glow_oval((x, y), size, dice.pick(colours), 0.42);
    }
    let end = (view.vanish.0, view.vanish.1 + stage.unit * 0.12);
    stage.canvas.glow_oval(end, (stage.unit * 0.12, stage.unit * 0.3), stage.palette.sky[2], 0.4);
}
