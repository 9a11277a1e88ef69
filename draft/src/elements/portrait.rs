//! A portrait: head and shoulders in front of a softened background.

use tiny_skia::PathBuilder;

use crate::canvas::{Spot, polygon};
use crate::keywords::Word;
use crate::stage::Stage;
use crate::style::Style;
use crate::tone::{Tone, hex};

/// Draws head and shoulders, lit along one edge.
pub fn draw(stage: &mut Stage, who: Word) {
    let size = stage.unit * 0.92;
    let (x, base) = (
        stage.canvas.width * 0.5 + (stage.focus - stage.canvas.width * 0.5) * 0.5,
        stage.canvas.height + 2.0,
    );
    let sunward = stage.light_side(x);
    let blur = stage.palette.haze;
    stage.canvas.veil(0.0, stage.canvas.height, blur, |_| 0.22);
    stage.canvas.glow((x + sunward * size * 0.3, base - size * 0.6), size * 0.7, stage.palette.glow, 0.35);
    let coat = if matches!(who, Word::Girl | Word::Woman) { stage.palette.accent } else { hex(0x3A_4C_66) };
    let cloth = stage.palette.lit(coat, 0.0).mix(stage.palette.near, 0.35);
    let skin = stage.palette.lit(hex(0xEA_BE_9C), 0.0).mix(hex(0xEA_BE_9C), 0.25);
    let hair = if who == Word::OldMan {
        stage.palette.lit(hex(0xD8_D4_CC), 0.0)
    } else {
        stage.palette.near.mix(hex(0x3A_28_24), 0.4)
    };
    let bust = Bust { x, base, size, side: sunward };
    let rim = stage.palette.glow.lighter(0.35);
    let edge = size * 0.012 * sunward;
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
            let back = [
                self.at(-0.2, 0.62),
                self.at(-0.16, 0.8),
                self.at(0.16, 0.8),
                self.at(0.2, 0.62),
                self.at(0.235, 0.2),
                self.at(-0.235, 0.2),
            ];
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
        stage.canvas.rect(
            self.at(-0.065, 0.48),
            (size * 0.13, size * 0.2),
            skin.mix(stage.palette.near, if inside { 0.35 } else { 0.0 }),
            1.0,
        );
        stage.canvas.fade(
            shoulders.finish().as_ref(),
            (self.base - size * 0.33, cloth),
            (self.base, cloth.mix(stage.palette.near, 0.4)),
        );
        stage.canvas.oval(self.at(0.0, 0.6), (size * 0.145, size * 0.185), skin, 1.0);
        if inside {
            self.face(stage, skin, hair);
        }
        stage.canvas.fill(self.fringe(long).as_ref(), hair, 1.0);
        stage.canvas.oval(self.at(0.0, 0.755), (size * 0.15, size * 0.085), hair, 1.0);
        if who == Word::Keeper {
            stage.canvas.polygon(
                &[self.at(-0.18, 0.69), self.at(-0.16, 0.83), self.at(0.16, 0.83), self.at(0.18, 0.69)],
                cloth.darker(0.3),
                1.0,
            );
            stage.canvas.rect(self.at(-0.2, 0.705), (size * 0.4, size * 0.03), cloth.darker(0.5), 1.0);
        }
    }

    /// Returns the outline of the hair over the forehead.
    fn fringe(self, long: bool) -> Option<tiny_skia::Path> {
        let temple = if long { 0.5 } else { 0.6 };
        polygon(&[
            self.at(-0.165, temple),
            self.at(-0.175, 0.7),
            self.at(-0.12, 0.79),
            self.at(0.0, 0.825),
            self.at(0.12, 0.79),
            self.at(0.175, 0.7),
            self.at(0.165, temple),
            self.at(0.135, 0.66),
            self.at(0.06, 0.7),
            self.at(-0.05, 0.685),
            self.at(-0.13, 0.66),
        ])
    }

    fn face(self, stage: &mut Stage, skin: Tone, hair: Tone) {
        let size = self.size;
        let shade = skin.mix(stage.palette.near, 0.38);
        let half = [
            self.at(-0.145 * self.side, 0.62),
            self.at(-0.12 * self.side, 0.49),
            self.at(-0.03 * self.side, 0.418),
            self.at(-0.055 * self.side, 0.55),
            self.at(-0.04 * self.side, 0.7),
            self.at(-0.12 * self.side, 0.72),
        ];
        stage.canvas.polygon(&half, shade, 0.6);
        let ink = hair.mix(stage.palette.near, 0.6);
        let big = if stage.style == Style::Anime { 1.6 } else { 1.0 };
        for eye in [-0.06, 0.06] {
            stage.canvas.oval(self.at(eye, 0.592), (size * 0.017, size * 0.013 * big), ink, 0.95);
            stage.canvas.line(
                &[self.at(eye - 0.03, 0.63), self.at(eye + 0.03, 0.634)],
                size * 0.008,
                ink,
                0.85,
            );
            stage.canvas.circle(
                self.at(eye + 0.006 * self.side, 0.597),
                size * 0.0045 * big,
                skin.lighter(0.7),
                0.9,
            );
        }
        stage.canvas.line(
            &[self.at(0.004, 0.575), self.at(0.018 * self.side, 0.53), self.at(0.0, 0.525)],
            size * 0.006,
            shade,
            0.9,
        );
        stage.canvas.line(
            &[self.at(-0.035, 0.482), self.at(0.0, 0.477), self.at(0.035, 0.483)],
            size * 0.009,
            skin.mix(hex(0xA0_30_30), 0.5),
            0.9,
        );
    }
}
