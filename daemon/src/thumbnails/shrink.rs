//! Makes one picture smaller, within the memory budget. Blocks.

use std::{
    fmt::Display,
    fs::File,
    io::{BufRead, BufReader, Cursor, Seek},
    path::Path,
};

use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};

use crate::{
    memory::{Budget, Holder, OverBudget, Reservation},
    provider::picture_outline,
};

/// Most memory that a decoder takes beyond the file and the pixels: for colour profiles, texts, and the rows on which it works.
const SIDE_BYTES: u64 = 8 * 1024 * 1024;
/// Size of the largest pixel of a PNG: four values of 16 bits.
const PIXEL_BYTES: u64 = 8;

/// Why a picture could not be made smaller.
#[derive(Debug)]
pub(super) enum ShrinkError {
    /// It is damaged, or has a format that nothing here decodes. The field is the reason.
    Damaged(String),
    /// The memory budget has no room for its pixels.
    OverMemory(OverBudget),
}

/// A picture that was made smaller.
#[derive(Debug)]
pub(super) struct Shrunk {
    /// The encoded PNG.
    pub png: Vec<u8>,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// The share of the memory budget for `png`.
    pub reservation: Reservation,
}

/// Returns a PNG of a picture, upright and with sides of at most `max_px`.
pub(super) fn shrink(path: &Path, max_px: u32, budget: &Budget) -> Result<Shrunk, ShrinkError> {
    let mut file = File::open(path).map_err(damaged)?;
    let file_bytes = file.metadata().map_err(damaged)?.len();
    // The size is read before a decoder sees the file, because decoders allocate by what the file claims.
    let outline = picture_outline(&mut file).ok_or_else(|| damaged("only PNG, JPEG and WebP are decoded"))?;
    let pixels = u64::from(outline.width) * u64::from(outline.height);
    let small = u64::from(max_px) * u64::from(max_px) * PIXEL_BYTES;
    let decoder_bytes = outline.decode_bytes.max(pixels * PIXEL_BYTES);
    let needed = SIDE_BYTES + file_bytes * 2 + decoder_bytes + small * 3;
    let mut reservation = budget.reserve(Holder::Decode, needed).map_err(ShrinkError::OverMemory)?;
    file.rewind().map_err(damaged)?;
    let size = (outline.width, outline.height);
    let picture = decode(BufReader::new(file), size, decoder_bytes, max_px).map_err(damaged)?;
    let mut png = Vec::new();
    picture.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).map_err(damaged)?;
    let kept = reservation.split(png.len() as u64);
    Ok(Shrunk { png, size: (picture.width(), picture.height()), reservation: kept })
}

/// Decodes the pixels, makes them smaller if a side is too long, and turns them upright: a photograph stores its orientation beside its pixels.
fn decode(
    file: impl BufRead + Seek,
    (width, height): (u32, u32),
    most_bytes: u64,
    max_px: u32,
) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(width);
    limits.max_image_height = Some(height);
    limits.max_alloc = Some(most_bytes);
    let mut reader = ImageReader::new(file).with_guessed_format()?;
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let picture = DynamicImage::from_decoder(decoder)?;
    let mut small = if width.max(height) > max_px { picture.thumbnail(max_px, max_px) } else { picture };
    small.apply_orientation(orientation);
    Ok(small)
}

fn damaged(why: impl Display) -> ShrinkError {
    ShrinkError::Damaged(why.to_string())
}

#[cfg(test)]
mod tests {
    use image::{RgbImage, codecs::jpeg::JpegEncoder};

    use super::*;

    /// An Exif block that says that the camera was held on its side: one entry, in little-endian byte order.
    const TURNED: &[u8] =
        b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

    fn shrunk(bytes: &[u8], max_px: u32, limit_bytes: u64) -> Result<(u32, u32), ShrinkError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        shrink(file.path(), max_px, &Budget::new(limit_bytes)).map(|Shrunk { png, size, reservation }| {
            assert_eq!(reservation.bytes(), png.len() as u64);
            let read = image::load_from_memory_with_format(&png, ImageFormat::Png).unwrap();
            assert_eq!((read.width(), read.height()), size);
            size
        })
    }

    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new(&mut bytes).encode_image(&RgbImage::new(width, height)).unwrap();
        bytes
    }

    #[test]
    fn a_photograph_becomes_small_and_upright() {
        let plain = jpeg(400, 200);
        assert_eq!(shrunk(&plain, 100, 64 << 20).unwrap(), (100, 50));
        let turned = [&plain[..2], TURNED, &plain[2..]].concat();
        assert_eq!(shrunk(&turned, 100, 64 << 20).unwrap(), (50, 100));
        // A very narrow picture keeps at least one row of pixels.
        assert_eq!(shrunk(&jpeg(2_000, 3), 64, 64 << 20).unwrap(), (64, 1));
    }

    #[test]
    fn what_is_damaged_or_does_not_fit_the_budget_is_told_apart() {
        let whole = jpeg(400, 200);
        for bytes in [b"GIF89a".as_slice(), b"", &whole[..20]] {
            assert!(matches!(shrunk(bytes, 100, 64 << 20), Err(ShrinkError::Damaged(_))), "{bytes:?}");
        }
        assert!(matches!(shrunk(&whole, 100, 1 << 20), Err(ShrinkError::OverMemory(_))));
    }
}
