//! The finished sheet as a PNG that says what it is.
//!
//! The pixels are filtered here, with one filter for all rows where the encoder of `png` tries four on each, and compressed by `pack`, into a
//! buffer that is kept from panel to panel. Everything around them is written by `png`.
#![expect(
    clippy::inline_always,
    reason = "what is dispatched by the processor must be inlined to be compiled for it"
)]

use fearless_simd::{Level, dispatch};
use png::{BitDepth, ColorType, Encoder, EncodingError, chunk};

use super::VERSION;
use super::pack::Packer;
use super::sheet::Sheet;

/// A description longer than this is cut: it is there for a person who wonders where a file came from.
const MAX_DESCRIPTION_BYTES: usize = 8 * 1024;
/// Bytes of a pixel.
const PIXEL: usize = 3;
/// The number of the filter in the file format.
const PAETH: u8 = 4;
/// What the file has beside its pixels and its description.
const AROUND_BYTES: usize = 512;

/// RGB, 8 bits, with the prompt as its description; `packed` is room to work in.
pub fn encode(sheet: &Sheet, prompt: &str, packed: &mut Vec<u8>) -> Result<Vec<u8>, EncodingError> {
    let packed_bytes = pack(sheet, packed);
    let packed = packed.get(..packed_bytes).unwrap_or_default();
    let description = description(prompt);
    let mut bytes = Vec::with_capacity(packed.len() + description.len() + AROUND_BYTES);
    let mut encoder = Encoder::new(&mut bytes, sheet.width, sheet.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.add_text_chunk("Software".to_owned(), format!("reel draft {VERSION}"))?;
    encoder.add_itxt_chunk("Description".to_owned(), description)?;
    let mut writer = encoder.write_header()?;
    writer.write_chunk(chunk::IDAT, packed)?;
    writer.finish()?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// The rows as a zlib stream, each with its filter's number before it, at the start of `packed`; answers how long it is.
fn pack(sheet: &Sheet, packed: &mut Vec<u8>) -> usize {
    let row_bytes = sheet.width as usize * PIXEL;
    let above_first = vec![0; row_bytes];
    let mut filtered = vec![PAETH; row_bytes + 1];
    let mut packer = Packer::new(packed);
    let mut above = above_first.as_slice();
    for row in sheet.rows() {
        dispatch!(Level::new(), _ => {
            filter(row, above, filtered.get_mut(1..).unwrap_or_default());
            packer.write(&filtered);
        });
        above = row;
    }
    packer.finish()
}

/// What each byte differs by from the nearest of its left, upper and upper left neighbours' guess; outside the sheet all are zero.
#[inline(always)]
fn filter(row: &[u8], above: &[u8], filtered: &mut [u8]) {
    for ((out, now), up) in filtered.iter_mut().zip(row).zip(above).take(PIXEL) {
        *out = now.wrapping_sub(*up);
    }
    let here = row.get(PIXEL..).unwrap_or_default().iter().zip(row);
    let there = above.get(PIXEL..).unwrap_or_default().iter().zip(above);
    let outs = filtered.get_mut(PIXEL..).unwrap_or_default();
    for ((out, (now, left)), (up, corner)) in outs.iter_mut().zip(here).zip(there) {
        *out = now.wrapping_sub(paeth(*left, *up, *corner));
    }
}

/// The file format's predictor: of three neighbours the one nearest to `left + up - corner`, the earlier of two that are as near.
///
/// In bytes alone, so that many are done at once.
#[inline(always)]
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let to_left = up.abs_diff(corner);
    let to_up = left.abs_diff(corner);
    // Farther than the others where both lie on one side of the corner; between them where they do not.
    let is_beyond = (up > corner) == (left > corner);
    let to_corner = if is_beyond { u8::MAX } else { to_left.abs_diff(to_up) };
    let nearer = if to_up < to_left { up } else { left };
    if to_corner < to_left.min(to_up) { corner } else { nearer }
}

/// No NUL may stand in a text chunk.
fn description(prompt: &str) -> String {
    let mut text = String::new();
    for letter in prompt.chars().filter(|letter| *letter != '\0') {
        if text.len() + letter.len_utf8() > MAX_DESCRIPTION_BYTES {
            break;
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the file format's specification writes it.
    fn predicted(left: u8, up: u8, corner: u8) -> u8 {
        let guess = i32::from(left) + i32::from(up) - i32::from(corner);
        let away = |value: u8| (guess - i32::from(value)).abs();
        if away(left) <= away(up) && away(left) <= away(corner) {
            left
        } else if away(up) <= away(corner) {
            up
        } else {
            corner
        }
    }

    #[test]
    fn the_predictor_is_the_formats_own() {
        for left in 0..=255 {
            for up in 0..=255 {
                for corner in (0..=255).step_by(if up % 16 == 0 { 1 } else { 7 }) {
                    assert_eq!(paeth(left, up, corner), predicted(left, up, corner), "{left} {up} {corner}");
                }
            }
        }
    }
}
