//! The colours of one picture, from the hour, the weather and the style.

use super::brief::{Brief, Hour};
use super::dice::Dice;
use super::keywords::Word;
use super::style::Style;
use super::tone::{Tone, WHITE, hex};

/// The colours of everything that is painted.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    /// The colours of the sky at its top, in its middle and at the horizon.
    pub sky: [Tone; 3],
    /// The colour of the sun or the moon.
    pub disc: Tone,
    /// The colour around the disc, and on edges that face it.
    pub glow: Tone,
    /// The colour of daylight or moonlight on objects.
    pub ambient: Tone,
    /// The colour into which distant objects fade.
    pub haze: Tone,
    /// The colour of the darkest silhouettes, near the camera.
    pub near: Tone,
    /// The colour of lamps and windows.
    pub lamp: Tone,
    /// One strong colour for a scarf, a roof, a sail or a sign.
    pub accent: Tone,
    pub cloud: Tone,
    pub cloud_shade: Tone,
}

impl Palette {
    pub fn new(brief: &Brief, style: Style, dice: &mut Dice) -> Self {
        let base = if style == Style::Cyberpunk { neon(brief, dice) } else { natural(brief.hour, dice) };
        let weathered = if brief.is_overcast() { base.overcast(brief) } else { base };
        weathered.styled(style, brief.hour)
    }

    /// Returns a colour as it is lit and seen from `distance` (0 near, 1 lost in the haze).
    pub fn lit(&self, local: Tone, distance: f32) -> Tone {
        local.under(self.ambient).mix(self.haze, distance)
    }

    fn map(mut self, change: impl Fn(Tone) -> Tone) -> Self {
        self.sky = self.sky.map(&change);
        for tone in [
            &mut self.disc,
            &mut self.glow,
            &mut self.ambient,
            &mut self.haze,
            &mut self.near,
            &mut self.accent,
            &mut self.cloud,
            &mut self.cloud_shade,
        ] {
            *tone = change(*tone);
        }
        self
    }

    fn overcast(self, brief: &Brief) -> Self {
        let heavy = if brief.has(Word::Storm) { 0.55 } else { 0.38 };
        let veil = self.sky[1].mix(self.haze, 0.5).saturated(0.35);
        let veil = if brief.has(Word::Storm) { veil.darker(0.42) } else { veil };
        let mut covered = self.map(|tone| tone.mix(veil, heavy).saturated(0.8));
        covered.ambient = self.ambient.mix(veil.lighter(0.25), 0.35);
        covered.near = self.near.mix(veil, 0.08);
        covered
    }

    fn styled(self, style: Style, hour: Hour) -> Self {
        match style {
            Style::Anime => {
                let vivid = self.map(|tone| tone.saturated(1.3).lighter(0.05));
                Self { ambient: vivid.ambient.lighter(0.12), cloud: vivid.cloud.lighter(0.3), ..vivid }
            }
            Style::Ghibli => {
                let soft = self.map(|tone| tone.mix(hex(0xFF_F3_D0), 0.07).saturated(1.08));
                let warm = hex(0xFF_F6_DC);
                let ambient = if hour == Hour::Night { soft.ambient } else { soft.ambient.mix(warm, 0.3) };
                Self { ambient, cloud: soft.cloud.mix(warm, 0.3), ..soft }
            }
            Style::Watercolor => {
                self.map(|tone| tone.lighter(if hour == Hour::Night { 0.3 } else { 0.14 }).saturated(1.25))
            }
            Style::Photorealistic => {
                let calm = self.map(|tone| tone.saturated(0.78));
                Self { haze: calm.haze.mix(calm.sky[2], 0.5), ..calm }
            }
            Style::PixelArt => self.map(|tone| tone.saturated(1.25)),
            Style::Cinematic | Style::Plain | Style::Cyberpunk => self,
        }
    }
}

/// The colours of the sky's top, middle and horizon, and of disc, glow, ambient, haze and near.
type Row = [u32; 8];

#[rustfmt::skip]
const DAWN: [Row; 3] = [
    [0x35_4A_80, 0xC7_8F_A6, 0xFF_D9_A8, 0xFF_F6_DC, 0xFF_CF_94, 0xE6_C3_BC, 0xE3_B4_A6, 0x26_25_3D],
    [0x54_7F_B8, 0xD8_B4_C4, 0xFF_E9_C4, 0xFF_FB_EA, 0xFF_DF_B0, 0xEC_D3_CA, 0xE4_C6_BC, 0x2B_30_45],
    [0x2C_5A_78, 0x83_B5_B0, 0xFB_E0_B0, 0xFF_F8_E0, 0xFF_DC_9C, 0xDD_CF_BC, 0xC4_C9_B2, 0x1D_2E_38],
];
#[rustfmt::skip]
const DAY: [Row; 3] = [
    [0x25_70_C4, 0x71_B6_EA, 0xDC_F0_F8, 0xFF_FD_F0, 0xFF_F6_D8, 0xFF_FC_F2, 0xB4_D4_E6, 0x1D_3A_3C],
    [0x3A_8C_C8, 0x8F_CB_E4, 0xEC_F6_EE, 0xFF_FD_EE, 0xFF_F4_D0, 0xFF_FA_EC, 0xC3_DE_E0, 0x22_3E_38],
    [0x1E_62_A8, 0x66_A4_DA, 0xC8_E2_F4, 0xFF_FE_F4, 0xFF_F8_E2, 0xF6_F8_FF, 0xA8_C6_E0, 0x18_30_44],
];
#[rustfmt::skip]
const DUSK: [Row; 4] = [
    [0x1E_24_56, 0xA9_46_76, 0xFF_B3_5E, 0xFF_F0_C8, 0xFF_9A_52, 0xC4_86_80, 0xC9_6E_72, 0x17_14_2A],
    [0x2A_20_54, 0x86_3E_82, 0xFF_8A_62, 0xFF_E6_B8, 0xFF_7E_5E, 0xB8_7C_8C, 0xB2_5C_7E, 0x18_12_2A],
    [0x14_3A_54, 0x5E_8E_90, 0xF8_C6_72, 0xFF_F4_D0, 0xFF_BE_6A, 0xC8_A2_82, 0xB8_9C_7C, 0x10_20_2C],
    [0x3C_4A_86, 0xD8_84_7E, 0xFF_D2_84, 0xFF_F6_D6, 0xFF_B0_6C, 0xD2_9A_86, 0xD6_92_82, 0x20_1C_34],
];
#[rustfmt::skip]
const NIGHT: [Row; 3] = [
    [0x06_0C_22, 0x12_29_52, 0x36_5A_8C, 0xF4_F2_E0, 0x8F_B4_E4, 0x3E_54_80, 0x2B_49_76, 0x05_09_15],
    [0x0C_0A_26, 0x25_20_50, 0x58_48_80, 0xF8_EE_DC, 0xA8_9E_E8, 0x4C_48_78, 0x42_3A_6C, 0x08_06_17],
    [0x04_14_1E, 0x0C_36_48, 0x32_70_78, 0xF0_F4_E4, 0x84_D0_CC, 0x38_60_68, 0x24_54_5E, 0x03_0C_12],
];
#[rustfmt::skip]
const NEON: [Row; 4] = [
    [0x0A_06_24, 0x3A_10_60, 0xE0_2C_8C, 0xFF_D0_F0, 0xFF_3C_A8, 0x7A_50_A0, 0x6A_20_80, 0x07_04_18],
    [0x04_10_2C, 0x0C_3A_70, 0x18_B8_D0, 0xD8_FF_FF, 0x20_D8_FF, 0x48_70_A8, 0x12_58_84, 0x03_08_1A],
    [0x10_06_2E, 0x50_14_72, 0xFF_6A_5A, 0xFF_E4_B0, 0xFF_5C_7A, 0x88_54_98, 0x7C_24_74, 0x0A_04_1C],
    [0x06_08_28, 0x28_1C_74, 0x8A_4C_F0, 0xE8_D8_FF, 0x9A_60_FF, 0x58_50_A8, 0x40_2C_90, 0x05_04_1A],
];

fn natural(hour: Hour, dice: &mut Dice) -> Palette {
    let row = match hour {
        Hour::Dawn => dice.pick(DAWN),
        Hour::Day => dice.pick(DAY),
        Hour::Dusk => dice.pick(DUSK),
        Hour::Night => dice.pick(NIGHT),
    };
    let accent = hex(dice.pick([0xD8_3A_34, 0xE8_8A_1E, 0xF2_C1_2E, 0xC8_3C_6C, 0x1F_8F_8C]));
    from_row(row, hex(dice.pick([0xFF_D0_7A, 0xFF_C2_60, 0xFF_DC_96])), accent, hour)
}

fn neon(brief: &Brief, dice: &mut Dice) -> Palette {
    let accent = hex(dice.pick([0xFF_2E_97, 0x14_E0_F0, 0xF8_E8_20, 0xA0_50_FF]));
    let lamp = hex(dice.pick([0x3C_F0_FF, 0xFF_6A_C8, 0xFF_D8_5A]));
    let mut palette = from_row(dice.pick(NEON), lamp, accent, Hour::Night);
    if brief.hour == Hour::Day || brief.hour == Hour::Dawn {
        palette = palette.map(|tone| tone.lighter(0.18));
    }
    palette
}

fn from_row(row: Row, lamp: Tone, accent: Tone, hour: Hour) -> Palette {
    let [top, middle, low, disc, glow, ambient, haze, near] = row.map(hex);
    let (cloud, cloud_shade) = match hour {
        Hour::Day => (WHITE.mix(disc, 0.4), middle.mix(hex(0xB8_C8_DC), 0.65)),
        Hour::Dawn | Hour::Dusk => (low.mix(disc, 0.4), middle.mix(top, 0.2)),
        Hour::Night => (middle.mix(haze, 0.7).lighter(0.1), top.mix(middle, 0.7)),
    };
    Palette { sky: [top, middle, low], disc, glow, ambient, haze, near, lamp, accent, cloud, cloud_shade }
}
