//! Water: reflections of the sky, ripples, the glitter of light, and the shore in front.

use crate::brief::Camera;
use crate::canvas::{Mirrored, Shapes, polygon};
use crate::dice::Contour;
use crate::keywords::Word;
use crate::stage::Stage;
use crate::tone::{Tone, WHITE, hex};

/// Turns everything below the horizon into water that mirrors the picture above it.
pub fn surface(stage: &mut Stage, calm: f32) {
    let mut dice = stage.dice("water");
    let contour = Contour::new(&mut dice);
    let (horizon, unit) = (stage.horizon, stage.unit);
    let depth_of_water = stage.ground_height().max(1.0);
    let water = water_tone(stage);
    let stretch = (horizon / depth_of_water).min(1.0).max((horizon / depth_of_water).min(1.6) * 0.7);
    let far_view = stage.brief.camera == Camera::Aerial;
    let opaque = if far_view { 0.85 } else { 0.55 };
    let restless = unit * 0.03 * (1.0 - calm);
    stage.canvas.mirror(horizon, |depth| {
        let along = depth / depth_of_water;
        // Ripples grow towards the camera. Nearer water shows less of the sky and more of its own colour.
        let wave = contour.at(depth / (unit * (0.004 + 0.02 * along)) * 0.35) - 0.5;
        Mirrored {
            up: depth * stretch + wave * restless * 2.0 * along,
            aside: wave * restless * (0.25 + 1.6 * along),
            tone: water,
            amount: 0.2 + opaque * along.powf(if far_view { 0.35 } else { 1.0 }) + wave * 0.16,
        }
    });
    glitter(stage);
    ripples(stage, calm);
    let haze = stage.palette.haze.mix(stage.palette.sky[2], 0.5);
    stage.canvas.veil(horizon, horizon + unit * 0.05, haze, |y| 0.55 * (1.0 - (y - horizon) / (unit * 0.05)));
}

fn water_tone(stage: &Stage) -> Tone {
    let deep = if stage.brief.place == Word::Sea { hex(0x1C_58_78) } else { hex(0x2A_62_6A) };
    stage.palette.lit(deep, 0.12).mix(stage.palette.sky[0], 0.4)
}

/// Draws the broken reflection of the sun or the moon on the water.
fn glitter(stage: &mut Stage) {
    if stage.brief.is_overcast() {
        return;
    }
    let mut dice = stage.dice("glitter");
    let ground = stage.ground_height();
    let mut shapes = Shapes::default();
    for _ in 0..120 {
        let along = dice.unit().powf(1.5);
        let y = stage.horizon + ground * along;
        let spread = stage.unit * (0.012 + 0.1 * along);
        let x = stage.light.0 + dice.range(-1.0, 1.0) * dice.unit() * spread;
        let long = stage.unit * dice.range(0.006, 0.02) * (0.5 + 1.8 * along);
        let thick = (stage.unit * 0.0012 * (0.7 + 2.0 * along)).max(0.5);
        shapes.polygon(&[(x - long, y), (x, y - thick), (x + long, y), (x, y + thick)]);
    }
    let tone = stage.palette.glow.mix(stage.palette.disc, 0.6);
    stage.canvas.fill(shapes.finish().as_ref(), tone, 0.75);
    let foot = (stage.light.0, stage.horizon + ground * 0.25);
    stage.canvas.glow_oval(foot, (stage.unit * 0.14, ground * 0.45), stage.palette.glow, 0.28);
}

fn ripples(stage: &mut Stage, calm: f32) {
    let mut dice = stage.dice("ripples");
    let mut bright = Shapes::default();
    let mut dark = Shapes::default();
    let count = (70.0 + 90.0 * (1.0 - calm)) * (stage.canvas.width / stage.canvas.height).clamp(0.3, 3.0);
    for number in 0..count as u32 {
        let along = dice.unit().powf(0.8);
        let (x, y) = (dice.range(0.0, stage.canvas.width), stage.horizon + stage.ground_height() * along);
        let long = stage.unit * dice.range(0.01, 0.05) * (0.3 + 1.5 * along);
        let thick = (stage.unit * 0.0016 * (0.3 + 2.0 * along) * (1.6 - calm)).max(0.4);
        let target = if number % 2 == 0 { &mut bright } else { &mut dark };
        target.polygon(&[(x - long, y), (x, y - thick), (x + long, y), (x, y + thick * 0.6)]);
    }
    let (light, shade) = (stage.palette.sky[2].lighter(0.15), water_tone(stage).darker(0.3));
    stage.canvas.fill(bright.finish().as_ref(), light, 0.26);
    stage.canvas.fill(dark.finish().as_ref(), shade, 0.32);
}

/// Draws a dark shore along the bottom for figures to stand on. By the sea, surf breaks on it.
pub fn shore(stage: &mut Stage, local: Tone, surf: bool) {
    let mut dice = stage.dice("shore");
    let contour = Contour::new(&mut dice);
    let (width, height) = (stage.canvas.width, stage.canvas.height);
    let top = stage.floor - stage.unit * 0.03;
    let steps = 70;
    let curve = |along: f32| {
        let hump = 1.0 - ((along * width - stage.focus) / (width * 0.55)).powi(2);
        top - hump.max(-0.6) * stage.unit * 0.05 - contour.rough(along * 5.0) * stage.unit * 0.02
    };
    let edge = |lift: f32| {
        let mut spots = vec![(-1.0, height + 1.0)];
        for step in 0..=steps {
            let along = step as f32 / steps as f32;
            spots.push((along * (width + 2.0) - 1.0, curve(along) - lift));
        }
        spots.push((width + 1.0, height + 1.0));
        spots
    };
    let near = stage.palette.lit(local, 0.0).mix(stage.palette.near, 0.45);
    if surf {
        let foam = WHITE.under(stage.palette.ambient.lighter(0.25)).mix(stage.palette.sky[2], 0.2);
        stage.canvas.polygon(&edge(stage.unit * 0.016), foam, 0.4);
        stage.canvas.polygon(&edge(stage.unit * 0.007), foam, 0.75);
    }
    let rim = near.mix(stage.palette.glow, 0.25);
    stage.canvas.fade(
        polygon(&edge(0.0)).as_ref(),
        (top - stage.unit * 0.06, rim),
        (height, near.mix(stage.palette.near, 0.5)),
    );
    stage.floor = stage.floor.max(curve(stage.focus / width.max(1.0)) + stage.unit * 0.03);
}
