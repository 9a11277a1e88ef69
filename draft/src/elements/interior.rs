//! A room with a window. The view outside is drawn first, and then the walls around it.

use tiny_skia::{PathBuilder, Rect};

use crate::brief::Hour;
use crate::canvas::{Shapes, Spot, polygon};
use crate::keywords::Word;
use crate::stage::Stage;
use crate::tone::{Tone, hex};

/// The position and size of the window, in pixels.
#[derive(Clone, Copy)]
struct Opening {
    left: f32,
    top: f32,
    wide: f32,
    tall: f32,
}

/// Draws the room around the picture so far, which becomes the view from the window.
pub fn draw(stage: &mut Stage) {
    let mut dice = stage.dice("room");
    let (width, height) = (stage.canvas.width, stage.canvas.height);
    let wide = (stage.unit * dice.range(0.6, 0.78)).min(width * 0.7);
    let tall = (wide * dice.range(0.72, 0.92)).min(height * 0.56);
    let centre = width * 0.5 + (width * 0.5 - stage.focus) * 0.6;
    let left = (centre - wide * 0.5).clamp(width * 0.06, (width * 0.94 - wide).max(width * 0.06));
    let opening = Opening { left, top: height * dice.range(0.1, 0.16), wide, tall };
    let paper = hex(dice.pick([0x8A_6E_5C, 0x5E_70_78, 0x7A_5E_66, 0x6C_74_5C, 0x9A_84_6A]));
    let lamplit = stage.brief.is_dim();
    let shade = if stage.brief.hour == Hour::Day { 0.38 } else { 0.52 };
    let wall = stage.palette.lit(paper, 0.05).mix(stage.palette.near, shade);
    let floor_top = height * 0.8;
    walls(stage, opening, wall, floor_top);
    frame(stage, opening, wall);
    shaft(stage, opening, floor_top);
    furniture(stage, opening, floor_top, lamplit);
    stage.floor = height * 0.96;
}

fn walls(stage: &mut Stage, opening: Opening, wall: Tone, floor_top: f32) {
    let (width, height) = (stage.canvas.width, stage.canvas.height);
    let mut around = Shapes::default();
    around.rect((0.0, 0.0), (opening.left, floor_top));
    around.rect((opening.left + opening.wide, 0.0), (width, floor_top));
    around.rect((opening.left - 0.5, 0.0), (opening.wide + 1.0, opening.top));
    around.rect(
        (opening.left - 0.5, opening.top + opening.tall),
        (opening.wide + 1.0, floor_top - opening.top - opening.tall),
    );
    stage.canvas.fade(
        around.finish().as_ref(),
        (0.0, wall.mix(stage.palette.near, 0.3)),
        (floor_top, wall.lighter(0.03)),
    );
    let boards = stage.palette.lit(hex(0x7A_54_3A), 0.0).mix(stage.palette.near, 0.42);
    let outline = [(0.0, floor_top), (width, floor_top), (width, height), (0.0, height)];
    stage.canvas.fade(
        polygon(&outline).as_ref(),
        (floor_top, boards.lighter(0.04)),
        (height, boards.mix(stage.palette.near, 0.5)),
    );
    let mut joints = Shapes::default();
    for number in -10..=10 {
        let x = width * 0.5 + number as f32 * width * 0.09;
        let foot = width * 0.5 + number as f32 * width * 0.16;
        let thin = (stage.unit * 0.0022).max(0.5);
        joints.polygon(&[
            (x, floor_top),
            (x + thin * 0.5, floor_top),
            (foot + thin, height),
            (foot - thin, height),
        ]);
    }
    stage.canvas.fill(joints.finish().as_ref(), stage.palette.near, 0.4);
    stage.canvas.rect(
        (0.0, floor_top - stage.unit * 0.022),
        (width, stage.unit * 0.022),
        wall.darker(0.25),
        1.0,
    );
}

fn frame(stage: &mut Stage, opening: Opening, wall: Tone) {
    let Opening { left, top, wide, tall } = opening;
    let wood = stage.palette.lit(hex(0xD8_CC_BA), 0.0).mix(wall, 0.35);
    let bar = stage.unit * 0.016;
    if let Some(bounds) = Rect::from_xywh(left, top, wide, tall) {
        stage.canvas.stroke(Some(&PathBuilder::from_rect(bounds)), bar * 1.6, wood, 1.0);
    }
    for along in [1.0 / 3.0, 2.0 / 3.0] {
        stage.canvas.rect((left + wide * along - bar * 0.4, top), (bar * 0.8, tall), wood.darker(0.1), 1.0);
    }
    stage.canvas.rect((left, top + tall * 0.34), (wide, bar * 0.8), wood.darker(0.1), 1.0);
    stage.canvas.rect((left - bar * 2.0, top + tall), (wide + bar * 4.0, bar * 1.5), wood.lighter(0.08), 1.0);
    let cloth = stage.palette.lit(stage.palette.accent, 0.0).mix(wall, 0.45);
    for side in [-1.0, 1.0] {
        let hang = if side < 0.0 { left } else { left + wide };
        for (fold, inward) in [0.16, 0.1, 0.04].into_iter().enumerate() {
            let edge = hang - side * wide * inward;
            let out = hang + side * wide * 0.09;
            let sweep = [
                (out, top - bar * 2.0),
                (edge, top - bar * 2.0),
                (edge + side * wide * 0.03, top + tall * 0.6),
                (edge + side * wide * 0.06, top + tall * 1.16),
                (out, top + tall * 1.16),
            ];
            stage.canvas.polygon(&sweep, cloth.darker(0.1 * fold as f32), 0.96);
        }
    }
    stage.canvas.line(
        &[(left - wide * 0.14, top - bar * 2.0), (left + wide * 1.14, top - bar * 2.0)],
        bar * 0.7,
        wood.darker(0.4),
        1.0,
    );
}

/// Draws the light from the window on the floor.
fn shaft(stage: &mut Stage, opening: Opening, floor_top: f32) {
    let Opening { left, top, wide, tall } = opening;
    let lean = -stage.light_side(left + wide * 0.5) * stage.unit * 0.22;
    let height = stage.canvas.height;
    let strength = if stage.brief.hour == Hour::Night { 0.2 } else { 0.36 };
    let tone = stage.palette.sky[2].mix(stage.palette.glow, 0.5);
    let patch = [
        (left + lean * 0.6, floor_top),
        (left + wide + lean * 0.6, floor_top),
        (left + wide + lean * 1.4, height),
        (left + lean * 1.4, height),
    ];
    stage.canvas.polygon(&patch, tone, strength);
    let air = [
        (left, top + tall),
        (left + wide, top + tall),
        (left + wide + lean * 1.4, height),
        (left + lean * 1.4, height),
    ];
    stage.canvas.blend(
        polygon(&air).as_ref(),
        ((0.0, top + tall * 0.4), tone.paint(strength * 0.5)),
        ((0.0, height), tone.paint(0.0)),
    );
    stage.canvas.glow((left + wide * 0.5, top + tall * 0.5), wide * 0.9, tone, 0.22);
}

fn furniture(stage: &mut Stage, opening: Opening, floor_top: f32, lamplit: bool) {
    let unit = stage.unit;
    let dark = stage.palette.near.mix(stage.palette.lit(hex(0x5A_3E_2C), 0.0), 0.45);
    let side = if opening.left + opening.wide * 0.5 < stage.canvas.width * 0.5 { 1.0 } else { -1.0 };
    let centre = (opening.left + opening.wide * (0.5 + side * 0.2))
        .clamp(unit * 0.25, (stage.canvas.width - unit * 0.25).max(unit * 0.25));
    let top = floor_top - unit * 0.1;
    stage.canvas.rect((centre - unit * 0.26, top), (unit * 0.52, unit * 0.022), dark.lighter(0.08), 1.0);
    for leg in [-0.23, 0.21] {
        stage.canvas.rect((centre + unit * leg, top), (unit * 0.02, unit * 0.22), dark, 1.0);
    }
    let lamp = (centre + side * unit * 0.16, top);
    stage.canvas.line(&[lamp, (lamp.0, lamp.1 - unit * 0.11)], unit * 0.008, dark, 1.0);
    let shade = [
        (lamp.0 - unit * 0.06, lamp.1 - unit * 0.09),
        (lamp.0 - unit * 0.032, lamp.1 - unit * 0.16),
        (lamp.0 + unit * 0.032, lamp.1 - unit * 0.16),
        (lamp.0 + unit * 0.06, lamp.1 - unit * 0.09),
    ];
    let glow = stage.palette.lamp;
    stage.canvas.polygon(&shade, if lamplit { glow.lighter(0.25) } else { glow.mix(dark, 0.45) }, 1.0);
    if lamplit {
        stage.canvas.glow((lamp.0, lamp.1 - unit * 0.1), unit * 0.42, glow, 0.55);
    }
    vase(stage, (centre - side * unit * 0.14, top), dark);
    if stage.brief.has(Word::Cat) {
        stage.focus = opening.left + opening.wide * 0.3;
    }
    picture(stage, opening, side);
}

fn vase(stage: &mut Stage, foot: Spot, dark: Tone) {
    let unit = stage.unit;
    let clay = stage.palette.lit(stage.palette.accent, 0.0).mix(dark, 0.3);
    stage.canvas.oval((foot.0, foot.1 - unit * 0.028), (unit * 0.024, unit * 0.028), clay, 1.0);
    let leaf = stage.palette.lit(hex(0x5A_8A_50), 0.0).mix(dark, 0.25);
    for (aside, tall) in [(-0.05, 0.12), (-0.02, 0.15), (0.02, 0.14), (0.05, 0.11)] {
        let tip = (foot.0 + unit * aside, foot.1 - unit * tall);
        stage.canvas.line(&[(foot.0, foot.1 - unit * 0.05), tip], unit * 0.006, leaf, 1.0);
        stage.canvas.oval(tip, (unit * 0.016, unit * 0.024), leaf.lighter(0.08), 1.0);
    }
}

/// Draws a framed picture on a bare part of the wall.
fn picture(stage: &mut Stage, opening: Opening, side: f32) {
    let unit = stage.unit;
    let free = if side > 0.0 { stage.canvas.width - opening.left - opening.wide } else { opening.left };
    let wide = (free * 0.3).min(unit * 0.16);
    if wide < unit * 0.06 {
        return;
    }
    let middle = if side > 0.0 { stage.canvas.width - free * 0.42 } else { free * 0.42 };
    let corner = (middle - wide * 0.5, opening.top + opening.tall * 0.18);
    stage.canvas.rect(corner, (wide, wide * 1.25), stage.palette.near, 0.9);
    let inner = (wide * 0.84, wide * 1.25 - wide * 0.16);
    stage.canvas.rect(
        (corner.0 + wide * 0.08, corner.1 + wide * 0.08),
        inner,
        stage.palette.sky[1].mix(stage.palette.near, 0.4),
        1.0,
    );
    stage.canvas.circle(
        (middle, corner.1 + wide * 0.5),
        wide * 0.16,
        stage.palette.lamp.mix(stage.palette.near, 0.25),
        1.0,
    );
}
