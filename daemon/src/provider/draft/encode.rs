//! The finished sheet as a PNG that says what it is.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use super::VERSION;
use super::sheet::Sheet;

/// A description longer than this is cut: it is there for a person who wonders where a file came from.
const MAX_DESCRIPTION_BYTES: usize = 8 * 1024;

/// RGB, 8 bits, with the prompt as its description.
pub fn encode(sheet: &Sheet, prompt: &str) -> Result<Vec<u8>, EncodingError> {
    // Half is more than any style needs; growing would copy, and what is not written is not memory yet.
    let mut bytes = Vec::with_capacity(sheet.rgb.len() / 2 + 1024);
    let mut encoder = Encoder::new(&mut bytes, sheet.width, sheet.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    encoder.add_text_chunk("Software".to_owned(), format!("reel draft {VERSION}"))?;
    encoder.add_itxt_chunk("Description".to_owned(), description(prompt))?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&sheet.rgb)?;
    writer.finish()?;
    bytes.shrink_to_fit();
    Ok(bytes)
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
