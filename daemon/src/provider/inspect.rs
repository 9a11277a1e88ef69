//! Whether what a provider sent is a picture: its dimensions first, then every pixel of it, within the memory budget.

mod outline;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use image::{ImageDecoder, ImageFormat, ImageReader, Limits};
use tokio::{sync::Semaphore, time::Instant};

use self::outline::{Outline, outline};
use crate::{
    cache::{Look, Spooled},
    memory::{Budget, Holder, OverBudget},
};

/// Largest side, in pixels: twice what any service makes today.
const MAX_SIDE: u32 = 16_384;
/// Most bytes of a decoded picture: 8192×8192 with an alpha channel.
const MAX_DECODED_BYTES: u64 = 256 * 1024 * 1024;
/// Most that a decoder may take beside the file and the pixels: colour profiles and texts, which unpack to a thousand times their size.
const SIDE_BYTES: u64 = 8 * 1024 * 1024;
/// What the decoder of a PNG holds besides rows: its window, and what it reads of chunks that are no pixels.
const PNG_BYTES: usize = 512 * 1024;
/// Rows that it holds: one as it came, the one above it, one as it gives it, and some that are not told apart yet.
const PNG_ROWS: usize = 6;
/// How long a picture waits for room in the memory budget.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// What a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// Such as `image/png`.
    pub media_type: &'static str,
    /// Such as `png`.
    pub extension: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Why it is none.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The bytes are no PNG, JPEG or WebP, or not all of one.
    #[error("what came is no picture: {0}")]
    NoPicture(String),
    /// It says that it is too large.
    #[error("the picture says that it is {width}×{height}")]
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The memory budget had no room for its pixels.
    #[error("the picture could not be checked: {0}")]
    OverMemory(OverBudget),
    /// The decoder panicked.
    #[error("the picture could not be checked: the decoder failed")]
    Decoder,
}

/// Inspects as many pictures at once as there are cores; cheap to clone.
#[derive(Debug, Clone)]
pub struct Inspector {
    budget: Budget,
    turns: Arc<Semaphore>,
}

impl Inspector {
    /// Within this budget.
    pub fn new(budget: Budget) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { budget, turns: Arc::new(Semaphore::new(cores)) }
    }

    /// Looks at a picture on this thread, which may block; None if that would have to wait for memory. It takes no turn: the threads that read
    /// answers are few for small ones and as many as calls for others, and do other work of the kind.
    pub fn inspect_now(&self, spooled: &Spooled) -> Option<Result<Inspected, InspectError>> {
        let looking = || inspect(spooled, &self.budget);
        match catch_unwind(AssertUnwindSafe(looking)).unwrap_or(Err(InspectError::Decoder)) {
            Err(InspectError::OverMemory(_)) => None,
            inspected => Some(inspected),
        }
    }

    /// Looks at a picture; it comes back with what it is.
    pub async fn inspect(&self, mut spooled: Spooled) -> Result<(Spooled, Inspected), InspectError> {
        let patience = Instant::now() + PATIENCE;
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
                // It is made and may be paid: giving up at once would throw it away.
                Err(InspectError::OverMemory(_)) if Instant::now() < patience => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(InspectError::OverMemory(over)) => return self.outline(spooled, over).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// A picture for whose pixels there is no room, looked at from outside: what may have been paid is not lost for want of memory.
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
        let Some(Outline { is_png, width, height }) = outline else {
            return Err(InspectError::OverMemory(over));
        };
        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(InspectError::TooLarge { width, height });
        }
        tracing::warn!(error = %over, "a picture is kept without a look at its pixels");
        let (media_type, extension) = if is_png { ("image/png", "png") } else { ("image/jpeg", "jpg") };
        Ok((spooled, Inspected { media_type, extension, width, height }))
    }
}

/// A reader that passes over what does not fit into [`SIDE_BYTES`]. Dimensions and pixels are looked at by who reads, before it does.
fn reader<R: Look>(bytes: R) -> io::Result<ImageReader<R>> {
    let mut reader = ImageReader::new(bytes).with_guessed_format()?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(SIDE_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn inspect(spooled: &Spooled, budget: &Budget) -> Result<Inspected, InspectError> {
    let reader = reader(spooled.open().map_err(no_picture)?).map_err(no_picture)?;
    let (media_type, extension) = match reader.format() {
        Some(ImageFormat::Png) => return inspect_png(reader.into_inner(), budget),
        Some(ImageFormat::Jpeg) => ("image/jpeg", "jpg"),
        Some(ImageFormat::WebP) => ("image/webp", "webp"),
        _ => return Err(InspectError::NoPicture("not PNG, JPEG or WebP".to_owned())),
    };
    // The decoder of JPEG reads the file as a whole, and that of WebP most of it.
    let over = InspectError::OverMemory;
    let _beside = budget.reserve(Holder::Decode, SIDE_BYTES + spooled.size_bytes).map_err(over)?;
    let decoder = reader.into_decoder().map_err(no_picture)?;
    let (width, height) = decoder.dimensions();
    let bytes = decoder.total_bytes();
    check_size(width, height, bytes)?;
    let reservation = budget.reserve(Holder::Decode, bytes).map_err(over)?;
    let mut pixels = vec![0; bytes as usize];
    decoder.read_image(&mut pixels).map_err(no_picture)?;
    drop(pixels);
    drop(reservation);
    Ok(Inspected { media_type, extension, width, height })
}

/// A PNG is looked at row by row, so that neither its pixels nor a wider form of them are ever in memory together.
fn inspect_png(bytes: impl Look, budget: &Budget) -> Result<Inspected, InspectError> {
    let mut decoder = png::Decoder::new_with_limits(bytes, png::Limits { bytes: PNG_BYTES });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(no_picture)?;
    let (width, height) = (info.width, info.height);
    let row_bytes = info.raw_row_length();
    check_size(width, height, row_bytes as u64 * u64::from(height))?;
    let held_bytes = PNG_BYTES + PNG_ROWS * row_bytes;
    let reservation = budget.reserve(Holder::Decode, held_bytes as u64).map_err(InspectError::OverMemory)?;
    let mut reader = decoder.read_info().map_err(no_picture)?;
    while reader.next_row().map_err(no_picture)?.is_some() {}
    drop(reader);
    drop(reservation);
    Ok(Inspected { media_type: "image/png", extension: "png", width, height })
}

fn check_size(width: u32, height: u32, decoded_bytes: u64) -> Result<(), InspectError> {
    let is_too_large = width > MAX_SIDE || height > MAX_SIDE || decoded_bytes > MAX_DECODED_BYTES;
    if is_too_large { Err(InspectError::TooLarge { width, height }) } else { Ok(()) }
}

fn no_picture(error: impl std::fmt::Display) -> InspectError {
    InspectError::NoPicture(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use image::{DynamicImage, RgbImage};

    use super::*;
    use crate::cache::Spools;

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
            assert_eq!((inspected.extension, inspected.width, inspected.height), (extension, 40, 30));
            assert_eq!(inspector.inspect_now(&spooled).unwrap().unwrap(), inspected);
            let cut = inspector.inspect(self::spooled(&home, &bytes[..bytes.len() / 2])).await;
            // A JPEG's end is not checked by its decoder: half a JPEG shows half a picture.
            assert!(extension == "jpg" || matches!(cut, Err(InspectError::NoPicture(_))), "{extension}");
        }
        for bytes in [&b""[..], b"<html>", b"\x89PNG\r\n\x1a\nrest"] {
            let none = inspector.inspect(spooled(&home, bytes)).await;
            assert!(matches!(none, Err(InspectError::NoPicture(_))), "{bytes:?}");
        }
        assert_eq!(inspector.budget.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn a_png_is_looked_at_whole_and_in_less_memory_than_its_pixels() {
        let home = tempfile::tempdir().unwrap();
        let inspector = Inspector::new(Budget::new(1 << 20));
        let mut bytes = Vec::new();
        let image = RgbImage::from_fn(1024, 1024, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
        DynamicImage::from(image).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        let (_, inspected) = inspector.inspect(spooled(&home, &bytes)).await.unwrap();
        assert_eq!((inspected.width, inspected.height), (1024, 1024));
        // In the last of the pixels: what ends the file is the end of their chunk, their checksum and an empty chunk.
        let late = bytes.len() - 12 - 4 - 8;
        bytes[late] ^= 1;
        let damaged = inspector.inspect(spooled(&home, &bytes)).await;
        assert!(matches!(damaged, Err(InspectError::NoPicture(_))), "{damaged:?}");
        assert_eq!(inspector.budget.reserved_bytes(), 0);
    }

    #[tokio::test]
    async fn a_huge_picture_is_refused_by_what_it_says_of_itself() {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = encoded(ImageFormat::Png);
        // Width and height of IHDR, and its checksum.
        bytes[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let refused = Inspector::new(Budget::new(1 << 40)).inspect(spooled(&home, &bytes)).await;
        assert!(
            matches!(refused, Err(InspectError::TooLarge { width: 50_000, height: 50_000 })),
            "{refused:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_picture_waits_for_room_and_is_kept_for_its_outline_if_none_comes() {
        let home = tempfile::tempdir().unwrap();
        let full = Inspector::new(Budget::new(10));
        for (format, extension) in [(ImageFormat::Png, "png"), (ImageFormat::Jpeg, "jpg")] {
            let bytes = encoded(format);
            assert!(full.inspect_now(&spooled(&home, &bytes)).is_none(), "{extension}");
            let (_, kept) = full.inspect(spooled(&home, &bytes)).await.unwrap();
            assert_eq!((kept.extension, kept.width, kept.height), (extension, 40, 30));
            let cut = full.inspect(spooled(&home, &bytes[..bytes.len() - 2])).await;
            assert!(matches!(cut, Err(InspectError::OverMemory(_))), "{extension}");
        }
    }

    #[tokio::test]
    async fn a_profile_that_unpacks_to_more_than_any_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        for (profile_bytes, is_read) in [(64 << 10, true), (64 << 20, false)] {
            let mut bytes = Vec::new();
            let mut info = png::Info::with_size(1, 1);
            info.icc_profile = Some(vec![0; profile_bytes].into());
            let encoder = png::Encoder::with_info(&mut bytes, info).unwrap();
            encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
            assert!(bytes.len() < 1 << 20);
            let spooled = spooled(&home, &bytes);
            {
                let mut decoder = reader(spooled.open().unwrap()).unwrap().into_decoder().unwrap();
                assert_eq!(decoder.icc_profile().unwrap().is_some(), is_read);
            }
            let (_, inspected) = Inspector::new(Budget::new(16 << 20)).inspect(spooled).await.unwrap();
            assert_eq!((inspected.width, inspected.height), (1, 1));
        }
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}
