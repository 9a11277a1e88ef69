//! The coast: headland, lighthouse with its beam, and the quay of a harbour.

use crate::brief::Hour;
use crate::canvas::{Shapes, Spot, polygon};
use crate::dice::Contour;
use crate::stage::Stage;
use crate::tone::{Tone, WHITE, hex};

/// Draws a rocky headland that falls to the sea. Returns a position on its top for another object.
pub fn headland(stage: &mut Stage, centre: f32, rise: f32) -> Spot {
    let mut dice = stage.dice("headland");
    let contour = Contour::new(&mut dice);
    let (unit, base) = (stage.unit, stage.horizon + stage.unit * 0.035);
    let outward = if centre > stage.canvas.width * 0.5 { 1.0 } else { -1.0 };
    let edge = if outward > 0.0 { stage.canvas.width } else { 0.0 };
    let steps = 40;
    let reach = unit * 0.34;
    let far = (edge - centre).abs() + 4.0;
    let mut outline = vec![(centre - outward * reach, base)];
    for step in 0..=steps {
        let along = step as f32 / steps as f32;
        let x = centre - outward * reach + outward * (reach + far) * along;
        let from_top = ((x - centre) * -outward / reach).max(0.0);
        let height = rise * unit * (1.0 - from_top.powf(1.6)).max(0.0);
        let rough = (contour.rough(along * 14.0) - 0.5) * unit * 0.035 * (0.3 + from_top);
        let flat = (x - centre).abs() < unit * 0.06;
        outline.push((x, base - height - if flat { 0.0 } else { rough }));
    }
    outline.push((edge + outward * 4.0, base));
    let rock = stage.palette.lit(hex(0x5E_58_56), 0.14);
    let top = base - rise * unit;
    stage.canvas.fade(
        polygon(&outline).as_ref(),
        (top, rock.lighter(0.05)),
        (base, rock.mix(stage.palette.near, 0.6)),
    );
    let mut cracks = Shapes::default();
    for _ in 0..16 {
        let along = dice.range(-0.2, 0.8);
        let x = centre - outward * reach * along;
        let y = base - rise * unit * dice.range(0.05, 0.75) * (1.0 - along.max(0.0).powf(1.6)).max(0.0);
        let (long, tall) = (unit * dice.range(0.008, 0.03), unit * dice.range(0.01, 0.04));
        cracks.polygon(&[(x, y), (x + long, y + tall * 0.4), (x + long * 0.3, y + tall)]);
    }
    stage.canvas.fill(cracks.finish().as_ref(), stage.palette.near, 0.3);
    let foam = WHITE.under(stage.palette.ambient.lighter(0.2));
    stage.canvas.oval((centre - outward * reach * 0.5, base), (reach * 0.62, unit * 0.006), foam, 0.6);
    (centre, top + unit * 0.008)
}

/// Draws a lighthouse with its base at `foot`. Its lamp is lit in low light.
pub fn lighthouse(stage: &mut Stage, foot: Spot, height: f32) {
    let (wide, narrow) = (height * 0.115, height * 0.07);
    let (x, bottom) = foot;
    let top = bottom - height * 0.78;
    let wall = stage.palette.lit(hex(0xF4_EE_E4), 0.06);
    let shade = wall.mix(stage.palette.near, 0.5);
    let side = stage.light_side(x);
    let at = |along: f32| wide + (narrow - wide) * along;
    let slab = |low: f32, high: f32| {
        let (y0, y1) = (bottom - height * 0.78 * low, bottom - height * 0.78 * high);
        [(x - at(low), y0), (x - at(high), y1), (x + at(high), y1), (x + at(low), y0)]
    };
    let across = |left: Tone, right: Tone| {
        if side < 0.0 {
            ((x - wide, 0.0), left.paint(1.0), right.paint(1.0))
        } else {
            ((x - wide, 0.0), right.paint(1.0), left.paint(1.0))
        }
    };
    let (start, from, to) = across(wall, shade);
    stage.canvas.blend(polygon(&slab(0.0, 1.0)).as_ref(), (start, from), ((x + wide, 0.0), to));
    let stripe = stage.palette.lit(stage.palette.accent, 0.05);
    let (start, from, to) = across(stripe, stripe.mix(stage.palette.near, 0.55));
    for low in [0.18, 0.5, 0.82] {
        stage.canvas.blend(polygon(&slab(low, low + 0.15)).as_ref(), (start, from), ((x + wide, 0.0), to));
    }
    let dark = stage.palette.near;
    stage.canvas.rect((x - narrow * 1.6, top - height * 0.022), (narrow * 3.2, height * 0.026), dark, 1.0);
    let room = (narrow * 0.82, height * 0.1);
    let lamp = (x, top - height * 0.022 - room.1 * 0.5);
    let lit = stage.brief.is_dim() || stage.brief.hour == Hour::Dawn;
    if lit {
        beam(stage, lamp, height);
    }
    let glass = if lit { stage.palette.lamp.lighter(0.5) } else { stage.palette.sky[1].lighter(0.2) };
    stage.canvas.rect((x - room.0, lamp.1 - room.1 * 0.5), (room.0 * 2.0, room.1), glass, 1.0);
    for bar in [-1.0, -0.33, 0.33, 1.0] {
        let at = x + room.0 * bar;
        stage.canvas.line(
            &[(at, lamp.1 - room.1 * 0.5), (at, lamp.1 + room.1 * 0.5)],
            height * 0.006,
            dark,
            1.0,
        );
    }
    let eaves = lamp.1 - room.1 * 0.5;
    let dome = [
        (x - room.0 * 1.35, eaves),
        (x - room.0 * 0.5, eaves - height * 0.06),
        (x, eaves - height * 0.1),
        (x + room.0 * 0.5, eaves - height * 0.06),
        (x + room.0 * 1.35, eaves),
    ];
    stage.canvas.polygon(&dome, stripe.mix(dark, 0.4), 1.0);
    stage.canvas.rect((x - narrow * 0.3, bottom - height * 0.09), (narrow * 0.6, height * 0.09), dark, 0.85);
    for along in [0.4, 0.72] {
        let pane = if lit { stage.palette.lamp } else { dark };
        stage.canvas.rect(
            (x - narrow * 0.16, bottom - height * 0.78 * along),
            (narrow * 0.32, height * 0.035),
            pane,
            0.95,
        );
    }
    if lit {
        stage.canvas.glow(lamp, height * 0.34, stage.palette.lamp, 0.95);
    }
}

/// Draws two cones of light from the lamp. The one that points into the picture is brighter.
fn beam(stage: &mut Stage, lamp: Spot, height: f32) {
    let mut dice = stage.dice("beam");
    let inward = if lamp.0 > stage.canvas.width * 0.5 { -1.0 } else { 1.0 };
    let reach = stage.canvas.width.max(height) * 0.95;
    let tilt = dice.range(-0.12, 0.06);
    let strength = if stage.brief.is_dark() { 0.62 } else { 0.36 };
    for (way, share) in [(inward, 1.0), (-inward, 0.6)] {
        for (spread, opacity) in [(0.15, 0.5), (0.07, 0.6)] {
            let arm = |turn: f32| (lamp.0 + way * reach, lamp.1 + reach * (tilt * way * inward + turn));
            stage.canvas.blend(
                polygon(&[lamp, arm(-spread), arm(spread)]).as_ref(),
                (lamp, stage.palette.lamp.lighter(0.4).paint(strength * share * opacity)),
                ((lamp.0 + way * reach, lamp.1), stage.palette.lamp.paint(0.0)),
            );
        }
    }
}

/// Draws a stone quay along the bottom with bollards, and a crane across the water.
pub fn quay(stage: &mut Stage) {
    let (width, height, unit) = (stage.canvas.width, stage.canvas.height, stage.unit);
    let top = stage.floor - unit * 0.05;
    let stone = stage.palette.lit(hex(0x8A_80_78), 0.05).mix(stage.palette.near, 0.35);
    let outline = [(0.0, top), (width, top), (width, height), (0.0, height)];
    stage.canvas.fade(
        polygon(&outline).as_ref(),
        (top, stone.lighter(0.1)),
        (height, stone.mix(stage.palette.near, 0.6)),
    );
    stage.canvas.rect((0.0, top), (width, unit * 0.008), stone.mix(stage.palette.glow, 0.4), 0.9);
    let mut joints = Shapes::default();
    let mut x = 0.0;
    while x < width {
        joints.rect((x, top), ((unit * 0.003).max(0.6), height - top));
        x += unit * 0.16;
    }
    stage.canvas.fill(joints.finish().as_ref(), stage.palette.near, 0.4);
    let mut x = unit * 0.12;
    while x < width {
        stage.canvas.rect(
            (x - unit * 0.012, top - unit * 0.035),
            (unit * 0.024, unit * 0.04),
            stage.palette.near,
            1.0,
        );
        stage.canvas.oval(
            (x, top - unit * 0.035),
            (unit * 0.02, unit * 0.009),
            stage.palette.near.lighter(0.08),
            1.0,
        );
        x += unit * 0.42;
    }
    stage.floor = top + unit * 0.02;
}

/// Draws masts and cranes on the far side of a harbour.
pub fn far_masts(stage: &mut Stage) {
    let mut dice = stage.dice("masts");
    let tone = stage.palette.lit(hex(0x4A_50_5C), 0.42);
    let (base, unit) = (stage.horizon + 1.0, stage.unit);
    let mut x = unit * 0.05;
    while x < stage.canvas.width {
        if dice.chance(0.3) {
            let (tall, arm) = (unit * dice.range(0.14, 0.22), unit * dice.range(0.08, 0.14) * dice.side());
            stage.canvas.line(
                &[(x - unit * 0.02, base), (x, base - tall), (x + unit * 0.02, base)],
                unit * 0.005,
                tone,
                1.0,
            );
            stage.canvas.line(
                &[(x - arm * 0.5, base - tall * 0.92), (x + arm, base - tall * 1.15)],
                unit * 0.006,
                tone,
                1.0,
            );
            stage.canvas.line(
                &[(x + arm, base - tall * 1.15), (x + arm, base - tall * 0.6)],
                unit * 0.002,
                tone,
                1.0,
            );
        } else {
            let tall = unit * dice.range(0.05, 0.11);
            stage.canvas.line(&[(x, base), (x, base - tall)], unit * 0.003, tone, 1.0);
            let hull = [
                (x - tall * 0.35, base - tall * 0.1),
                (x + tall * 0.4, base - tall * 0.12),
                (x + tall * 0.3, base),
                (x - tall * 0.28, base),
            ];
            stage.canvas.polygon(&hull, tone, 1.0);
        }
        x += unit * dice.range(0.06, 0.17);
    }
}
