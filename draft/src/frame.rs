//! The frame of a storyboard panel: the picture, below it the caption and a line of parameters (the slate), and the draft mark on the picture.

use super::Panel;
use super::caption::{self, LINE_HEIGHT, Lettering, Setting};
use super::palette::Palette;
use super::sheet::{Mount, Region, Sheet};
use super::style::Style;
use super::tone::{Tone, WHITE, hex};

/// Shortest side, in pixels, that has room for a slate line.
const MIN_SLATE_SIDE: u32 = 200;
/// Most of a panel's height that the caption band may take, as a fraction.
const MAX_BAND_SHARE: f32 = 0.32;
/// Part of each side that a camera move over a picture may leave out of view, as a fraction: a pan begins with 0.173 of the picture beyond one edge.
const CAMERA_MARGIN: f32 = 0.18;

/// The layout of a panel and its rasterised text, before the picture is painted.
pub struct Frame {
    width: u32,
    height: u32,
    border: u32,
    padding: u32,
    band: u32,
    caption: Lettering,
    slate: Option<Lettering>,
    mark: Lettering,
}

impl Frame {
    pub fn plan(panel: &Panel, style: Style) -> Self {
        let Panel { width, height, has_caption, .. } = *panel;
        let short = width.min(height);
        let font_size = (short as f32 * 0.021 + 6.2).round();
        let border = if has_caption { (short / 110).max(1) } else { 0 };
        let padding = (font_size * 0.55).round() as u32;
        let text_width = width.saturating_sub(2 * (border + padding)).max(16);
        let small = (font_size * 0.66).max(7.0).round();
        let slate_text = slate_of(panel, style);
        let slate_setting = Setting { font_size: small, max_width: text_width, max_lines: 1 };
        let slate =
            (has_caption && short >= MIN_SLATE_SIDE).then(|| caption::letter(&slate_text, slate_setting));
        let slate_height = slate.as_ref().map_or(0, |slate| slate.height + padding / 3);
        let room = (height as f32 * MAX_BAND_SHARE) as u32;
        let line = (font_size * LINE_HEIGHT).round() as u32;
        let most = if height > width * 2 { 7 } else { 3 };
        let max_lines =
            (room.saturating_sub(slate_height + 2 * padding + border) / line.max(1)).clamp(1, most);
        let prompt = if has_caption { panel.prompt.as_str() } else { "" };
        let caption = caption::letter(prompt, Setting { font_size, max_width: text_width, max_lines });
        let band = if !has_caption || caption.lines + slate_height == 0 {
            0
        } else {
            caption.height + slate_height + padding * 3 / 2
        };
        let mark_setting =
            Setting { font_size: (font_size * 0.6).max(6.5).round(), max_width: width, max_lines: 1 };
        let spaced = if short >= MIN_SLATE_SIDE { "D R A F T" } else { "DRAFT" };
        let mark = caption::letter(spaced, mark_setting);
        Self { width, height, border, padding, band, caption, slate, mark }
    }

    /// Returns the region of the picture: inside the border, above the band.
    pub fn picture(&self) -> Region {
        Region {
            left: self.border,
            top: self.border,
            width: self.width - 2 * self.border,
            height: (self.height - 2 * self.border).saturating_sub(self.band).max(8),
        }
    }

    /// Returns how the picture is placed on its sheet.
    pub fn mount(&self, style: Style) -> Mount {
        let picture = self.picture();
        let block = style.block(picture.width.min(picture.height));
        Mount { width: self.width, height: self.height, picture, block, has_bars: self.border > 0 }
    }

    /// Draws the caption, the slate line and the mark over the finished picture.
    pub fn letter(&self, sheet: &mut Sheet, palette: &Palette) {
        let picture = self.picture();
        let accent = palette.glow.mix(palette.lamp, 0.3);
        if self.band == 0 {
            return self.stamp(sheet, safe_area(picture));
        }
        let rule = Region {
            left: self.border,
            top: picture.top + picture.height,
            width: picture.width,
            height: self.border.div_ceil(3),
        };
        sheet.tint(rule, accent, 0.85);
        let left = self.border + self.padding;
        let mut top = picture.top + picture.height + self.padding * 3 / 4;
        sheet.letter(&self.caption, left, top, WHITE.mix(ground(palette), 0.06));
        top += self.caption.height + self.padding / 3;
        if let Some(slate) = &self.slate {
            sheet.letter(slate, left, top, ground(palette).mix(accent.lighter(0.45), 0.74));
        }
        self.stamp(sheet, picture);
    }

    /// Draws the word DRAFT in the top right corner of the region.
    fn stamp(&self, sheet: &mut Sheet, picture: Region) {
        let (aside, above) = (self.mark.height / 2, self.mark.height / 8);
        let gap = self.mark.height / 2;
        let width = (self.mark.width + 2 * aside).min(picture.width);
        let height = (self.mark.height + 2 * above).min(picture.height);
        let left = picture.left + picture.width.saturating_sub(width + gap);
        let tag = Region { left, top: picture.top + gap.min(picture.height / 6), width, height };
        sheet.pill(tag, hex(0x10_12_18), 0.58);
        sheet.letter(&self.mark, tag.left + aside, tag.top + above, hex(0xFF_FF_FF));
    }
}

/// Returns the part of the picture that is in view during the whole of each camera move.
fn safe_area(picture: Region) -> Region {
    let margin = |side: u32| (side as f32 * CAMERA_MARGIN).ceil() as u32;
    let (aside, above) = (margin(picture.width), margin(picture.height));
    Region {
        left: picture.left + aside,
        top: picture.top + above,
        width: picture.width - 2 * aside,
        height: picture.height - 2 * above,
    }
}

/// Returns the colour around the picture: nearly black, tinted with the picture's colour.
pub fn ground(palette: &Palette) -> Tone {
    hex(0x14_15_19).mix(palette.near, 0.45)
}

fn slate_of(panel: &Panel, style: Style) -> String {
    let take = u64::from(panel.sample) + 1;
    format!(
        "DRAFT  ·  {}×{}  ·  {}  ·  seed {}  ·  take {take}",
        panel.width,
        panel.height,
        style.name(),
        panel.seed
    )
}

#[cfg(test)]
mod tests {
    use super::super::{brief::Brief, dice::RequestDigest};
    use super::*;

    /// Part of each side that the widest camera move leaves out of view: the view has exp(-0.2) of the side, and its middle is 0.1 of that aside.
    const OUT_OF_VIEW: f64 = 0.1725;

    #[test]
    fn the_mark_stays_in_view_while_the_camera_moves() {
        for (width, height) in [(1920, 1080), (1080, 1920), (1080, 1080), (320, 180), (64, 64)] {
            let panel = Panel {
                prompt: "a harbour".to_owned(),
                negative_prompt: None,
                style: None,
                width,
                height,
                seed: 7,
                sample: 0,
                has_caption: false,
                is_card: false,
            };
            let digest = RequestDigest::of(&panel);
            let brief = Brief::read(&panel.prompt, &digest);
            let style = Style::named(None);
            let palette = Palette::new(&brief, style, &mut digest.dice("palette"));
            let mut sheet = Sheet::new(width, height, [0x80; 3]).unwrap();
            Frame::plan(&panel, style).letter(&mut sheet, &palette);
            let whole = Region { left: 0, top: 0, width, height };
            let mut marked = Vec::new();
            for (y, row) in sheet.rows_mut(whole).enumerate() {
                let pixels = row.chunks_exact(3).enumerate();
                marked.extend(pixels.filter(|(_, pixel)| *pixel != [0x80; 3]).map(|(x, _)| (x, y)));
            }
            assert!(!marked.is_empty(), "{width}x{height}");
            let is_in_view = |at: usize, side: u32| {
                let (at, side) = (at as f64, f64::from(side));
                at >= side * OUT_OF_VIEW && at + 1.0 <= side * (1.0 - OUT_OF_VIEW)
            };
            let lost = marked.iter().find(|(x, y)| !is_in_view(*x, width) || !is_in_view(*y, height));
            assert_eq!(lost, None, "{width}x{height}");
        }
    }
}
