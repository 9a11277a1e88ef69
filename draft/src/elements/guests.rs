//! Other movable objects: animals, boats, cars and trains.

use tiny_skia::PathBuilder;

use crate::brief::Camera;
use crate::canvas::{Shapes, Spot, polygon};
use crate::keywords::Word;
use crate::stage::Stage;
use crate::tone::hex;

/// Draws a flock of birds as strokes in the sky.
pub fn birds(stage: &mut Stage, many: u32) {
    let mut dice = stage.dice("birds");
    let centre = (stage.focus, stage.horizon * dice.range(0.35, 0.6));
    let tone = stage.palette.near.mix(stage.palette.sky[1], if stage.brief.is_dark() { 0.1 } else { 0.25 });
    for _ in 0..many {
        let spot = (
            centre.0 + stage.unit * dice.range(-0.42, 0.42),
            centre.1 + stage.unit * dice.range(-0.14, 0.16),
        );
        let span = stage.unit * dice.range(0.012, 0.032);
        let (dip, tilt) = (span * dice.range(0.2, 0.55), span * dice.range(-0.2, 0.2));
        let mut builder = PathBuilder::new();
        builder.move_to(spot.0 - span, spot.1 - tilt);
        builder.quad_to(spot.0 - span * 0.45, spot.1 - dip * 1.5, spot.0, spot.1);
        builder.quad_to(spot.0 + span * 0.45, spot.1 - dip * 1.5, spot.0 + span, spot.1 + tilt);
        stage.canvas.stroke(builder.finish().as_ref(), span * 0.13, tone, 0.95);
    }
}

/// Draws a cat or a dog beside the subject.
pub fn animals(stage: &mut Stage) {
    let small = if matches!(stage.brief.camera, Camera::Wide | Camera::Aerial) { 0.5 } else { 1.0 };
    let size = stage.unit * 0.17 * small * if stage.brief.camera == Camera::CloseUp { 1.9 } else { 1.0 };
    let away = -stage.light_side(stage.focus);
    let alone = !stage.brief.words().iter().any(|word| {
        matches!(word, Word::Person | Word::Girl | Word::Boy | Word::Woman | Word::OldMan | Word::Keeper)
    });
    let aside = if alone { 0.0 } else { stage.unit * 0.22 * small };
    for (word, shift) in [(Word::Cat, 1.0), (Word::Dog, 1.7)] {
        if !stage.brief.has(word) {
            continue;
        }
        let margin = (size * 0.75).min(stage.canvas.width * 0.5);
        let x = (stage.focus + away * aside * shift).clamp(margin, stage.canvas.width - margin);
        let foot = (x, stage.floor);
        let rim = stage.palette.glow.lighter(0.25);
        let edge = (size * 0.018).max(0.6) * stage.light_side(foot.0);
        let fur = stage.palette.near.mix(stage.palette.lit(hex(0x7A_5A_40), 0.0), 0.35);
        stage.canvas.oval((foot.0, foot.1), (size * 0.5, size * 0.05), stage.palette.near, 0.4);
        for (shift, tone) in [(edge, rim), (0.0, fur)] {
            let spot = (foot.0 + shift, foot.1);
            let path = if word == Word::Cat { cat(spot, size) } else { dog(spot, size * 1.15, away) };
            stage.canvas.fill(path.as_ref(), tone, 1.0);
        }
        if word == Word::Cat {
            let mut builder = PathBuilder::new();
            builder.move_to(foot.0 + size * 0.2, foot.1 - size * 0.05);
            builder.cubic_to(
                foot.0 + size * 0.55,
                foot.1,
                foot.0 + size * 0.52,
                foot.1 - size * 0.3,
                foot.0 + size * 0.4,
                foot.1 - size * 0.36,
            );
            stage.canvas.stroke(builder.finish().as_ref(), size * 0.06, fur, 1.0);
        }
    }
}

fn cat(foot: Spot, size: f32) -> Option<tiny_skia::Path> {
    let at = |aside: f32, up: f32| (foot.0 + size * aside, foot.1 - size * up);
    let mut builder = PathBuilder::new();
    let (start, knee, neck, chest) = (at(-0.2, 0.0), at(-0.26, 0.34), at(-0.1, 0.6), at(0.12, 0.6));
    builder.move_to(start.0, start.1);
    builder.quad_to(knee.0, knee.1, neck.0, neck.1);
    builder.line_to(chest.0, chest.1);
    let (hip, end) = (at(0.36, 0.3), at(0.24, 0.0));
    builder.quad_to(hip.0, hip.1, end.0, end.1);
    builder.close();
    let head = at(0.0, 0.7);
    builder.push_circle(head.0, head.1, size * 0.15);
    let mut shapes = Shapes::default();
    shapes.polygon(&[at(-0.15, 0.72), at(-0.13, 0.94), at(-0.02, 0.82)]);
    shapes.polygon(&[at(0.02, 0.82), at(0.13, 0.94), at(0.15, 0.72)]);
    if let Some(ears) = shapes.finish() {
        builder.push_path(&ears);
    }
    builder.finish()
}

fn dog(foot: Spot, size: f32, facing: f32) -> Option<tiny_skia::Path> {
    let at = |aside: f32, up: f32| (foot.0 + size * aside * facing, foot.1 - size * up);
    polygon(&[
        at(-0.36, 0.0),
        at(-0.37, 0.26),
        at(-0.42, 0.4),
        at(-0.58, 0.58),
        at(-0.52, 0.62),
        at(-0.36, 0.5),
        at(0.14, 0.52),
        at(0.25, 0.66),
        at(0.22, 0.78),
        at(0.3, 0.84),
        at(0.37, 0.76),
        at(0.57, 0.66),
        at(0.57, 0.59),
        at(0.42, 0.55),
        at(0.36, 0.36),
        at(0.32, 0.24),
        at(0.31, 0.0),
        at(0.24, 0.0),
        at(0.22, 0.24),
        at(-0.18, 0.25),
        at(-0.27, 0.16),
        at(-0.28, 0.0),
    ])
}

/// Draws a sailing boat on the water with its reflection.
pub fn boat(stage: &mut Stage, spot: Spot, size: f32) {
    let (x, y) = spot;
    let sunward = stage.light_side(x);
    let hull_tone = stage.palette.near.mix(stage.palette.lit(stage.palette.accent, 0.1), 0.4);
    let sail = stage.palette.lit(hex(0xF8_F2_E6), 0.1).mix(stage.palette.glow, 0.15);
    for (flip, opacity) in [(-0.6_f32, 0.28), (1.0, 1.0)] {
        let at = |aside: f32, up: f32| (x + size * aside, y - size * up * flip);
        let main = [at(0.02, 0.2), at(0.02, 1.05), at(0.2, 0.7), at(0.4, 0.22)];
        let jib = [at(-0.02, 0.24), at(-0.02, 0.96), at(-0.36, 0.24)];
        let (bright, shade) = (sail, sail.mix(stage.palette.near, 0.35));
        stage.canvas.polygon(&main, if sunward > 0.0 { bright } else { shade }, opacity);
        stage.canvas.polygon(&jib, if sunward > 0.0 { shade } else { bright }, opacity);
        stage.canvas.line(&[at(0.0, 0.1), at(0.0, 1.1)], size * 0.022, stage.palette.near, opacity);
        let hull = [at(-0.44, 0.16), at(-0.3, -0.03), at(0.3, -0.03), at(0.48, 0.18), at(0.0, 0.12)];
        stage.canvas.polygon(&hull, hull_tone, opacity);
    }
    let wake = stage.palette.sky[2].lighter(0.2);
    stage.canvas.oval((x, y + size * 0.03), (size * 0.55, size * 0.012), wake, 0.6);
    if stage.brief.is_dim() {
        let lamp = (x, y - size * 1.12);
        stage.canvas.glow(lamp, size * 0.3, stage.palette.lamp, 0.8);
        stage.canvas.glow_oval((x, y + size * 0.2), (size * 0.08, size * 0.32), stage.palette.lamp, 0.4);
    }
}

/// Draws a car from its side.
pub fn car(stage: &mut Stage, foot: Spot, size: f32) {
    let way = stage.light_side(foot.0);
    let at = |aside: f32, up: f32| (foot.0 + size * aside * way, foot.1 - size * up);
    let paint = stage.palette.lit(stage.palette.accent, 0.0).mix(stage.palette.near, 0.2);
    stage.canvas.oval((foot.0, foot.1), (size * 0.56, size * 0.035), stage.palette.near, 0.6);
    let body = [
        at(-0.5, 0.08),
        at(-0.51, 0.2),
        at(-0.42, 0.25),
        at(-0.28, 0.4),
        at(0.08, 0.41),
        at(0.24, 0.26),
        at(0.46, 0.22),
        at(0.51, 0.14),
        at(0.5, 0.08),
    ];
    stage.canvas.fade(
        polygon(&body).as_ref(),
        (foot.1 - size * 0.4, paint.mix(stage.palette.glow, 0.35)),
        (foot.1, paint.mix(stage.palette.near, 0.45)),
    );
    let glass = stage.palette.sky[1].mix(stage.palette.near, 0.35);
    stage.canvas.polygon(&[at(-0.34, 0.265), at(-0.25, 0.37), at(-0.1, 0.38), at(-0.1, 0.265)], glass, 1.0);
    stage.canvas.polygon(&[at(-0.07, 0.265), at(-0.07, 0.38), at(0.06, 0.38), at(0.17, 0.265)], glass, 1.0);
    for wheel in [-0.3, 0.3] {
        stage.canvas.circle(at(wheel, 0.085), size * 0.092, stage.palette.near, 1.0);
        stage.canvas.circle(
            at(wheel, 0.085),
            size * 0.042,
            stage.palette.haze.mix(stage.palette.near, 0.4),
            1.0,
        );
    }
    stage.canvas.circle(at(-0.5, 0.18), size * 0.022, hex(0xE8_30_28), 1.0);
    let lamp = at(0.49, 0.165);
    stage.canvas.circle(lamp, size * 0.025, stage.palette.lamp.lighter(0.6), 1.0);
    if stage.brief.is_dim() {
        stage.canvas.glow(lamp, size * 0.28, stage.palette.lamp, 0.9);
        let cone = [lamp, at(1.5, 0.22), at(1.5, -0.06)];
        stage.canvas.blend(
            polygon(&cone).as_ref(),
            (lamp, stage.palette.lamp.paint(0.5)),
            (at(1.5, 0.1), stage.palette.lamp.paint(0.0)),
        );
    }
}

/// Draws a train with lit windows on rails across the picture.
pub fn train(stage: &mut Stage, rail: f32, tall: f32) {
    let mut dice = stage.dice("train");
    let (width, way) = (stage.canvas.width, stage.light_side(stage.focus));
    let paint = stage.palette.lit(stage.palette.accent, 0.05).mix(stage.palette.near, 0.2);
    let front = if way > 0.0 { width * dice.range(0.66, 0.86) } else { width * dice.range(0.14, 0.34) };
    let bed = stage.palette.lit(hex(0x6A_62_5C), 0.1).mix(stage.palette.near, 0.4);
    stage.canvas.rect((0.0, rail), (width, tall * 0.14), bed, 1.0);
    stage.canvas.rect(
        (0.0, rail - tall * 0.02),
        (width, tall * 0.03),
        stage.palette.haze.mix(stage.palette.near, 0.3),
        1.0,
    );
    let long = tall * 2.7;
    let lit = stage.brief.is_dim();
    let glass = if lit { stage.palette.lamp } else { stage.palette.sky[1].mix(stage.palette.near, 0.3) };
    let cars = (width / long).ceil() as u32 + 1;
    for number in 0..cars.min(24) {
        let nose = front - way * number as f32 * long * 1.03;
        let at = |back: f32, up: f32| (nose - way * back * long, rail - tall * (0.1 + up * 0.9));
        let slope = if number == 0 { 0.16 } else { 0.0 };
        let body = [
            at(0.0, 0.08),
            at(slope * 0.3, 0.45),
            at(slope, 0.95),
            at(slope + 0.03, 1.0),
            at(0.98, 1.0),
            at(1.0, 0.95),
            at(1.0, 0.08),
        ];
        stage.canvas.fade(
            polygon(&body).as_ref(),
            (rail - tall, paint.mix(stage.palette.glow, 0.3)),
            (rail, paint.mix(stage.palette.near, 0.5)),
        );
        let band = [at(slope * 0.5, 0.5), at(slope * 0.44, 0.42), at(1.0, 0.42), at(1.0, 0.5)];
        stage.canvas.polygon(&band, stage.palette.lit(hex(0xF2_EC_E0), 0.05), 0.85);
        for pane in 0..6 {
            let start = slope + 0.07 + (0.9 - slope) * pane as f32 / 6.0;
            let stop = start + (0.9 - slope) / 6.0 * 0.66;
            stage.canvas.polygon(
                &[at(start, 0.58), at(start, 0.86), at(stop, 0.86), at(stop, 0.58)],
                glass,
                0.95,
            );
        }
        for bogie in [0.18, 0.3, 0.7, 0.82] {
            stage.canvas.circle(at(bogie, 0.0), tall * 0.085, stage.palette.near, 1.0);
        }
    }
    if lit {
        let lamp = (front - way * long * 0.02, rail - tall * 0.36);
        stage.canvas.glow(lamp, tall * 0.7, stage.palette.lamp, 0.9);
        let cone = [
            lamp,
            (lamp.0 + way * tall * 4.0, lamp.1 - tall * 0.5),
            (lamp.0 + way * tall * 4.0, lamp.1 + tall * 0.45),
        ];
        stage.canvas.blend(
            polygon(&cone).as_ref(),
            (lamp, stage.palette.lamp.paint(0.4)),
            ((lamp.0 + way * tall * 4.0, lamp.1), stage.palette.lamp.paint(0.0)),
        );
        stage.canvas.glow_oval(
            (front - way * width * 0.3, rail + tall * 0.1),
            (width * 0.4, tall * 0.3),
            stage.palette.lamp,
            0.2,
        );
    }
}
