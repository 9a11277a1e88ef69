//! Buildings in a landscape: castles, ruins, bridges, houses and platforms.

use tiny_skia::PathBuilder;

use crate::canvas::{Shapes, Spot, polygon};
use crate::stage::Stage;
use crate::tone::{Tone, hex};

/// Draws a castle on a rise. Its windows are lit in low light.
pub fn castle(stage: &mut Stage, foot: Spot, size: f32) {
    let mut dice = stage.dice("castle");
    let stone = stage.palette.lit(hex(0x8C_84_88), 0.3);
    let (x, base) = foot;
    mound(stage, foot, size);
    let mut shapes = Shapes::default();
    let mut roofs = Shapes::default();
    let mut windows = Shapes::default();
    shapes.rect((x - size * 0.5, base - size * 0.28), (size, size * 0.3));
    for (aside, wide, tall) in
        [(-0.5, 0.15, 0.55), (-0.24, 0.13, 0.78), (0.02, 0.2, 1.08), (0.3, 0.12, 0.7), (0.5, 0.16, 0.5)]
    {
        let tall = tall * dice.range(0.88, 1.12);
        let (left, top) = (x + size * (aside - wide * 0.5), base - size * tall);
        shapes.rect((left, top), (size * wide, size * tall));
        shapes.rect((left - size * 0.014, top), (size * (wide + 0.028), size * 0.05));
        roofs.polygon(&[
            (left - size * 0.03, top),
            (left + size * wide * 0.5, top - size * wide * 1.7),
            (left + size * (wide + 0.03), top),
        ]);
        windows.rect((left + size * wide * 0.38, top + size * 0.12), (size * wide * 0.24, size * 0.07));
    }
    for tooth in 0..12 {
        shapes.rect(
            (x - size * 0.5 + size * tooth as f32 / 12.0, base - size * 0.325),
            (size * 0.045, size * 0.05),
        );
    }
    stage.canvas.fade(
        shapes.finish().as_ref(),
        (base - size, stone.mix(stage.palette.glow, 0.12)),
        (base, stone.mix(stage.palette.near, 0.5)),
    );
    let tile = stage.palette.lit(stage.palette.accent, 0.3).mix(stage.palette.near, 0.3);
    stage.canvas.fill(roofs.finish().as_ref(), tile, 1.0);
    let lit = stage.brief.is_dim();
    stage.canvas.fill(
        windows.finish().as_ref(),
        if lit { stage.palette.lamp } else { stage.palette.near },
        0.9,
    );
    stage.canvas.rect(
        (x - size * 0.07, base - size * 0.17),
        (size * 0.14, size * 0.18),
        stage.palette.near,
        0.8,
    );
}

/// Draws the rise under a castle.
fn mound(stage: &mut Stage, (x, base): Spot, size: f32) {
    let mut rise = PathBuilder::new();
    rise.move_to(x - size * 1.7, base + size * 0.2);
    rise.cubic_to(
        x - size * 0.9,
        base + size * 0.16,
        x - size * 0.9,
        base - size * 0.04,
        x - size * 0.45,
        base - size * 0.04,
    );
    rise.line_to(x + size * 0.5, base - size * 0.04);
    rise.cubic_to(
        x + size * 0.95,
        base - size * 0.02,
        x + size * 0.9,
        base + size * 0.18,
        x + size * 1.8,
        base + size * 0.2,
    );
    rise.close();
    let rock = stage.palette.lit(hex(0x6A_72_58), 0.25);
    stage.canvas.fade(
        rise.finish().as_ref(),
        (base, rock),
        (base + size * 0.2, rock.mix(stage.palette.lit(hex(0x72_A0_50), 0.3), 0.8)),
    );
}

/// Draws broken columns and an arch.
pub fn ruins(stage: &mut Stage, foot: Spot, size: f32) {
    let mut dice = stage.dice("ruins");
    let stone = stage.palette.lit(hex(0xB8_AA_94), 0.12);
    let shade = stone.mix(stage.palette.near, 0.5);
    let sunward = stage.light_side(foot.0);
    for number in 0..6 {
        let x = foot.0 + size * (number as f32 - 2.5) * 0.3;
        let tall = size * if number == 2 || number == 3 { 0.8 } else { dice.range(0.2, 0.72) };
        let wide = size * 0.1;
        let top = foot.1 - tall;
        let broken = [
            (x, foot.1),
            (x, top + wide * dice.range(0.0, 0.6)),
            (x + wide * 0.5, top),
            (x + wide, top + wide * dice.range(0.0, 0.5)),
            (x + wide, foot.1),
        ];
        let (one, other) =
            if sunward < 0.0 { (stone.lighter(0.12), shade) } else { (shade, stone.lighter(0.12)) };
        stage.canvas.blend(
            polygon(&broken).as_ref(),
            ((x, 0.0), one.paint(1.0)),
            ((x + wide, 0.0), other.paint(1.0)),
        );
        stage.canvas.rect((x - wide * 0.16, foot.1 - wide * 0.35), (wide * 1.32, wide * 0.4), shade, 1.0);
    }
    let left = foot.0 - size * 0.2;
    let beam = [
        (left, foot.1 - size * 0.78),
        (left + size * 0.62, foot.1 - size * 0.78),
        (left + size * 0.55, foot.1 - size * 0.92),
        (left + size * 0.3, foot.1 - size * 1.0),
        (left + size * 0.04, foot.1 - size * 0.9),
    ];
    stage.canvas.polygon(&beam, stone.mix(shade, 0.4), 1.0);
    for _ in 0..9 {
        let (x, block) = (foot.0 + size * dice.range(-1.1, 1.1), size * dice.range(0.03, 0.09));
        let y = foot.1 + size * dice.range(-0.02, 0.1);
        stage.canvas.polygon(
            &[(x, y), (x + block * 0.2, y - block), (x + block * 1.2, y - block * 0.8), (x + block * 1.5, y)],
            shade.mix(stone, 0.4),
            1.0,
        );
    }
}

/// Draws a stone arch bridge across the whole picture, or a suspension bridge over wide water.
pub fn bridge(stage: &mut Stage, deck: f32, hanging: bool) {
    let (width, unit) = (stage.canvas.width, stage.unit);
    if hanging {
        hanging_bridge(stage, deck);
        return;
    }
    let stone = stage.palette.lit(hex(0x8E_80_78), 0.25);
    let mut builder = PathBuilder::new();
    let water = stage.horizon + unit * 0.004;
    let span = unit * 0.36;
    let count = (width / span).ceil() as u32 + 1;
    builder.move_to(-1.0, deck);
    builder.line_to(width + 1.0, deck);
    builder.line_to(width + 1.0, water);
    let offset = (stage.focus / span).fract() * span;
    for number in (0..count).rev() {
        let (left, pier) = (number as f32 * span - span + offset, span * 0.09);
        let spring = water - (water - deck) * 0.3;
        builder.line_to(left + span - pier, water);
        builder.line_to(left + span - pier, spring);
        builder.cubic_to(
            left + span - pier * 2.0,
            deck + unit * 0.014,
            left + pier * 2.0,
            deck + unit * 0.014,
            left + pier,
            spring,
        );
        builder.line_to(left + pier, water);
    }
    builder.line_to(-1.0, water);
    builder.close();
    stage.canvas.fade(
        builder.finish().as_ref(),
        (deck, stone.mix(stage.palette.glow, 0.14)),
        (water, stone.mix(stage.palette.near, 0.45)),
    );
    stage.canvas.rect((0.0, deck - unit * 0.02), (width, unit * 0.024), stone.lighter(0.06), 1.0);
}

fn hanging_bridge(stage: &mut Stage, deck: f32) {
    let (width, unit) = (stage.canvas.width, stage.unit);
    let steel = stage.palette.lit(stage.palette.accent, 0.25).mix(stage.palette.near, 0.25);
    stage.canvas.rect((0.0, deck), (width, unit * 0.014), steel, 1.0);
    let (left, right, top) = (width * 0.22, width * 0.78, deck - unit * 0.3);
    for tower in [left, right] {
        for leg in [-0.014, 0.014] {
            stage.canvas.rect(
                (tower + unit * (leg - 0.006), top),
                (unit * 0.012, stage.horizon - top + unit * 0.02),
                steel,
                1.0,
            );
        }
        for rung in [0.1, 0.35, 0.6] {
            stage.canvas.rect(
                (tower - unit * 0.02, top + (deck - top) * rung),
                (unit * 0.04, unit * 0.01),
                steel,
                1.0,
            );
        }
    }
    let sag = |x: f32| {
        let along = if x < left {
            (x - left) / left
        } else if x > right {
            (x - right) / left
        } else {
            (x - left) / (right - left) * 2.0 - 1.0
        };
        let drop = if x < left || x > right { along.abs() } else { 1.0 - along * along };
        top + (deck - top) * 0.96 * drop.clamp(0.0, 1.0)
    };
    let cable: Vec<Spot> = (0..=80).map(|step| step as f32 / 80.0 * width).map(|x| (x, sag(x))).collect();
    stage.canvas.line(&cable, unit * 0.006, steel, 1.0);
    for (x, y) in cable.iter().step_by(2) {
        stage.canvas.line(&[(*x, *y), (*x, deck)], unit * 0.0018, steel, 0.8);
    }
}

/// Draws a small house with a chimney and smoke. Its windows are lit in low light.
pub fn house(stage: &mut Stage, foot: Spot, size: f32) {
    let (x, base) = foot;
    let sunward = stage.light_side(x);
    let plaster = stage.palette.lit(hex(0xE6_DA_C6), 0.08);
    let shade = plaster.mix(stage.palette.near, 0.45);
    let tile = stage.palette.lit(stage.palette.accent, 0.06).mix(stage.palette.near, 0.2);
    let top = base - size * 0.42;
    stage.canvas.rect((x - size * 0.5, top), (size, size * 0.42), shade.mix(plaster, 0.35), 1.0);
    let gable_at = x + sunward * size * 0.24;
    let gable = [
        (gable_at - size * 0.26, base),
        (gable_at - size * 0.26, top),
        (gable_at, top - size * 0.3),
        (gable_at + size * 0.26, top),
        (gable_at + size * 0.26, base),
    ];
    let roof = [
        (x - size * 0.57, top + size * 0.02),
        (x - size * 0.42, top - size * 0.3),
        (x + size * 0.42, top - size * 0.3),
        (x + size * 0.57, top + size * 0.02),
    ];
    let chimney = x - sunward * size * 0.26;
    stage.canvas.rect((chimney, top - size * 0.44), (size * 0.09, size * 0.24), shade, 1.0);
    smoke(stage, (chimney + size * 0.045, top - size * 0.46), size);
    stage.canvas.fade(
        polygon(&roof).as_ref(),
        (top - size * 0.3, tile.mix(stage.palette.glow, 0.22)),
        (top, tile),
    );
    stage.canvas.polygon(&gable, plaster, 1.0);
    stage.canvas.line(
        &[
            (gable_at - size * 0.31, top + size * 0.04),
            (gable_at, top - size * 0.32),
            (gable_at + size * 0.31, top + size * 0.04),
        ],
        size * 0.045,
        tile.darker(0.15),
        1.0,
    );
    let lit = stage.brief.is_dim();
    let glass = if lit { stage.palette.lamp } else { stage.palette.near.mix(stage.palette.sky[1], 0.4) };
    for (middle, wide) in
        [(gable_at, 0.14), (x - sunward * size * 0.2, 0.11), (x - sunward * size * 0.38, 0.11)]
    {
        let corner = (middle - size * wide * 0.5, base - size * 0.3);
        stage.canvas.rect(corner, (size * wide, size * 0.14), glass, 1.0);
        stage.canvas.line(
            &[(middle, corner.1), (middle, corner.1 + size * 0.14)],
            size * 0.012,
            plaster,
            0.9,
        );
        if lit {
            stage.canvas.glow((middle, corner.1 + size * 0.07), size * 0.32, stage.palette.lamp, 0.45);
        }
    }
}

fn smoke(stage: &mut Stage, from: Spot, size: f32) {
    let mut dice = stage.dice("smoke");
    let tone = stage.palette.cloud.mix(stage.palette.haze, 0.4);
    for puff in 0..7 {
        let along = puff as f32 / 6.0;
        let spot = (from.0 + size * 0.3 * along * along, from.1 - size * 0.6 * along);
        stage.canvas.circle(
            spot,
            size * (0.025 + 0.06 * along) * dice.range(0.85, 1.2),
            tone,
            0.3 * (1.0 - along * 0.8),
        );
    }
}

/// Draws the platform of a station with its roof and posts, on the near side of the track.
pub fn platform(stage: &mut Stage) {
    let (width, height, unit) = (stage.canvas.width, stage.canvas.height, stage.unit);
    let top = stage.floor - unit * 0.06;
    let stone = stage.palette.lit(hex(0x8C_86_82), 0.05).mix(stage.palette.near, 0.35);
    let slab = [(0.0, top), (width, top), (width, height), (0.0, height)];
    stage.canvas.fade(
        polygon(&slab).as_ref(),
        (top, stone.lighter(0.1)),
        (height, stone.mix(stage.palette.near, 0.5)),
    );
    stage.canvas.rect(
        (0.0, top + unit * 0.02),
        (width, unit * 0.012),
        stage.palette.lit(hex(0xE8_C0_40), 0.0),
        0.85,
    );
    let steel: Tone = stage.palette.near.mix(stage.palette.lit(hex(0x3C_50_54), 0.0), 0.5);
    let eaves = height * 0.12;
    let mut x = stage.focus - unit * 1.3;
    while x < width + unit * 0.3 {
        if x > -unit * 0.1 {
            stage.canvas.rect((x, eaves), (unit * 0.026, top - eaves), steel, 1.0);
            for side in [-1.0, 1.0] {
                let brace = [
                    (x + unit * 0.013, eaves + unit * 0.14),
                    (x + unit * (0.013 + 0.1 * side), eaves + unit * 0.02),
                ];
                stage.canvas.line(&brace, unit * 0.012, steel, 1.0);
            }
            if stage.brief.is_dim() {
                let lamp = (x + unit * 0.15, eaves + unit * 0.06);
                stage.canvas.circle(lamp, unit * 0.013, stage.palette.lamp.lighter(0.5), 1.0);
                stage.canvas.glow(lamp, unit * 0.24, stage.palette.lamp, 0.5);
            }
        }
        x += unit * 0.62;
    }
    let roof = [(0.0, 0.0), (width, 0.0), (width, eaves), (0.0, eaves)];
    stage.canvas.fade(polygon(&roof).as_ref(), (0.0, steel.darker(0.3)), (eaves, steel));
    let mut fringe = Shapes::default();
    let mut x = 0.0;
    while x < width {
        fringe.polygon(&[
            (x, eaves - 1.0),
            (x + unit * 0.03, eaves - 1.0),
            (x + unit * 0.015, eaves + unit * 0.025),
        ]);
        x += unit * 0.03;
    }
    stage.canvas.fill(fringe.finish().as_ref(), steel, 1.0);
    stage.floor = top + unit * 0.08;
}
