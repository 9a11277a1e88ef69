//! Sets text for a panel: cleans, shapes and wraps it, and rasterises it to a block of coverage.

use cosmic_text::{
    Align, Attrs, Buffer, Ellipsize, EllipsizeHeightLimit, Family, LayoutGlyph, Metrics, Shaping,
    SwashContent, Wrap,
};

use super::font::{FAMILY, Fonts, WEIGHT, fonts_for};

/// Most characters of a text. A panel has no room for more, and shaping them would take time and memory.
const MAX_CHARACTERS: usize = 420;
/// Most combining marks on one letter. More of them only make a black column.
const MAX_MARKS: usize = 4;
/// Distance between lines, as a multiple of the font's size.
pub const LINE_HEIGHT: f32 = 1.34;

/// A rasterised block of text, with one byte of coverage per pixel.
pub struct Lettering {
    pub width: u32,
    pub height: u32,
    pub lines: u32,
    pub coverage: Vec<u8>,
}

/// The size limits of a text.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub font_size: f32,
    pub max_width: u32,
    pub max_lines: u32,
}

/// Sets a text. If it does not fit, it ends in an ellipsis.
pub fn letter(text: &str, setting: Setting) -> Lettering {
    let text = legible(text);
    let mut fonts = fonts_for(&text);
    fonts.tidy();
    let line_height = (setting.font_size * LINE_HEIGHT).round();
    let metrics = Metrics::new(setting.font_size, line_height);
    let mut buffer = Buffer::new_empty(metrics);
    let attrs = Attrs::new().family(Family::Name(FAMILY)).weight(WEIGHT);
    buffer.set_wrap(Wrap::WordOrGlyph);
    buffer.set_ellipsize(Ellipsize::End(EllipsizeHeightLimit::Lines(setting.max_lines as usize)));
    buffer.set_size(Some(setting.max_width as f32), None);
    buffer.set_text(&text, &attrs, Shaping::Advanced, None::<Align>);
    buffer.shape_until_scroll(&mut fonts.system, false);
    let runs = || buffer.layout_runs().take(setting.max_lines as usize);
    let lines = runs().count() as u32;
    let right = runs().flat_map(|run| run.glyphs.iter()).map(|glyph| glyph.x + glyph.w).fold(0.0, f32::max);
    let width = (right.ceil() as u32 + 1).min(setting.max_width);
    let height = lines * line_height as u32;
    let mut lettering =
        Lettering { width, height, lines, coverage: vec![0; width as usize * height as usize] };
    for run in runs() {
        // A line that ends in an ellipsis keeps the space at which it was wrapped.
        let is_blank = |glyph: &&LayoutGlyph| {
            run.text.get(glyph.start..glyph.end).is_some_and(|text| text.trim().is_empty())
        };
        let leading: f32 = run.glyphs.iter().take_while(is_blank).map(|glyph| glyph.w).sum();
        let indent = if run.rtl { 0.0 } else { leading };
        for glyph in run.glyphs {
            let placed = glyph.physical((-indent, run.line_y), 1.0);
            stamp(&mut lettering, &mut fonts, placed.cache_key, (placed.x, placed.y));
        }
    }
    lettering
}

fn stamp(lettering: &mut Lettering, fonts: &mut Fonts, key: cosmic_text::CacheKey, at: (i32, i32)) {
    let Fonts { system, glyphs } = fonts;
    let Some(image) = glyphs.get_image(system, key) else { return };
    let depth = if image.content == SwashContent::Color { 4 } else { 1 };
    let (left, top) = (at.0 + image.placement.left, at.1 - image.placement.top);
    let glyph_width = image.placement.width as usize;
    if glyph_width == 0 {
        return;
    }
    for (y, row) in (top..).zip(image.data.chunks_exact(glyph_width * depth)) {
        if y < 0 || y >= lettering.height as i32 {
            continue;
        }
        let start = y as usize * lettering.width as usize;
        let Some(line) = lettering.coverage.get_mut(start..start + lettering.width as usize) else {
            continue;
        };
        for (x, texel) in (left..).zip(row.chunks_exact(depth)) {
            let Ok(x) = usize::try_from(x) else { continue };
            if let (Some(pixel), Some(alpha)) = (line.get_mut(x), texel.last()) {
                *pixel = (*pixel).max(*alpha);
            }
        }
    }
}

/// Cleans a text to one line: no control characters, no direction overrides, single spaces, and a limited length.
fn legible(text: &str) -> String {
    let mut clean = String::new();
    let (mut count, mut marks, mut cut) = (0, 0, false);
    for letter in text.chars() {
        let is_mark = joins_previous(letter);
        if count >= MAX_CHARACTERS && !is_mark {
            cut = true;
            break;
        }
        marks = if is_mark { marks + 1 } else { 0 };
        if marks > MAX_MARKS || changes_direction(letter) || letter == '\u{FEFF}' {
            if count >= MAX_CHARACTERS * 2 {
                cut = true;
                break;
            }
            count += 1;
            continue;
        }
        if letter.is_control() || letter.is_whitespace() {
            if !clean.is_empty() && !clean.ends_with(' ') {
                clean.push(' ');
            }
        } else {
            clean.push(letter);
        }
        count += 1;
    }
    let end = clean.trim_end().len();
    clean.truncate(end);
    if cut {
        clean.push('…');
    }
    clean
}

/// Returns whether a character is a mark, joiner or selector that belongs to the letter before it.
fn joins_previous(letter: char) -> bool {
    matches!(u32::from(letter),
        0x300..=0x36F | 0x483..=0x489 | 0x591..=0x5BD | 0x610..=0x61A | 0x64B..=0x65F | 0x900..=0x903 | 0x93A..=0x94F
        | 0xE31 | 0xE34..=0xE3A | 0xE47..=0xE4E | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x200C..=0x200D | 0x20D0..=0x20FF
        | 0x3099..=0x309A | 0xFE00..=0xFE0F | 0xFE20..=0xFE2F | 0x1_F3FB..=0x1_F3FF | 0xE_0000..=0xE_01EF)
}

/// Returns whether a character is an embedding, override or isolate, which could reverse the direction of the text.
fn changes_direction(letter: char) -> bool {
    matches!(letter, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{Lettering, Setting, legible, letter};

    fn set(text: &str) -> Lettering {
        letter(text, Setting { font_size: 20.0, max_width: 300, max_lines: 3 })
    }

    #[test]
    fn scripts_of_the_embedded_font_leave_different_ink() {
        // A missing glyph is the same box for every letter, so two texts of equal length would give equal blocks.
        for (one, other) in [("lamp", "milk"), ("灯塔", "海鸥"), ("あい", "うえ"), ("Да", "Не")] {
            let (one, other) = (set(one), set(other));
            assert!(one.coverage.iter().filter(|cover| **cover > 128).count() > 40);
            assert_ne!(one.coverage, other.coverage);
        }
    }

    #[test]
    fn a_long_text_keeps_to_its_lines() {
        let block = set(&"many words that never end ".repeat(40_000));
        assert_eq!(block.lines, 3);
        assert!(block.width <= 300);
    }

    #[test]
    fn only_legible_text_is_left() {
        assert_eq!(legible("a\u{202E}b\n\n\tc\u{0}"), "ab c");
        assert_eq!(legible(&"\u{301}".repeat(1_000_000)).chars().count(), super::MAX_MARKS + 1);
        assert!(legible(&"x".repeat(1_000)).ends_with("x…"));
    }
}
