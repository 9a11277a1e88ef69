//! Converts input pictures in formats that services do not accept: decodes them within the memory budget, and encodes them as PNG.

use std::io::Cursor;

use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Luma, LumaA,
    codecs::{bmp::BmpDecoder, gif::GifDecoder},
};

use crate::memory::{Budget, Holder, OverBudget, Reservation};

/// Media types that are converted to PNG.
pub(super) const CONVERTED: [&str; 2] = ["image/gif", "image/bmp"];
/// Largest side of a picture that is converted, in pixels: no service accepts a larger one.
const MAX_SIDE: u32 = 16_384;
/// Largest size of a pixel in memory, in bytes: red, green, blue and alpha.
const PIXEL_BYTES: u64 = 4;
/// Memory that a decoder uses besides the pixels, in bytes.
const SIDE_BYTES: u64 = 4 * 1024 * 1024;

/// Why a picture was not converted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConvertError {
    /// The file is damaged, or is not a picture.
    #[error("it does not decode: {0}")]
    Undecodable(String),
    /// A side is longer than the limit.
    #[error("it has {width}×{height} pixels; a side has at most {MAX_SIDE}")]
    TooLarge {
        /// The width that the file declares, in pixels.
        width: u32,
        /// The height that the file declares, in pixels.
        height: u32,
    },
    /// The memory budget has no room for its pixels.
    #[error("{0}")]
    OverMemory(OverBudget),
}

/// Converts a picture to PNG, and returns it with the reservation for its bytes. Of an animation, only the first frame is converted. Blocks on the
/// CPU.
pub(super) fn to_png(
    bytes: &[u8],
    media_type: &str,
    budget: &Budget,
) -> Result<(Vec<u8>, Reservation), ConvertError> {
    let undecodable = |error: image::ImageError| ConvertError::Undecodable(error.to_string());
    match media_type {
        "image/gif" => from(GifDecoder::new(Cursor::new(bytes)).map_err(undecodable)?, budget, |it| it),
        _ => from(BmpDecoder::new(Cursor::new(bytes)).map_err(undecodable)?, budget, |it| it),
    }
}

/// Converts a mask to a PNG in shades of grey that is white where the mask is transparent. A mask without transparency is white where it was. Returns
/// it with the reservation for its bytes. Blocks on the CPU.
pub(super) fn to_white_mask(bytes: &[u8], budget: &Budget) -> Result<(Vec<u8>, Reservation), ConvertError> {
    from(decoder(bytes)?, budget, |mask| {
        if !mask.color().has_alpha() {
            return DynamicImage::ImageLuma8(mask.into_luma8());
        }
        let mask = mask.into_luma_alpha8();
        let white =
            GrayImage::from_fn(mask.width(), mask.height(), |x, y| Luma([255 - mask.get_pixel(x, y).0[1]]));
        DynamicImage::ImageLuma8(white)
    })
}

/// Converts a mask without transparency to a PNG that is transparent where the mask is white. Returns it with the reservation for its bytes. None if
/// the mask has transparency, which then says where the picture may change. Blocks on the CPU.
pub(super) fn to_transparent_mask(
    bytes: &[u8],
    budget: &Budget,
) -> Result<Option<(Vec<u8>, Reservation)>, ConvertError> {
    let decoder = decoder(bytes)?;
    if decoder.color_type().has_alpha() {
        return Ok(None);
    }
    from(decoder, budget, |mask| {
        let mask = mask.into_luma8();
        let transparent = GrayAlphaImage::from_fn(mask.width(), mask.height(), |x, y| {
            LumaA([0, 255 - mask.get_pixel(x, y).0[0]])
        });
        DynamicImage::ImageLumaA8(transparent)
    })
    .map(Some)
}

/// Converts a picture in shades of grey to a PNG with red, green and blue. Returns it with the reservation for its bytes. None if the picture has colours.
/// Blocks on the CPU.
pub(super) fn to_colour(
    bytes: &[u8],
    budget: &Budget,
) -> Result<Option<(Vec<u8>, Reservation)>, ConvertError> {
    let decoder = decoder(bytes)?;
    let color = decoder.color_type();
    if color.has_color() {
        return Ok(None);
    }
    from(decoder, budget, |picture| {
        if color.has_alpha() {
            DynamicImage::ImageRgba8(picture.into_rgba8())
        } else {
            DynamicImage::ImageRgb8(picture.into_rgb8())
        }
    })
    .map(Some)
}

fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder, ConvertError> {
    let undecodable = |error: image::ImageError| ConvertError::Undecodable(error.to_string());
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let reader = reader.map_err(|error| ConvertError::Undecodable(error.to_string()))?;
    reader.into_decoder().map_err(undecodable)
}

fn from(
    mut decoder: impl ImageDecoder,
    budget: &Budget,
    change: impl FnOnce(DynamicImage) -> DynamicImage,
) -> Result<(Vec<u8>, Reservation), ConvertError> {
    let undecodable = |error: image::ImageError| ConvertError::Undecodable(error.to_string());
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(ConvertError::TooLarge { width, height });
    }
    let pixel_bytes = u64::from(width) * u64::from(height) * PIXEL_BYTES;
    // The pixels, a second copy of them in the decoder or the encoder, and the PNG, which may be as large as the pixels.
    let asked_bytes = 3 * pixel_bytes + SIDE_BYTES;
    let mut held = budget.reserve(Holder::Decode, asked_bytes).map_err(ConvertError::OverMemory)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(asked_bytes);
    decoder.set_limits(limits).map_err(undecodable)?;
    let picture = change(DynamicImage::from_decoder(decoder).map_err(undecodable)?);
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).map_err(undecodable)?;
    drop(picture);
    let png = png.into_inner();
    // The PNG is in memory twice: as a file, and in the request body that is built from it.
    let kept = held.split(2 * png.len() as u64);
    Ok((png, kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A BMP that declares this size. It only contains pixels if the width is below 1,000.
    fn bmp(width: i32, height: i32) -> Vec<u8> {
        let pixels = if width < 1_000 { vec![0x40; (width * height * 4) as usize] } else { Vec::new() };
        let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend(b"\x01\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend(pixels);
        bytes
    }

    #[test]
    fn a_picture_is_measured_before_its_pixels_are_decoded() {
        let budget = Budget::new(64 * 1024 * 1024);
        let (png, held) = to_png(&bmp(8, 6), "image/bmp", &budget).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        drop(held);
        let large = to_png(&bmp(30_000, 4), "image/bmp", &budget);
        assert!(matches!(large, Err(ConvertError::TooLarge { width: 30_000, height: 4 })), "{large:?}");
        let over = to_png(&bmp(9_000, 9_000), "image/bmp", &budget);
        assert!(matches!(over, Err(ConvertError::OverMemory(_))), "{over:?}");
        for (bytes, media_type) in
            [(b"GIF89a".to_vec(), "image/gif"), (bmp(8, 6)[..80].to_vec(), "image/bmp")]
        {
            let cut = to_png(&bytes, media_type, &budget);
            assert!(matches!(cut, Err(ConvertError::Undecodable(_))), "{cut:?}");
        }
        assert_eq!(budget.reserved_bytes(), 0);
    }
}
