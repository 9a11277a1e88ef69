//! The widths of a font's letters, from which follows whether a title fits into a line.

use std::collections::BTreeMap;

use ttf_parser::Face;

/// The width of a letter that the font does not have, as a share of the line's height. `libass` takes the letter from another font.
const UNKNOWN: f64 = 0.7;

/// Returns the width of each letter of a text as a share of the line's height, as `libass` draws it in this font. Shaping is ignored.
pub(super) fn widths(file: &[u8], index: u32, text: &str) -> BTreeMap<char, f64> {
    let face = Face::parse(file, index).ok();
    let height = face.as_ref().map_or(0.0, line_height);
    let width = |letter: char| {
        let face = face.as_ref().filter(|_| height > 0.0)?;
        let units = face.glyph_hor_advance(face.glyph_index(letter)?)?;
        Some(f64::from(units) / height)
    };
    text.chars().map(|letter| (letter, width(letter).unwrap_or(UNKNOWN))).collect()
}

/// Returns the height to which `libass` scales a font, in the units of the font. It is the one that Windows uses, if the font has it.
fn line_height(face: &Face<'_>) -> f64 {
    let windows =
        face.tables().os2.map(|os2| f64::from(os2.windows_ascender()) - f64::from(os2.windows_descender()));
    let usual = f64::from(face.ascender()) - f64::from(face.descender());
    windows.filter(|height| *height > 0.0).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use reel_draft::letters;

    use super::*;

    #[test]
    fn wide_letters_are_wider_and_a_broken_font_has_usual_widths() {
        let widths = |file: &[u8], text: &str| super::widths(file, 0, text);
        let found = widths(letters::FONT, "iW从\u{e01}");
        let of = |letter: char| found[&letter];
        assert!(of('i') < of('W') && of('W') < 1.0 && of('从') > 0.6 && of('从') <= 1.0, "{found:?}");
        assert!((of('\u{e01}') - UNKNOWN).abs() < 1e-9, "{found:?}");
        assert_eq!(widths(b"no font", "ab").into_values().collect::<Vec<_>>(), [UNKNOWN; 2]);
    }
}
