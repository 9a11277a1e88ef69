//! The finished sheet as a PNG file that names its origin.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError};

use super::VERSION;
use super::sheet::Sheet;

/// A description longer than this is cut: it is there for a person who wonders where a file came from.
const MAX_DESCRIPTION_BYTES: usize = 8 * 1024;

/// RGB, 8 bits, with the prompt as the file's description.
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

/// The prompt as a text chunk may hold it: without NUL, and cut at [`MAX_DESCRIPTION_BYTES`].
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
