//! Composes a picture: selects the elements of each layer and places them, from the sky to the rain in front.

use super::brief::{Camera, Hour};
use super::elements::{
    city, coast, figures, guests, interior, land, landmarks, plants, sky, space, street, water, weather,
};
use super::keywords::Word;
use super::stage::Stage;
use super::style::Style;
use super::tone::{Tone, hex};

/// The name of a layer, for progress reports, and the function that draws it.
pub type Layer = (&'static str, fn(&mut Stage));

/// The layers of every picture in painting order.
pub const LAYERS: [Layer; 6] = [
    ("sky", paint_sky),
    ("backdrop", paint_backdrop),
    ("ground", paint_ground),
    ("landmarks", paint_landmarks),
    ("figures", paint_figures),
    ("weather", weather::before),
];

fn paint_sky(stage: &mut Stage) {
    if stage.brief.place == Word::Space {
        space::draw(stage);
        return;
    }
    sky::draw(stage);
    weather::behind(stage);
}

/// Returns whether there are high mountains behind the place: if the prompt names them, else with the probability `otherwise`.
fn wants_mountains(stage: &Stage, otherwise: f32) -> bool {
    stage.brief.has(Word::Mountains) || stage.dice("with mountains").chance(otherwise)
}

fn paint_backdrop(stage: &mut Stage) {
    let wide = if stage.brief.camera == Camera::Wide { 1.2 } else { 1.0 };
    match stage.brief.place {
        Word::Space | Word::Street => {}
        Word::Room => outside(stage),
        Word::City => city::skyline(stage, 3, 1.25 * wide),
        Word::Rooftops => city::skyline(stage, 2, 0.8),
        Word::Mountains => land::mountains(stage, 3, 1.35 * wide),
        Word::Sea => {
            if wants_mountains(stage, 0.3) {
                land::mountains(stage, 1, 0.42);
            }
            if stage.brief.has(Word::City) {
                city::skyline(stage, 2, 0.6);
            }
        }
        Word::Harbour => {
            land::mountains(stage, 1, 0.5);
            city::skyline(stage, 1, 0.32);
            coast::far_masts(stage);
        }
        Word::Desert => {
            if wants_mountains(stage, 0.55) {
                land::mountains(stage, 1, 0.5);
            }
        }
        Word::Forest => {
            if wants_mountains(stage, 0.5) {
                land::mountains(stage, 2, 0.9);
            }
        }
        Word::Station => {
            if stage.brief.has(Word::City) || stage.dice("station").chance(0.6) {
                city::skyline(stage, 2, 0.7);
            } else {
                land::mountains(stage, 2, 0.7);
            }
        }
        _ => {
            if wants_mountains(stage, 0.5) {
                land::mountains(stage, 2, 0.75 * wide);
            }
            if stage.brief.has(Word::City) {
                city::skyline(stage, 2, 0.7);
            }
        }
    }
    let open = !matches!(stage.brief.place, Word::Room | Word::Space | Word::Street);
    if stage.brief.has(Word::Castle) && open {
        // The castle is behind the ground, which hides its foot.
        let foot = (stage.canvas.width - stage.focus, stage.horizon - stage.unit * 0.03);
        landmarks::castle(stage, foot, stage.unit * 0.36);
    }
    if stage.brief.has(Word::Forest)
        && matches!(stage.brief.place, Word::Lake | Word::Mountains | Word::Snowfield)
    {
        plants::forest(stage, 1);
    }
}

/// Draws the view from the window of a room.
fn outside(stage: &mut Stage) {
    let green = if stage.brief.has(Word::Snowfall) { hex(0xEA_EE_F6) } else { meadow_green(stage) };
    match stage.dice("outside").count(0, 2) {
        _ if stage.brief.has(Word::Sea) => water::surface(stage, 0.6),
        _ if stage.brief.has(Word::City) || stage.brief.has(Word::Street) => city::skyline(stage, 3, 1.2),
        0 if !stage.brief.has(Word::Mountains) => city::skyline(stage, 3, 1.2),
        1 => {
            land::mountains(stage, 2, 1.0);
            plants::forest(stage, 2);
        }
        _ => {
            land::mountains(stage, 2, 1.0);
            land::hills(stage, green, 3, 0.12);
        }
    }
    weather::falling(stage);
}

fn meadow_green(stage: &Stage) -> Tone {
    match (stage.style, stage.brief.hour) {
        (Style::Ghibli | Style::Anime, _) => hex(0x7C_BE_50),
        (_, Hour::Dusk) => hex(0x9A_9A_50),
        _ => stage.dice("green").pick([hex(0x72_A0_50), hex(0x86_A6_58), hex(0x5E_94_56)]),
    }
}

fn paint_ground(stage: &mut Stage) {
    let green = meadow_green(stage);
    match stage.brief.place {
        Word::Sea => {
            sea_marks(stage);
            let calm = if stage.brief.has(Word::Storm) { 0.05 } else { 0.55 };
            water::surface(stage, calm);
        }
        Word::Harbour => water::surface(stage, 0.8),
        Word::Lake => {
            land_strip(stage, green);
            if stage.brief.has(Word::Bridge) {
                let deck = stage.horizon - stage.unit * 0.12;
                let hanging = stage.dice("bridge").chance(0.4) || stage.brief.has(Word::City);
                landmarks::bridge(stage, deck, hanging);
            }
            water::surface(stage, 0.85);
        }
        Word::City => city_ground(stage),
        Word::Rooftops => city::rooftops(stage),
        Word::Street => street::draw(stage),
        Word::Desert => {
            land::dunes(stage);
            if !stage.brief.has(Word::Ruins) {
                plants::cacti(stage);
            }
        }
        Word::Snowfield => land::snowfield(stage),
        Word::Forest => plants::forest(stage, 4),
        Word::Mountains => {
            let local = if stage.brief.has(Word::Snowfall) { hex(0xE8_EE_F6) } else { green.darker(0.18) };
            land::hills(stage, local, 3, 0.12);
        }
        Word::Station => land::plain(stage, hex(0x7A_76_6C), false),
        Word::Space | Word::Room => {}
        _ => {
            let local = if stage.brief.has(Word::Snowfall) { hex(0xEA_EE_F6) } else { green };
            land::hills(stage, local, 4, 0.1);
        }
    }
}

/// Draws the objects in the sea and behind it, which the water mirrors.
fn sea_marks(stage: &mut Stage) {
    let dice = &mut stage.dice("sea marks");
    if stage.brief.has(Word::Lighthouse) {
        let side = if stage.focus > stage.canvas.width * 0.5 { -1.0 } else { 1.0 };
        let reach = (stage.canvas.width * 0.5 - stage.unit * 0.16).clamp(0.0, stage.canvas.width * 0.3);
        let centre = stage.canvas.width * 0.5 + side * reach;
        let top = coast::headland(stage, centre, dice.range(0.12, 0.17));
        let share = if stage.brief.camera == Camera::Wide { 0.32 } else { 0.46 };
        let height = (stage.unit * share).min(top.1 * 0.86);
        coast::lighthouse(stage, top, height);
    } else if stage.brief.has(Word::House) || dice.chance(0.35) {
        let centre = stage.canvas.width * if stage.focus > stage.canvas.width * 0.5 { 0.14 } else { 0.86 };
        let top = coast::headland(stage, centre, dice.range(0.06, 0.12));
        if stage.brief.has(Word::House) {
            landmarks::house(stage, (top.0, top.1 + stage.unit * 0.01), stage.unit * 0.16);
        }
    }
    if stage.brief.has(Word::Bridge) {
        let deck = stage.horizon - stage.unit * 0.13;
        landmarks::bridge(stage, deck, true);
    }
}

/// Draws a low wooded bank along the far side of a lake.
fn land_strip(stage: &mut Stage, green: Tone) {
    let keep = stage.horizon;
    stage.horizon = keep - stage.unit * 0.012;
    let tone = green.darker(0.2);
    let mut dice = stage.dice("bank");
    let contour = super::dice::Contour::new(&mut dice);
    let far = stage.palette.lit(tone, 0.45);
    let mut spots = vec![(-1.0, keep + 2.0)];
    for step in 0..=80 {
        let along = step as f32 / 80.0;
        let rise = stage.unit * (0.02 + 0.05 * contour.rough(along * 9.0));
        spots.push((along * (stage.canvas.width + 2.0) - 1.0, keep - rise));
    }
    spots.push((stage.canvas.width + 1.0, keep + 2.0));
    stage.canvas.polygon(&spots, far, 1.0);
    stage.horizon = keep;
}

/// Draws the ground in front of a city: water, or rooftops.
fn city_ground(stage: &mut Stage) {
    let mut dice = stage.dice("city ground");
    if stage.brief.has(Word::Bridge) {
        let deck = stage.horizon - stage.unit * 0.07;
        landmarks::bridge(stage, deck, true);
    }
    if dice.chance(0.65) || stage.brief.has(Word::Bridge) || stage.brief.has(Word::Lake) {
        water::surface(stage, 0.8);
    } else {
        city::rooftops(stage);
    }
}

fn paint_landmarks(stage: &mut Stage) {
    let place = stage.brief.place;
    let (unit, width) = (stage.unit, stage.canvas.width);
    let opposite = width - stage.focus;
    let has = |word: Word| stage.brief.has(word);
    let (ruins, house, train) = (has(Word::Ruins), has(Word::House), has(Word::Train));
    let boat =
        has(Word::Boat) || (place == Word::Harbour) || (place == Word::Sea && stage.dice("boat").chance(0.3));
    let wet = matches!(place, Word::Sea | Word::Lake | Word::Harbour);
    let middle = stage.horizon + stage.ground_height() * 0.2;
    if boat && wet {
        let spot = (opposite * 0.7 + stage.focus * 0.3, stage.horizon + stage.ground_height() * 0.3);
        guests::boat(stage, spot, unit * 0.2);
    }
    if ruins && !wet && place != Word::Room {
        landmarks::ruins(stage, (opposite, middle + unit * 0.08), unit * 0.34);
    }
    if house && !wet && !matches!(place, Word::Room | Word::City | Word::Street | Word::Space) {
        // A train passes in front of the house, so the house is farther away.
        let (down, share) = if train { (0.12, 0.15) } else { (0.34, 0.24) };
        let foot = (opposite, stage.horizon + stage.ground_height() * down);
        landmarks::house(stage, foot, unit * share);
    }
    if (train || place == Word::Station) && !matches!(place, Word::Room | Word::Space) {
        let rail = stage.horizon + stage.ground_height() * if place == Word::Station { 0.5 } else { 0.42 };
        guests::train(stage, rail, unit * if place == Word::Station { 0.26 } else { 0.14 });
    }
    if stage.brief.has(Word::Car) && !wet && place != Word::Room {
        let foot = (opposite * 0.6 + width * 0.2, stage.floor - unit * 0.03);
        guests::car(stage, foot, unit * 0.36);
    }
    foreground(stage);
}

/// Draws the strip nearest to the camera, on which figures stand.
fn foreground(stage: &mut Stage) {
    let mut dice = stage.dice("foreground");
    let green = meadow_green(stage);
    match stage.brief.place {
        Word::Room => interior::draw(stage),
        Word::Station => landmarks::platform(stage),
        Word::Harbour => coast::quay(stage),
        Word::Sea => water::shore(stage, hex(0x8A_76_60), true),
        Word::Lake => {
            water::shore(stage, green.darker(0.2), false);
            plants::grass(stage, green, false);
        }
        Word::Meadow => {
            if stage.brief.has(Word::Forest) || dice.chance(0.6) {
                let (width, opposite) = (stage.canvas.width, stage.canvas.width - stage.focus);
                let outward = if opposite > stage.focus { 1.0 } else { -1.0 };
                let tree_at = (opposite + outward * stage.unit * 0.3).clamp(width * 0.06, width * 0.94);
                let foot = (tree_at, stage.horizon + stage.ground_height() * 0.45);
                let leaves =
                    if stage.brief.hour == Hour::Dusk { hex(0xC8_7A_3A) } else { green.darker(0.22) };
                plants::tree(stage, foot, stage.unit * 0.42, leaves, "lone tree");
            }
            if !stage.brief.has(Word::Snowfall) {
                plants::grass(stage, green, true);
            }
        }
        Word::Mountains | Word::Forest if stage.brief.has(Word::Snowfall) => {}
        Word::Mountains | Word::Forest => {
            plants::grass(stage, green.darker(0.25), false);
            if dice.chance(0.45) {
                plants::overhang(stage);
            }
        }
        Word::City => {
            let top = stage.floor - stage.unit * 0.03;
            let stone = stage.palette.near.mix(stage.palette.haze, 0.12);
            let (width, height) = (stage.canvas.width, stage.canvas.height);
            stage.canvas.rect((0.0, top), (width, height - top), stone, 1.0);
            stage.canvas.rect(
                (0.0, top),
                (width, stage.unit * 0.01),
                stone.mix(stage.palette.glow, 0.35),
                1.0,
            );
            stage.floor = top + stage.unit * 0.03;
        }
        _ => {}
    }
}

fn paint_figures(stage: &mut Stage) {
    weather::between(stage);
    let by_chance = stage.dice("birds by chance").chance(0.35);
    let open = !matches!(stage.brief.place, Word::Room | Word::Space) && !stage.brief.is_overcast();
    if stage.brief.has(Word::Birds) {
        guests::birds(stage, 13);
    } else if by_chance && open && stage.brief.hour != Hour::Night {
        guests::birds(stage, 5);
    }
    figures::draw(stage);
    guests::animals(stage);
}
