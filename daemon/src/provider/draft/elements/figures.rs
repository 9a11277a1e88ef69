//! People as rim-lit silhouettes, from a distant walker to a portrait.

use tiny_skia::PathBuilder;

use crate::provider::draft::brief::Camera;
use crate::provider::draft::canvas::{Shapes, Spot, polygon};
use crate::provider::draft::dice::Dice;
use crate::provider::draft::keywords::Word;
use crate::provider::draft::stage::Stage;
use crate::provider::draft::style::Style;
use crate::provider::draft::tone::{Tone, hex};

const PEOPLE: [Word; 7] =
    [Word::Keeper, Word::OldMan, Word::Girl, Word::Boy, Word::Woman, Word::Robot, Word::Person];

/// Everyone that the prompt names.
pub fn draw(stage: &mut Stage) {
    let mut dice = stage.dice("figures");
    let cast: Vec<Word> = PEOPLE.into_iter().filter(|who| stage.brief.has(*who)).collect();
    if stage.brief.has(Word::Crowd) {
        crowd(stage, &mut dice);
    }
    let Some(lead) = cast.first().copied().or(stage.brief.has(Word::Pair).then_some(Word::Woman)) else { return };
    if stage.brief.camera == Camera::CloseUp {
        portrait(stage, lead);
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
    // "Woman" and "girl" often name one person twice; a second lead needs another stature or a word for two.
    let second = cast.get(1).copied().filter(|other| *other != Word::Person && stature(*other) < stature(lead));
    let partner = second.or_else(|| stage.brief.has(Word::Pair).then_some(Word::Person));
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

/// Cloth that reads against both a dark and a bright ground.
fn cloth(stage: &Stage, local: Tone) -> Tone {
    stage.palette.near.mix(stage.palette.lit(local, 0.0), 0.42)
}

/// One person, feet on the spot.
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

/// Coat, dark parts (legs, hair) and skin, as three tones.
fn silhouette(stage: &mut Stage, foot: Spot, height: f32, who: Word, [coat, dark, skin]: [Tone; 3]) {
    let (x, base) = foot;
    let at = |aside: f32, up: f32| (x + height * aside, base - height * up);
    let head = at(0.0, 0.905);
    let skirt = matches!(who, Word::Girl | Word::Woman);
    for leg in [-0.045_f32, 0.045] {
        stage.canvas.line(&[at(leg, 0.012), at(leg * 0.8, 0.46)], height * if skirt { 0.042 } else { 0.07 }, dark, 1.0);
    }
    let hem = if skirt { (0.155, 0.3) } else if who == Word::Keeper { (0.12, 0.24) } else { (0.085, 0.42) };
    let body = [at(-hem.0, hem.1), at(-0.085, 0.6), at(-0.105, 0.77), at(-0.05, 0.825), at(0.05, 0.825), at(0.105, 0.77), at(0.085, 0.6), at(hem.0, hem.1)];
    for arm in [-1.0_f32, 1.0] {
        stage.canvas.line(&[at(arm * 0.095, 0.77), at(arm * 0.13, 0.6), at(arm * 0.11, 0.45)], height * 0.048, coat, 1.0);
    }
    stage.canvas.polygon(&body, coat, 1.0);
    stage.canvas.rect((head.0 - height * 0.022, base - height * 0.86), (height * 0.044, height * 0.05), skin, 1.0);
    if who == Word::Robot {
        stage.canvas.rect((head.0 - height * 0.07, head.1 - height * 0.06), (height * 0.14, height * 0.12), coat, 1.0);
        stage.canvas.rect((head.0 - height * 0.045, head.1 - height * 0.02), (height * 0.09, height * 0.025), stage.palette.lamp, 1.0);
        stage.canvas.line(&[(head.0, head.1 - height * 0.06), (head.0, head.1 - height * 0.12)], height * 0.01, coat, 1.0);
        return;
    }
    stage.canvas.oval(head, (height * 0.056, height * 0.068), skin, 1.0);
    match who {
        Word::Girl | Word::Woman => {
            let hair = [at(-0.066, 0.92), at(-0.05, 0.985), at(0.05, 0.985), at(0.066, 0.92), at(0.084, 0.74), at(-0.084, 0.74)];
            stage.canvas.polygon(&hair, dark, 1.0);
            stage.canvas.oval((head.0, head.1 - height * 0.018), (height * 0.066, height * 0.068), dark, 1.0);
        }
        Word::Keeper | Word::OldMan => {
            stage.canvas.oval((head.0, head.1 - height * 0.04), (height * 0.06, height * 0.042), dark, 1.0);
            stage.canvas.rect((head.0 - height * 0.088, head.1 - height * 0.036), (height * 0.176, height * 0.018), dark, 1.0);
            if who == Word::OldMan {
                stage.canvas.line(&[at(0.15, 0.0), at(0.13, 0.45)], height * 0.018, dark, 1.0);
            }
        }
        _ => stage.canvas.oval((head.0, head.1 - height * 0.022), (height * 0.062, height * 0.056), dark, 1.0),
    }
}

fn umbrella(stage: &mut Stage, foot: Spot, height: f32) {
    let centre = (foot.0 + height * 0.07, foot.1 - height * 0.98);
    let (wide, tall) = (height * 0.34, height * 0.2);
    stage.canvas.line(&[(centre.0, foot.1 - height * 0.5), (centre.0, centre.1 - tall)], height * 0.014, stage.palette.near, 1.0);
    let mut builder = PathBuilder::new();
    builder.move_to(centre.0 - wide, centre.1);
    builder.cubic_to(centre.0 - wide * 0.8, centre.1 - tall * 1.35, centre.0 + wide * 0.8, centre.1 - tall * 1.35, centre.0 + wide, centre.1);
    for bay in 0..4 {
        let right = centre.0 + wide - wide * 0.5 * bay as f32;
        builder.quad_to(right - wide * 0.25, centre.1 - tall * 0.3, right - wide * 0.5, centre.1);
    }
    let accent = stage.palette.lit(stage.palette.accent, 0.0).mix(stage.palette.accent, 0.35);
    stage.canvas.fade(builder.finish().as_ref(), (centre.1 - tall, accent.lighter(0.12)), (centre.1, accent.mix(stage.palette.near, 0.35)));
}

/// Many people, small and dark, the farther the smaller.
fn crowd(stage: &mut Stage, dice: &mut Dice) {
    let width = stage.canvas.width;
    let rows = 4;
    for row in 0..rows {
        let nearness = row as f32 / (rows - 1) as f32;
        let height = stage.unit * (0.09 + 0.15 * nearness);
        let base = stage.horizon + (stage.floor - stage.horizon) * (0.4 + 0.62 * nearness);
        let tone = stage.palette.lit(hex(0x3A_40_50), 0.4 * (1.0 - nearness)).mix(stage.palette.near, 0.5 * nearness);
        let mut shapes = Shapes::default();
        let mut x = -height * dice.unit();
        while x < width + height {
            let tall = height * dice.range(0.86, 1.1);
            let y = base + height * dice.range(-0.06, 0.06);
            shapes.circle((x, y - tall * 0.92), tall * 0.07);
            shapes.polygon(&[(x - tall * 0.1, y), (x - tall * 0.12, y - tall * 0.78), (x - tall * 0.05, y - tall * 0.84), (x + tall * 0.05, y - tall * 0.84), (x + tall * 0.12, y - tall * 0.78), (x + tall * 0.1, y)]);
            x += height * dice.range(0.26, 0.62);
        }
        stage.canvas.fill(shapes.finish().as_ref(), tone, 1.0);
    }
}

/// Head and shoulders, lit along one edge.
fn portrait(stage: &mut Stage, who: Word) {
    let size = stage.unit * 0.92;
    let (x, base) = (stage.canvas.width * 0.5 + (stage.focus - stage.canvas.width * 0.5) * 0.5, stage.canvas.height + 2.0);
    let side = stage.light_side(x);
    let blur = stage.palette.haze;
    stage.canvas.veil(0.0, stage.canvas.height, blur, |_| 0.22);
    stage.canvas.glow((x + side * size * 0.3, base - size * 0.6), size * 0.7, stage.palette.glow, 0.35);
    let coat = if matches!(who, Word::Girl | Word::Woman) { stage.palette.accent } else { hex(0x3A_4C_66) };
    let cloth = stage.palette.lit(coat, 0.0).mix(stage.palette.near, 0.35);
    let skin = stage.palette.lit(hex(0xEA_BE_9C), 0.0).mix(hex(0xEA_BE_9C), 0.25);
    let hair = if who == Word::OldMan { stage.palette.lit(hex(0xD8_D4_CC), 0.0) } else { stage.palette.near.mix(hex(0x3A_28_24), 0.4) };
    let bust = Bust { x, base, size, side };
    let rim = stage.palette.glow.lighter(0.35);
    let edge = size * 0.012 * side;
    Bust { x: x + edge, ..bust }.draw(stage, who, [rim, rim, rim], false);
    bust.draw(stage, who, [cloth, hair, skin], true);
}

#[derive(Clone, Copy)]
struct Bust {
    x: f32,
    base: f32,
    size: f32,
    side: f32,
}

impl Bust {
    fn at(self, aside: f32, up: f32) -> Spot {
        (self.x + self.size * aside, self.base - self.size * up)
    }

    fn draw(self, stage: &mut Stage, who: Word, [cloth, hair, skin]: [Tone; 3], inside: bool) {
        let long = matches!(who, Word::Girl | Word::Woman);
        let size = self.size;
        if long {
            let back = [self.at(-0.2, 0.62), self.at(-0.16, 0.8), self.at(0.16, 0.8), self.at(0.2, 0.62), self.at(0.235, 0.2), self.at(-0.235, 0.2)];
            stage.canvas.polygon(&back, hair, 1.0);
        }
        let mut shoulders = PathBuilder::new();
        let spots = [self.at(-0.46, 0.0), self.at(-0.45, 0.24), self.at(-0.2, 0.27), self.at(-0.075, 0.33)];
        let [corner, outer, inner, neck] = spots;
        shoulders.move_to(corner.0, corner.1);
        shoulders.cubic_to(outer.0, outer.1, inner.0, inner.1, neck.0, neck.1);
        let mirrored = spots.map(|(x, y)| (self.x * 2.0 - x, y));
        let [far_corner, far_outer, far_inner, far_neck] = mirrored;
        shoulders.line_to(far_neck.0, far_neck.1);
        shoulders.cubic_to(far_inner.0, far_inner.1, far_outer.0, far_outer.1, far_corner.0, far_corner.1);
        shoulders.close();
        stage.canvas.rect(self.at(-0.065, 0.48), (size * 0.13, size * 0.2), skin.mix(stage.palette.near, if inside { 0.35 } else { 0.0 }), 1.0);
        stage.canvas.fade(shoulders.finish().as_ref(), (self.base - size * 0.33, cloth), (self.base, cloth.mix(stage.palette.near, 0.4)));
        stage.canvas.oval(self.at(0.0, 0.6), (size * 0.145, size * 0.185), skin, 1.0);
        if inside {
            self.face(stage, skin, hair);
        }
        stage.canvas.fill(self.fringe(long).as_ref(), hair, 1.0);
        if who == Word::Keeper {
            stage.canvas.polygon(&[self.at(-0.18, 0.69), self.at(-0.16, 0.83), self.at(0.16, 0.83), self.at(0.18, 0.69)], cloth.darker(0.3), 1.0);
            stage.canvas.rect(self.at(-0.2, 0.705), (size * 0.4, size * 0.03), cloth.darker(0.5), 1.0);
        }
    }

    /// Hair over the forehead.
    fn fringe(self, long: bool) -> Option<tiny_skia::Path> {
        let temple = if long { 0.5 } else { 0.6 };
        polygon(&[
            self.at(-0.165, temple), self.at(-0.175, 0.7), self.at(-0.12, 0.79), self.at(0.0, 0.825), self.at(0.12, 0.79),
            self.at(0.175, 0.7), self.at(0.165, temple), self.at(0.135, 0.66), self.at(0.06, 0.7), self.at(-0.05, 0.685), self.at(-0.13, 0.66),
        ])
    }

    fn face(self, stage: &mut Stage, skin: Tone, hair: Tone) {
        let size = self.size;
        let shade = skin.mix(stage.palette.near, 0.38);
        let half = [self.at(-0.145 * self.side, 0.62), self.at(-0.12 * self.side, 0.49), self.at(-0.03 * self.side, 0.418), self.at(-0.055 * self.side, 0.55), self.at(-0.04 * self.side, 0.7), self.at(-0.12 * self.side, 0.72)];
        stage.canvas.polygon(&half, shade, 0.6);
        let ink = hair.mix(stage.palette.near, 0.6);
        let big = if stage.style == Style::Anime { 1.6 } else { 1.0 };
        for eye in [-0.06, 0.06] {
            stage.canvas.oval(self.at(eye, 0.592), (size * 0.017, size * 0.013 * big), ink, 0.95);
            stage.canvas.line(&[self.at(eye - 0.03, 0.63), self.at(eye + 0.03, 0.634)], size * 0.008, ink, 0.85);
            stage.canvas.circle(self.at(eye + 0.006 * self.side, 0.597), size * 0.0045 * big, skin.lighter(0.7), 0.9);
        }
        stage.canvas.line(&[self.at(0.004, 0.575), self.at(0.018 * self.side, 0.53), self.at(0.0, 0.525)], size * 0.006, shade, 0.9);
        stage.canvas.line(&[self.at(-0.035, 0.482), self.at(0.0, 0.477), self.at(0.035, 0.483)], size * 0.009, skin.mix(hex(0xA0_30_30), 0.5), 0.9);
    }
}
