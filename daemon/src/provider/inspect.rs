//! Inspects a picture that a provider sent: its format, its dimensions and, for PNG, JPEG and WebP, whether every pixel decodes within the memory
//! budget.
//!
//! A PNG, JPEG or WebP that does not decode is kept if its structure is complete. Formats that are not decoded here are kept unchecked. A text is
//! refused.

mod outline;

use std::{
    io::{self, Read as _},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use image::{
    ImageDecoder, Limits,
    codecs::{jpeg::JpegDecoder, webp::WebPDecoder},
};
use tokio::{sync::Semaphore, time::Instant};

pub use self::outline::outline;
use self::outline::{Format, Outline};
use crate::{
    cache::{ReadSeek, Spooled},
    media::picture_type::{self, MediaType},
    memory::{Budget, Holder, OverBudget},
};

/// Largest side, in pixels: twice what any service makes today.
const MAX_SIDE: u32 = 16_384;
/// Most bytes that a decoder may use besides the file and the pixels. They hold colour profiles and texts, which may unpack to a thousand times their
/// size, and the rows being decoded.
const SIDE_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes that the PNG decoder uses besides rows: its decompression window, and chunks that hold no pixels.
const PNG_BYTES: usize = 512 * 1024;
/// Rows that the PNG decoder holds: one as it was encoded, the one above it, the decoded one, and decompressed bytes that are not split into rows
/// yet.
const PNG_ROWS: usize = 6;
/// Most pictures that are decoded at once. Each may use a large part of the memory budget.
const MOST_AT_ONCE: usize = 4;
/// How many first bytes are read to tell a picture from a text, and quoted if it is a text.
const BEGINNING_BYTES: u64 = 80;
/// How long a picture waits for memory in the budget before it is kept undecoded.
const MEMORY_TIMEOUT: Duration = Duration::from_mins(1);
/// The time between two tries to reserve that memory.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The result of inspecting a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The media type, such as `image/png`.
    pub media_type: &'static str,
    /// The extension of a file of this type, such as `png`.
    pub extension: &'static str,
    /// The width in pixels; None if the format is not read here.
    pub width: Option<u32>,
    /// The height in pixels; None if the format is not read here.
    pub height: Option<u32>,
    /// Why the pixels were not decoded. None if they were. An undecoded picture is kept as it was received.
    pub undecoded: Option<String>,
}

impl Inspected {
    /// A picture of which every pixel was decoded.
    fn decoded(media: MediaType, (width, height): (u32, u32)) -> Self {
        let (width, height) = (Some(width), Some(height));
        Self { media_type: media.name, extension: media.extension, width, height, undecoded: None }
    }

    fn undecoded(media: MediaType, outline: Option<Outline>, reason: String) -> Self {
        let (width, height) = (outline.map(|outline| outline.width), outline.map(|outline| outline.height));
        Self { media_type: media.name, extension: media.extension, width, height, undecoded: Some(reason) }
    }
}

/// Why a file is not kept as a picture.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The bytes are empty, a text, or an incomplete picture.
    #[error("the answer is not a picture: {0}")]
    NoPicture(String),
    /// A side exceeds `MAX_SIDE`, and the file is not complete.
    #[error("the picture says that it is {width}×{height}")]
    TooLarge {
        /// The width that the file declares, in pixels.
        width: u32,
        /// The height that the file declares, in pixels.
        height: u32,
    },
    /// The memory budget had no room for the pixels, and the file is not complete.
    #[error("the picture could not be checked: {0}")]
    OverMemory(OverBudget),
    /// The decoder panicked. Only this inspection fails.
    #[error("the picture could not be checked: the decoder failed")]
    Decoder,
}

/// Inspects as many pictures at once as there are cores, and at most four. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Inspector {
    budget: Budget,
    turns: Arc<Semaphore>,
}

impl Inspector {
    /// Returns an inspector whose decoders reserve their memory in this budget.
    pub fn new(budget: Budget) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { budget, turns: Arc::new(Semaphore::new(cores.min(MOST_AT_ONCE))) }
    }

    /// Inspects a picture on this thread, which may block. None if it would have to wait for memory or for other decodes.
    pub fn inspect_now(&self, spooled: &Spooled) -> Option<Result<Inspected, InspectError>> {
        let _turn = self.turns.try_acquire().ok()?;
        let looking = || inspect(spooled, &self.budget);
        match catch_unwind(AssertUnwindSafe(looking)).unwrap_or(Err(InspectError::Decoder)) {
            Err(InspectError::OverMemory(_)) => None,
            inspected => Some(inspected),
        }
    }

    /// Inspects a picture and returns it with the result. May wait up to a minute for memory.
    pub async fn inspect(&self, mut spooled: Spooled) -> Result<(Spooled, Inspected), InspectError> {
        let deadline = Instant::now() + MEMORY_TIMEOUT;
        loop {
            // The semaphore is never closed.
            let turn = self.turns.acquire().await;
            let budget = self.budget.clone();
            let looking = tokio::task::spawn_blocking(move || (inspect(&spooled, &budget), spooled));
            let (inspected, looked_at) = looking.await.map_err(|_| InspectError::Decoder)?;
            drop(turn);
            spooled = looked_at;
            match inspected {
                Ok(inspected) => return Ok((spooled, inspected)),
                // The picture may have been paid, so it is not given up at once. Waiting is useless if it exceeds the whole budget.
                Err(InspectError::OverMemory(over))
                    if over.asked_bytes <= over.limit_bytes && Instant::now() < deadline =>
                {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                Err(InspectError::OverMemory(over)) => return self.outline(spooled, over).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads only the structure of a picture whose pixels do not fit into the budget. A complete one is kept undecoded, because it may have been
    /// paid.
    async fn outline(
        &self,
        spooled: Spooled,
        over: OverBudget,
    ) -> Result<(Spooled, Inspected), InspectError> {
        let looking = tokio::task::spawn_blocking(move || {
            let outline = spooled.open().ok().and_then(outline);
            (outline, spooled)
        });
        let (outline, spooled) = looking.await.map_err(|_| InspectError::Decoder)?;
        let outline = outline.filter(|outline| outline.is_whole);
        let (Some(outline), Some(media)) = (outline, media_type(&spooled)) else {
            return Err(InspectError::OverMemory(over));
        };
        Ok((spooled, Inspected::undecoded(media, Some(outline), over.to_string())))
    }
}

/// Returns the media type that the first bytes tell; None if they are no picture's.
fn media_type(spooled: &Spooled) -> Option<MediaType> {
    picture_type::of_picture(&beginning(spooled).ok()?)
}

fn beginning(spooled: &Spooled) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    spooled.open()?.take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    Ok(beginning)
}

fn inspect(spooled: &Spooled, budget: &Budget) -> Result<Inspected, InspectError> {
    let beginning = beginning(spooled).map_err(no_picture)?;
    let Some(media) = picture_type::of_picture(&beginning) else {
        return if is_text(&beginning) {
            Err(no_picture(format!("it begins with {:?}", String::from_utf8_lossy(&beginning))))
        } else {
            Ok(Inspected::undecoded(picture_type::UNKNOWN, None, "its format is unknown".to_owned()))
        };
    };
    let decoded = match media.extension {
        "png" => inspect_png(spooled.open().map_err(no_picture)?, budget),
        "jpg" | "webp" => inspect_at_once(spooled, budget),
        _ => {
            let reason = format!("{} is not decoded here", media.name);
            return Ok(Inspected::undecoded(media, None, reason));
        }
    };
    match decoded {
        Ok(size) => Ok(Inspected::decoded(media, size)),
        Err(error @ (InspectError::OverMemory(_) | InspectError::Decoder)) => Err(error),
        // The file is complete. Another program may support more of the format, or show the intact part.
        Err(error) => match spooled.open().ok().and_then(outline).filter(|outline| outline.is_whole) {
            Some(outline) => Ok(Inspected::undecoded(media, Some(outline), error.to_string())),
            None => Err(error),
        },
    }
}

/// Whether these first bytes of a file are a text. Empty input counts as a text. The caller has already recognised SVG.
fn is_text(beginning: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    // The last character may be cut off.
    let is_utf8 = match std::str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !beginning.iter().any(is_control)
}

/// Decodes a JPEG or a WebP, with all pixels in memory at once, and returns its size.
fn inspect_at_once(spooled: &Spooled, budget: &Budget) -> Result<(u32, u32), InspectError> {
    let open = || spooled.open().map_err(no_picture);
    // The size is read first, because a decoder allocates as much as the file's header asks for.
    let outline = outline(open()?).ok_or_else(|| no_picture("its beginning is damaged"))?;
    check_sides(outline.width, outline.height)?;
    // The JPEG decoder holds the file in a buffer that grows by doubling. The WebP decoder holds most of the file.
    let held_bytes = SIDE_BYTES + spooled.size_bytes * 2 + outline.decode_bytes;
    let reservation = budget.reserve(Holder::Decode, held_bytes).map_err(InspectError::OverMemory)?;
    match outline.format {
        Format::WebP => decode(WebPDecoder::new(open()?).map_err(no_picture)?, &outline)?,
        Format::Jpeg | Format::Png => decode(JpegDecoder::new(open()?).map_err(no_picture)?, &outline)?,
    }
    drop(reservation);
    Ok((outline.width, outline.height))
}

/// Decodes every pixel and discards them. The caller has reserved the memory that `outline` names.
fn decode(mut decoder: impl ImageDecoder, outline: &Outline) -> Result<(), InspectError> {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(outline.width);
    limits.max_image_height = Some(outline.height);
    limits.max_alloc = Some(outline.decode_bytes);
    decoder.set_limits(limits).map_err(no_picture)?;
    let bytes = decoder.total_bytes();
    if decoder.dimensions() != (outline.width, outline.height) || bytes > outline.decode_bytes {
        return Err(no_picture("it names two sizes"));
    }
    decoder.read_image(&mut vec![0; bytes as usize]).map_err(no_picture)
}

/// Decodes a PNG row by row, so that its pixels are never all in memory, and returns its size.
fn inspect_png(bytes: impl ReadSeek, budget: &Budget) -> Result<(u32, u32), InspectError> {
    let mut decoder = png::Decoder::new_with_limits(bytes, png::Limits { bytes: PNG_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(no_picture)?;
    let (width, height) = (info.width, info.height);
    let row_bytes = info.raw_row_length();
    check_sides(width, height)?;
    let held_bytes = PNG_BYTES + PNG_ROWS * row_bytes;
    let reservation = budget.reserve(Holder::Decode, held_bytes as u64).map_err(InspectError::OverMemory)?;
    let mut reader = decoder.read_info().map_err(no_picture)?;
    while reader.next_row().map_err(no_picture)?.is_some() {}
    drop(reader);
    drop(reservation);
    Ok((width, height))
}

fn check_sides(width: u32, height: u32) -> Result<(), InspectError> {
    let is_too_large = width > MAX_SIDE || height > MAX_SIDE;
    if is_too_large { Err(InspectError::TooLarge { width, height }) } else { Ok(()) }
}

fn no_picture(error: impl std::fmt::Display) -> InspectError {
    InspectError::NoPicture(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use image::{DynamicImage, ImageFormat, RgbImage};

    use super::*;
    use crate::cache::Spools;

    /// 9,400 × 9,400 pixels of one colour, losslessly encoded.
    const WEBP_9400: &[u8] = b"RIFF \x00\x00\x00WEBPVP8L\x14\x00\x00\x00/\xb7\xe4-\t\x07P\x81T\x08 \x00\n\x9a\xfe\xc7\x88\x88\xfe\x07";

    fn spooled(home: &tempfile::TempDir, bytes: &[u8]) -> Spooled {
        let mut spool = Spools::new(home.path().to_owned()).create();
        spool.write_all(bytes).unwrap();
        spool.finish().unwrap()
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        let image = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, (x * y) as u8]));
        DynamicImage::from(image).write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    #[tokio::test]
    async fn pictures_are_told_by_their_bytes_and_cut_ones_are_none() {
        let home = tempfile::tempdir().unwrap();
        let inspector = Inspector::new(Budget::new(16 << 20));
        for (format, extension) in
            [(ImageFormat::Png, "png"), (ImageFormat::Jpeg, "jpg"), (ImageFormat::WebP, "webp")]
        {
            let bytes = encoded(format);
            let (spooled, inspected) = inspector.inspect(spooled(&home, &bytes)).await.unwrap();
            assert_eq!(
                (inspected.extension, inspected.width, inspected.height),
                (extension, Some(40), Some(30))
            );
            assert_eq!(inspected.undecoded, None);
            assert_eq!(inspector.inspect_now(&spooled).unwrap().unwrap(), inspected);
            let cut = inspector.inspect(self::spooled(&home, &bytes[..bytes.len() / 2])).await;
            // The JPEG decoder does not check the end of the file: half a JPEG decodes to half a picture.
            assert!(extension == "jpg" || matches!(cut, Err(InspectError::NoPicture(_))), "{extension}");
        }
        for bytes in [&b""[..], b"<html>", b"\x89PNG\r\n\x1a\nrest"] {
            let none = inspector.inspect(spooled(&home, bytes)).await;
            assert!(matches!(none, Err(InspectError::NoPicture(_))), "{bytes:?}");
        }
        assert_eq!(inspector.budget.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn what_nothing_here_decodes_is_kept_and_a_text_is_not() {
        let home = tempfile::tempdir().unwrap();
        let inspector = Inspector::new(Budget::new(16 << 20));
        for (bytes, media_type) in [
            (&b"GIF89a\x01\0\x01\0"[..], "image/gif"),
            (b"\0\0\0\x20ftypavif\0\0\0\0", "image/avif"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
            (b"\x01\x02\xff\xfe\0", "application/octet-stream"),
        ] {
            let (_, kept) = inspector.inspect(spooled(&home, bytes)).await.unwrap();
            assert_eq!((kept.media_type, kept.width), (media_type, None));
            assert!(kept.undecoded.is_some(), "{media_type}");
        }
        for text in ["{\"error\":\"no\"}", "sorry", "<!doctype html>", "很抱歉"] {
            let error = inspector.inspect(spooled(&home, text.as_bytes())).await.unwrap_err();
            assert!(matches!(error, InspectError::NoPicture(_)), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_png_is_looked_at_whole_and_in_less_memory_than_its_pixels() {
        let home = tempfile::tempdir().unwrap();
        let inspector = Inspector::new(Budget::new(1 << 20));
        let mut bytes = Vec::new();
        let image = RgbImage::from_fn(1024, 1024, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
        DynamicImage::from(image).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        let (_, inspected) = inspector.inspect(spooled(&home, &bytes)).await.unwrap();
        assert_eq!((inspected.width, inspected.undecoded), (Some(1024), None));
        // Damages the last pixels. Behind them are the end of their chunk, its checksum and an empty chunk.
        let late = bytes.len() - 12 - 4 - 8;
        bytes[late] ^= 1;
        let (_, damaged) = inspector.inspect(spooled(&home, &bytes)).await.unwrap();
        assert_eq!((damaged.width, damaged.undecoded.is_some()), (Some(1024), true));
        assert_eq!(inspector.budget.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn a_huge_picture_is_kept_without_decoding_it() {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = encoded(ImageFormat::Png);
        // Overwrites the width, the height and the checksum of IHDR.
        bytes[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let inspector = Inspector::new(Budget::new(1 << 40));
        let (_, kept) = inspector.inspect(spooled(&home, &bytes)).await.unwrap();
        assert_eq!((kept.width, kept.undecoded.is_some()), (Some(50_000), true));
        let cut = inspector.inspect(spooled(&home, &bytes[..bytes.len() - 2])).await;
        assert!(matches!(cut, Err(InspectError::TooLarge { width: 50_000, height: 50_000 })), "{cut:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_picture_waits_for_room_and_is_kept_undecoded_if_none_comes() {
        let home = tempfile::tempdir().unwrap();
        let budget = Budget::new(20 << 20);
        let full = Inspector::new(budget.clone());
        for (format, extension) in
            [(ImageFormat::Png, "png"), (ImageFormat::Jpeg, "jpg"), (ImageFormat::WebP, "webp")]
        {
            let bytes = encoded(format);
            let others = budget.reserve(Holder::Drawing, budget.limit_bytes()).unwrap();
            assert!(full.inspect_now(&spooled(&home, &bytes)).is_none(), "{extension}");
            let begun = Instant::now();
            let (_, kept) = full.inspect(spooled(&home, &bytes)).await.unwrap();
            assert_eq!((kept.extension, kept.width, kept.height), (extension, Some(40), Some(30)));
            assert!(kept.undecoded.is_some());
            assert!(begun.elapsed() >= MEMORY_TIMEOUT, "{extension}");
            let cut = full.inspect(spooled(&home, &bytes[..bytes.len() - 2])).await;
            assert!(matches!(cut, Err(InspectError::OverMemory(_))), "{extension}");
            drop(others);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_picture_that_never_fits_is_kept_undecoded_at_once() {
        let home = tempfile::tempdir().unwrap();
        let inspector = Inspector::new(Budget::new(100 << 20));
        let begun = Instant::now();
        let (_, kept) = inspector.inspect(spooled(&home, WEBP_9400)).await.unwrap();
        assert_eq!((kept.media_type, kept.width, kept.height), ("image/webp", Some(9_400), Some(9_400)));
        assert_eq!((begun.elapsed(), inspector.budget.reserved_bytes()), (Duration::ZERO, 0));
    }

    #[tokio::test]
    async fn decodes_take_turns() {
        let home = tempfile::tempdir().unwrap();
        let inspector = Inspector::new(Budget::new(100 << 20));
        let turns: Vec<_> = std::iter::from_fn(|| inspector.turns.try_acquire().ok()).collect();
        assert!((1..=MOST_AT_ONCE).contains(&turns.len()));
        let bytes = encoded(ImageFormat::Png);
        assert!(inspector.inspect_now(&spooled(&home, &bytes)).is_none());
        drop(turns);
        assert!(inspector.inspect_now(&spooled(&home, &bytes)).is_some());
    }

    #[tokio::test]
    async fn a_profile_that_unpacks_to_more_than_any_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        let mut info = png::Info::with_size(1, 1);
        info.icc_profile = Some(vec![0; 64 << 20].into());
        let encoder = png::Encoder::with_info(&mut bytes, info).unwrap();
        encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
        assert!(bytes.len() < 1 << 20);
        let spooled = spooled(&home, &bytes);
        let (_, inspected) = Inspector::new(Budget::new(1 << 20)).inspect(spooled).await.unwrap();
        assert_eq!((inspected.width, inspected.height), (Some(1), Some(1)));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
