//! Space: nebulae, a planet, and the ground of another world.

use crate::canvas::{Shapes, Spot, polygon};
use crate::keywords::Word;
use crate::stage::Stage;
use crate::tone::hex;

/// Draws the sky of space over the whole picture.
pub fn draw(stage: &mut Stage) {
    let mut dice = stage.dice("space");
    let (width, height, unit) = (stage.canvas.width, stage.canvas.height, stage.unit);
    let dark = stage.palette.sky[0].darker(0.45);
    let middle = stage.palette.sky[1].darker(0.3);
    stage.canvas.rows_of(0.0, height, |y| dark.mix(middle, y / height).bytes());
    let clouds =
        [stage.palette.accent, hex(0x5A_3C_C8), hex(0x1E_7A_B8), stage.palette.sky[2], hex(0xC8_3C_8A)];
    let slope = dice.range(-0.5, 0.5);
    for _ in 0..9 {
        let along = dice.range(-0.5, 0.5);
        let spot = (width * (0.5 + along), height * (0.4 + along * slope) + unit * dice.range(-0.18, 0.18));
        let size = (unit * dice.range(0.25, 0.55), unit * dice.range(0.14, 0.32));
        stage.canvas.glow_oval(spot, size, dice.pick(clouds), dice.range(0.16, 0.34));
    }
    super::sky::stars(stage);
    for _ in 0..5 {
        let spot = (dice.range(0.0, width), dice.range(0.0, height * 0.7));
        stage.canvas.glow(spot, unit * 0.03, stage.palette.disc, 0.9);
    }
    let radius = unit * dice.range(0.2, 0.32);
    let planet_at = (width - stage.focus, height * dice.range(0.3, 0.42));
    planet(stage, planet_at, radius);
    moonscape(stage);
    if stage.brief.has(Word::Spaceship) {
        ship(stage);
    }
}

fn planet(stage: &mut Stage, centre: Spot, radius: f32) {
    let mut dice = stage.dice("planet");
    let body = hex(dice.pick([0xC8_7A_4A, 0x4A_8A_B8, 0xB8_5A_6A, 0x7A_9A_6A, 0xD8_B0_6A]));
    let night = stage.palette.sky[0].darker(0.6);
    let side = dice.side();
    stage.canvas.glow(centre, radius * 1.5, body.lighter(0.3), 0.45);
    stage.canvas.circle(centre, radius, body, 1.0);
    for band in 0..9 {
        let along = band as f32 / 4.5 - 0.9;
        let half = (1.0 - along * along).max(0.0).sqrt() * radius * 0.985;
        let shade = if band % 2 == 0 { body.lighter(0.12) } else { body.darker(0.14) };
        stage.canvas.oval(
            (centre.0, centre.1 + along * radius),
            (half, radius * dice.range(0.03, 0.075)),
            shade,
            0.5,
        );
    }
    // The night side consists of nested shapes that get darker step by step, all of them inside the planet.
    for step in 0..14 {
        let along = step as f32 / 14.0;
        let mut shapes = Shapes::default();
        let terminator = 0.75 - along * 1.1;
        let mut outline = Vec::new();
        for turn in -24..=24 {
            let angle = turn as f32 / 24.0 * std::f32::consts::FRAC_PI_2;
            outline.push((
                centre.0 + side * angle.cos() * radius * 1.004,
                centre.1 + angle.sin() * radius * 1.004,
            ));
        }
        for turn in (-24..=24).rev() {
            let angle = turn as f32 / 24.0 * std::f32::consts::FRAC_PI_2;
            outline.push((
                centre.0 + side * angle.cos() * radius * terminator,
                centre.1 + angle.sin() * radius * 1.004,
            ));
        }
        shapes.polygon(&outline);
        stage.canvas.fill(shapes.finish().as_ref(), night, 0.12);
    }
    if dice.chance(0.55) {
        let tone = body.lighter(0.4);
        for (reach, opacity) in [(1.9, 0.5), (1.7, 0.7), (1.52, 0.4)] {
            let front: Vec<Spot> = (0..=60)
                .map(|step| step as f32 / 60.0 * std::f32::consts::TAU)
                .filter(|angle| angle.sin() > -0.32 || angle.cos().abs() * reach > 1.02)
                .map(|angle| {
                    (
                        centre.0 + angle.cos() * radius * reach,
                        centre.1 + angle.sin() * radius * reach * 0.2 + angle.cos() * radius * 0.22,
                    )
                })
                .collect();
            let behind = |spot: &Spot| spot.1 - (spot.0 - centre.0) * 0.22 / reach < centre.1;
            let mut run = Vec::new();
            for spot in &front {
                let hidden = behind(spot) && (spot.0 - centre.0).hypot(spot.1 - centre.1) < radius;
                if hidden {
                    stage.canvas.line(&run, radius * 0.05, tone, opacity);
                    run.clear();
                } else {
                    run.push(*spot);
                }
            }
            stage.canvas.line(&run, radius * 0.05, tone, opacity);
        }
    }
}

/// Draws a slender ship that crosses the picture with its drive lit.
fn ship(stage: &mut Stage) {
    let mut dice = stage.dice("ship");
    let size = stage.unit * dice.range(0.2, 0.26);
    let (x, y) = (stage.focus, stage.canvas.height * dice.range(0.5, 0.62));
    let way = if stage.focus < stage.canvas.width * 0.5 { 1.0 } else { -1.0 };
    let at = |ahead: f32, up: f32| (x + size * ahead * way, y - size * (up + ahead * 0.16));
    let hull = stage.palette.lit(hex(0xC8_CE_DA), 0.0).lighter(0.3);
    let shade = hull.mix(stage.palette.near, 0.6);
    let flame = stage.palette.lamp;
    let trail = [at(-0.5, 0.05), at(-2.2, 0.0), at(-0.5, -0.05)];
    stage.canvas.blend(
        polygon(&trail).as_ref(),
        (at(-0.5, 0.0), flame.paint(0.8)),
        (at(-2.2, 0.0), flame.paint(0.0)),
    );
    stage.canvas.polygon(&[at(-0.45, 0.04), at(-0.62, 0.26), at(-0.5, 0.27), at(-0.02, 0.07)], shade, 1.0);
    stage.canvas.polygon(
        &[at(-0.45, -0.04), at(-0.56, -0.22), at(-0.44, -0.22), at(0.04, -0.06)],
        shade,
        1.0,
    );
    let body = [
        at(0.72, 0.0),
        at(0.4, 0.09),
        at(-0.4, 0.11),
        at(-0.52, 0.06),
        at(-0.52, -0.06),
        at(-0.4, -0.09),
        at(0.4, -0.07),
    ];
    let ends = ((at(0.0, 0.11), hull.paint(1.0)), (at(0.0, -0.09), shade.paint(1.0)));
    stage.canvas.blend(polygon(&body).as_ref(), ends.0, ends.1);
    stage.canvas.polygon(
        &[at(0.5, 0.045), at(0.36, 0.08), at(0.2, 0.085), at(0.24, 0.05)],
        stage.palette.sky[2].lighter(0.4),
        1.0,
    );
    stage.canvas.polygon(
        &[at(0.1, 0.1), at(0.0, 0.102), at(-0.02, -0.075), at(0.08, -0.07)],
        stage.palette.accent,
        0.9,
    );
    stage.canvas.glow(at(-0.52, 0.0), size * 0.4, flame.lighter(0.3), 1.0);
}

/// Draws ground with craters along the bottom.
fn moonscape(stage: &mut Stage) {
    let grey = hex(0x8A_86_96);
    let keep = stage.horizon;
    stage.horizon = stage.canvas.height * 0.8;
    super::land::hills(stage, grey, 3, 0.08);
    let mut dice = stage.dice("craters");
    for _ in 0..9 {
        let along = dice.unit();
        let centre = (
            dice.range(0.0, stage.canvas.width),
            stage.horizon + stage.ground_height() * (0.4 + 0.55 * along),
        );
        let wide = stage.unit * dice.range(0.02, 0.06) * (0.5 + along);
        let tone = stage.palette.lit(grey, 0.1);
        stage.canvas.oval(centre, (wide, wide * 0.28), tone.darker(0.35), 0.8);
        stage.canvas.oval(
            (centre.0, centre.1 + wide * 0.06),
            (wide * 0.88, wide * 0.2),
            tone.lighter(0.08),
            0.5,
        );
    }
    stage.horizon = keep;
}
