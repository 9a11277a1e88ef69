//! A card: a text in the middle of a plain ground, in place of a picture that is missing.

use super::caption::{self, Setting};
use super::sheet::Sheet;
use super::tone::hex;

/// The ground of a card.
const GROUND: [u8; 3] = [0x24, 0x26, 0x2B];
/// The most lines of a text.
const MAX_LINES: u32 = 5;

/// Draws the text so that it stays in view while a camera move is applied. None if the memory for the pixels cannot be allocated.
pub fn draw(text: &str, width: u32, height: u32) -> Option<Sheet> {
    let mut sheet = Sheet::new(width, height, GROUND)?;
    let font_size = (width.min(height) as f32 * 0.05 + 4.0).round();
    let setting = Setting { font_size, max_width: (width * 3 / 5).max(16), max_lines: MAX_LINES };
    let lettering = caption::letter(text, setting);
    let left = width.saturating_sub(lettering.width) / 2;
    let top = height.saturating_sub(lettering.height) / 2;
    sheet.letter(&lettering, left, top, hex(0xE6_E7_EA));
    Some(sheet)
}
