//! People as silhouettes with a bright rim, from a distant walker to a portrait.

use tiny_skia::PathBuilder;

use super::portrait;
use crate::brief::Camera;
use crate::canvas::{Shapes, Spot};
use crate::dice::Dice;
use crate::keywords::Word;
use crate::stage::Stage;
use crate::tone::{Tone, hex};

const PEOPLE: [Word; 7] =
    [Word::Keeper, Word::OldMan, Word::Girl, Word::Boy, Word::Woman, Word::Robot, Word::Person];

/// Draws all people that the prompt names.
pub fn draw(stage: &mut Stage) {
    let mut dice = stage.dice("figures");
    let cast: Vec<Word> = PEOPLE.into_iter().filter(|who| stage.brief.has(*who)).collect();
    if stage.brief.has(Word::Crowd) {
        crowd(stage, &mut dice);
    }
    let Some(lead) = cast.first().copied().or(stage.brief.has(Word::Pair).then_some(Word::Woman)) else {
        return;
    };
    if stage.brief.camera == Camera::CloseUp {
        portrait::draw(stage, lead);
        return;
    }
    let height = stage.unit
        * match stage.brief.camera {
            Camera::Wide => 0.13,
            Camera::Aerial => 0.1,
            _ => 0.3,
        };
    let foot = (stage.focus, stage.floor);
    person(stage, foot, height * stature(lead), lead);
    // "Woman" and "girl" often mean the same person, so a second figure needs a smaller stature or a word for two people.
    let second =
        cast.get(1).copied().filter(|other| *other != Word::Person && stature(*other) < stature(lead));
    let partner = second.or_else(|| {
        stage.brief.has(Word::Pair).then_some(match lead {
            Word::Girl => Word::Boy,
            Word::Boy => Word::Girl,
            Word::Person => Word::Woman,
            _ => Word::Person,
        })
    });
    if let Some(partner) = partner {
        let aside = height * 0.36 * stage.light_side(foot.0);
        person(stage, (foot.0 + aside, foot.1 + height * 0.01), height * stature(partner), partner);
    }
}

fn stature(who: Word) -> f32 {
    match who {
        Word::Girl => 0.84,
        Word::Boy => 0.78,
        Word::OldMan | Word::Woman => 0.96,
        Word::Robot => 1.12,
        _ => 1.0,
    }
}

/// Returns a colour of cloth that is visible against both a dark and a bright ground.
fn cloth(stage: &Stage, local: Tone) -> Tone {
    stage.palette.near.mix(stage.palette.lit(local, 0.0).mix(local, 0.2), 0.58)
}

/// Draws one person with the feet at `foot`.
pub fn person(stage: &mut Stage, foot: Spot, height: f32, who: Word) {
    let side = stage.light_side(foot.0);
    let coat = match who {
        Word::Keeper => hex(0xD8_9A_2A),
        Word::Girl | Word::Woman => stage.palette.accent,
        Word::Robot => hex(0x8E_9C_AC),
        Word::OldMan => hex(0x6E_62_58),
        _ => hex(0x3E_54_70),
    };
    shadow(stage, foot, height, side);
    if stage.brief.is_dark() {
        // A faint light behind the figure separates it from dark ground.
        let middle = (foot.0, foot.1 - height * 0.55);
        stage.canvas.glow_oval(middle, (height * 0.55, height * 0.75), stage.palette.glow, 0.22);
    }
    let rim = stage.palette.glow.lighter(0.25);
    let tone = cloth(stage, coat);
    let edge = (height * 0.012).max(0.5) * side;
    silhouette(stage, (foot.0 + edge, foot.1), height, who, [rim, rim, rim]);
    let skin = cloth(stage, hex(0xD8_A2_80)).mix(stage.palette.lit(hex(0xD8_A2_80), 0.0), 0.3);
    silhouette(stage, foot, height, who, [tone, stage.palette.near, skin]);
    if stage.brief.has(Word::Rain) && matches!(who, Word::Girl | Word::Woman | Word::Person) {
        umbrella(stage, foot, height);
    }
    if who == Word::Keeper {
        let lantern = (foot.0 + side * height * 0.2, foot.1 - height * 0.36);
        stage.canvas.circle(lantern, height * 0.028, stage.palette.lamp.lighter(0.4), 1.0);
        stage.canvas.glow(lantern, height * 0.5, stage.palette.lamp, 0.6);
    }
}

fn shadow(stage: &mut Stage, foot: Spot, height: f32, side: f32) {
    let near = stage.palette.near;
    let length = height * 0.42;
    stage.canvas.oval((foot.0 - side * length * 0.5, foot.1), (length * 0.75, height * 0.022), near, 0.42);
}

/// Draws a figure in three tones: coat, dark parts (legs, hair) and skin.
fn silhouette(stage: &mut Stage, foot: Spot, height: f32, who: Word, [coat, dark, skin]: [Tone; 3]) {
    let (x, base) = foot;
    let at = |aside: f32, up: f32| (x + height * aside, base - height * up);
    let neck = at(0.0, 0.86);
    let skirt = matches!(who, Word::Girl | Word::Woman);
    for leg in [-0.045_f32, 0.045] {
        stage.canvas.line(
            &[at(leg, 0.012), at(leg * 0.8, 0.46)],
            height * if skirt { 0.042 } else { 0.07 },
            dark,
            1.0,
        );
    }
    let hem = if skirt {
        (0.155, 0.3)
    } else if who == Word::Keeper {
        (0.12, 0.24)
    } else {
        (0.085, 0.42)
    };
    let body = [
        at(-hem.0, hem.1),
        at(-0.085, 0.6),
        at(-0.105, 0.77),
        at(-0.05, 0.825),
        at(0.05, 0.825),
        at(0.105, 0.77),
        at(0.085, 0.6),
        at(hem.0, hem.1),
    ];
    for arm in [-1.0_f32, 1.0] {
        stage.canvas.line(
            &[at(arm * 0.095, 0.77), at(arm * 0.13, 0.6), at(arm * 0.11, 0.45)],
            height * 0.048,
            coat,
            1.0,
        );
    }
    stage.canvas.polygon(&body, coat, 1.0);
    stage.canvas.rect((neck.0 - height * 0.022, neck.1), (height * 0.044, height * 0.05), skin, 1.0);
    head(stage, foot, height, who, [coat, dark, skin]);
}

/// Draws head, hair and hat.
fn head(stage: &mut Stage, (x, base): Spot, height: f32, who: Word, [coat, dark, skin]: [Tone; 3]) {
    let at = |aside: f32, up: f32| (x + height * aside, base - height * up);
    let head = at(0.0, 0.905);
    if who == Word::Robot {
        stage.canvas.rect(
            (head.0 - height * 0.07, head.1 - height * 0.06),
            (height * 0.14, height * 0.12),
            coat,
            1.0,
        );
        stage.canvas.rect(
            (head.0 - height * 0.045, head.1 - height * 0.02),
            (height * 0.09, height * 0.025),
            stage.palette.lamp,
            1.0,
        );
        stage.canvas.line(
            &[(head.0, head.1 - height * 0.06), (head.0, head.1 - height * 0.12)],
            height * 0.01,
            coat,
            1.0,
        );
        return;
    }
    stage.canvas.oval(head, (height * 0.056, height * 0.068), skin, 1.0);
    match who {
        Word::Girl | Word::Woman => {
            let hair = [
                at(-0.066, 0.92),
                at(-0.05, 0.985),
                at(0.05, 0.985),
                at(0.066, 0.92),
                at(0.084, 0.74),
                at(-0.084, 0.74),
            ];
            stage.canvas.polygon(&hair, dark, 1.0);
            stage.canvas.oval((head.0, head.1 - height * 0.018), (height * 0.066, height * 0.068), dark, 1.0);
        }
        Word::Keeper | Word::OldMan => {
            stage.canvas.oval((head.0, head.1 - height * 0.04), (height * 0.06, height * 0.042), dark, 1.0);
            stage.canvas.rect(
                (head.0 - height * 0.088, head.1 - height * 0.036),
                (height * 0.176, height * 0.018),
                dark,
                1.0,
            );
            if who == Word::OldMan {
                stage.canvas.line(&[at(0.15, 0.0), at(0.13, 0.45)], height * 0.018, dark, 1.0);
            }
        }
        _ => {
            stage.canvas.oval((head.0, head.1 - height * 0.022), (height * 0.062, height * 0.056), dark, 1.0);
        }
    }
}

fn umbrella(stage: &mut Stage, foot: Spot, height: f32) {
    let centre = (foot.0 + height * 0.07, foot.1 - height * 0.98);
    let (wide, tall) = (height * 0.34, height * 0.2);
    stage.canvas.line(
        &[(centre.0, foot.1 - height * 0.5), (centre.0, centre.1 - tall)],
        height * 0.014,
        stage.palette.near,
        1.0,
    );
    let mut builder = PathBuilder::new();
    builder.move_to(centre.0 - wide, centre.1);
    builder.cubic_to(
        centre.0 - wide * 0.8,
        centre.1 - tall * 1.35,
        centre.0 + wide * 0.8,
        centre.1 - tall * 1.35,
        centre.0 + wide,
        centre.1,
    );
    for bay in 0..4 {
        let right = centre.0 + wide - wide * 0.5 * bay as f32;
        builder.quad_to(right - wide * 0.25, centre.1 - tall * 0.3, right - wide * 0.5, centre.1);
    }
    let accent = stage.palette.lit(stage.palette.accent, 0.0).mix(stage.palette.accent, 0.7);
    stage.canvas.fade(
        builder.finish().as_ref(),
        (centre.1 - tall, accent.lighter(0.12)),
        (centre.1, accent.mix(stage.palette.near, 0.35)),
    );
}

/// Draws many people, small and dark. Those farther away are smaller.
fn crowd(stage: &mut Stage, dice: &mut Dice) {
    let width = stage.canvas.width;
    let rows = 4;
    for row in 0..rows {
        let nearness = row as f32 / (rows - 1) as f32;
        let height = stage.unit * (0.09 + 0.15 * nearness);
        let base = stage.horizon + (stage.floor - stage.horizon) * (0.4 + 0.62 * nearness);
        let tone = stage
            .palette
            .lit(hex(0x3A_40_50), 0.4 * (1.0 - nearness))
            .mix(stage.palette.near, 0.5 * nearness);
        let mut shapes = Shapes::default();
        let mut x = -height * dice.unit();
        while x < width + height {
            let tall = height * dice.range(0.86, 1.1);
            let y = base + height * dice.range(-0.06, 0.06);
            shapes.circle((x, y - tall * 0.92), tall * 0.07);
            shapes.polygon(&[
                (x - tall * 0.1, y),
                (x - tall * 0.12, y - tall * 0.78),
                (x - tall * 0.05, y - tall * 0.84),
                (x + tall * 0.05, y - tall * 0.84),
                (x + tall * 0.12, y - tall * 0.78),
                (x + tall * 0.1, y),
            ]);
            x += height * dice.range(0.26, 0.62);
        }
        stage.canvas.fill(shapes.finish().as_ref(), tone, 1.0);
    }
}
