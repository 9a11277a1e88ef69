//! Converts a picture to another format. It limits the memory that the decoder may use.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write as _},
    sync::{Mutex, PoisonError},
};

use image::{
    DynamicImage, ImageDecoder as _, ImageEncoder, ImageError, ImageFormat, ImageReader, Limits, Rgb,
    RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};

use crate::picture_format::PictureFormat;

/// Most memory for decoded pixels, in bytes. This is enough for 11,585 by 11,585 pixels in RGBA. A larger picture keeps its original format.
const DECODED_BYTES: u64 = 512 * 1024 * 1024;

/// The quality of written JPEG files. The loss is hard to see, and the file is a tenth of a PNG's size.
const JPEG_QUALITY: u8 = 90;

/// The colour that replaces transparency in a JPEG, which cannot store it.
const WHITE: u8 = 255;

/// Allows one conversion at a time, so that a batch does not decode eight large pictures at once.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The reason why a picture was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The picture cannot be decoded, is too large, or does not fit the target format.
    #[error("{0}")]
    Picture(ImageError),
    /// The converted bytes could not be written.
    #[error("{0}")]
    Write(io::Error),
}

/// Decodes `source`, whose format is `from` and whose position is at the start, and writes it to `target` in the format `to`.
///
/// The colour profile is kept. The EXIF orientation is applied to the pixels. Transparency becomes white in a JPEG.
pub fn convert(
    source: File,
    from: PictureFormat,
    target: &File,
    to: PictureFormat,
) -> Result<(), ConvertError> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (picture, profile) = decode(source, from).map_err(ConvertError::Picture)?;
    let mut writer = BufWriter::new(target);
    let encoded = match to {
        PictureFormat::Png => encode(&picture, PngEncoder::new(&mut writer), profile),
        PictureFormat::Jpeg => encode(
            &on_white(picture).into(),
            JpegEncoder::new_with_quality(&mut writer, JPEG_QUALITY),
            profile,
        ),
        PictureFormat::Webp => encode(&picture, WebPEncoder::new_lossless(&mut writer), profile),
    };
    match encoded {
        Ok(()) => writer.flush().map_err(ConvertError::Write),
        Err(ImageError::IoError(error)) => Err(ConvertError::Write(error)),
        Err(error) => Err(ConvertError::Picture(error)),
    }
}

/// Decodes a picture and applies its EXIF orientation. Returns it with its colour profile.
fn decode(source: File, form: PictureFormat) -> Result<(DynamicImage, Option<Vec<u8>>), ImageError> {
    let format = match form {
        PictureFormat::Png => ImageFormat::Png,
        PictureFormat::Jpeg => ImageFormat::Jpeg,
        PictureFormat::Webp => ImageFormat::WebP,
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES);
    let mut reader = ImageReader::with_format(BufReader::new(source), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let profile = decoder.icc_profile()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    let profile = profile.filter(|profile| is_for_rgb(profile) && picture.color().has_color());
    Ok((picture, profile))
}

/// Whether a colour profile is for RGB. A decoder turns a CMYK JPEG into RGB pixels, which its CMYK profile does not fit. The colour space is at byte
/// 16 of a profile.
fn is_for_rgb(profile: &[u8]) -> bool {
    profile.get(16..20) == Some(b"RGB ")
}

fn encode(
    picture: &DynamicImage,
    mut encoder: impl ImageEncoder,
    profile: Option<Vec<u8>>,
) -> Result<(), ImageError> {
    if let Some(profile) = profile {
        // If the encoder cannot store a profile, the pixels are written without one.
        let _ = encoder.set_icc_profile(profile);
    }
    picture.write_with_encoder(encoder)
}

fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let pixels = picture.into_rgba8();
    let over_white = |colour: u8, alpha: u8| {
        let (colour, alpha) = (u16::from(colour), u16::from(alpha));
        ((colour * alpha + u16::from(WHITE) * (255 - alpha) + 127) / 255) as u8
    };
    let mut opaque = RgbImage::new(pixels.width(), pixels.height());
    for (target, source) in opaque.pixels_mut().zip(pixels.pixels()) {
        let [red, green, blue, alpha] = source.0;
        *target = Rgb([red, green, blue].map(|colour| over_white(colour, alpha)));
    }
    opaque
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use image::{Rgba, RgbaImage};

    use super::*;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn converted(bytes: &[u8], from: PictureFormat, to: PictureFormat) -> Result<Vec<u8>, ConvertError> {
        let mut target = tempfile::tempfile().unwrap();
        convert(file_of(bytes), from, &target, to)?;
        let mut bytes = Vec::new();
        target.rewind().unwrap();
        target.read_to_end(&mut bytes).unwrap();
        Ok(bytes)
    }

    fn png() -> Vec<u8> {
        let mut picture = RgbaImage::from_pixel(8, 4, Rgba([200, 0, 0, 255]));
        picture.put_pixel(0, 0, Rgba([0, 0, 0, 0]));
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(&picture, 8, 4, image::ExtendedColorType::Rgba8).unwrap();
        bytes
    }

    #[test]
    fn each_form_becomes_each_other() {
        let png = png();
        for (to, format) in [
            (PictureFormat::Png, ImageFormat::Png),
            (PictureFormat::Jpeg, ImageFormat::Jpeg),
            (PictureFormat::Webp, ImageFormat::WebP),
        ] {
            let bytes = converted(&png, PictureFormat::Png, to).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), format);
            let picture = image::load_from_memory(&bytes).unwrap();
            assert_eq!((picture.width(), picture.height()), (8, 4));
            let [.., alpha] = picture.to_rgba8().get_pixel(0, 0).0;
            assert_eq!(alpha, if to == PictureFormat::Jpeg { 255 } else { 0 });
            let back = converted(&bytes, to, PictureFormat::Png).unwrap();
            let [red, green, blue, _] = image::load_from_memory(&back).unwrap().to_rgba8().get_pixel(7, 3).0;
            assert!(red > 190 && green < 30 && blue < 30, "{to:?}: {red} {green} {blue}");
        }
    }

    #[test]
    fn transparent_parts_are_white_in_a_jpeg() {
        let picture = RgbaImage::from_fn(2, 1, |x, _| Rgba([10, 20, 30, if x == 0 { 0 } else { 255 }]));
        let opaque = on_white(picture.into());
        assert_eq!((opaque.get_pixel(0, 0).0, opaque.get_pixel(1, 0).0), ([255; 3], [10, 20, 30]));
    }

    #[test]
    fn what_is_no_such_picture_or_too_large_is_refused() {
        // This PNG header declares 50,000 by 50,000 pixels.
        let mut huge = png();
        huge.splice(16..24, [0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
        for bytes in [b"no picture".as_slice(), png().get(..40).unwrap(), &huge] {
            let error = converted(bytes, PictureFormat::Png, PictureFormat::Jpeg).unwrap_err();
            assert!(matches!(error, ConvertError::Picture(_)), "{error}");
        }
    }
}
