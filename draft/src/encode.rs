//! Encodes the finished sheet as a PNG file with its origin in the metadata.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError};

use super::VERSION;
use super::sheet::Sheet;

/// Longest description, in bytes. It is for a person who wants to know the origin of a file.
const MAX_DESCRIPTION_BYTES: usize = 8 * 1024;

/// Encodes a sheet as RGB with 8 bits per channel. The prompt becomes the file's description.
pub fn encode(sheet: &Sheet, prompt: &str) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, sheet.width, sheet.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.add_text_chunk("Software".to_owned(), format!("reel draft {VERSION}"))?;
    encoder.add_itxt_chunk("Description".to_owned(), description(prompt))?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&sheet.pixels)?;
    writer.finish()?;
    bytes.shrink_to_fit();
    Ok(bytes)
}

/// Returns the prompt as a text chunk may contain it: without NUL, and cut at [`MAX_DESCRIPTION_BYTES`].
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
