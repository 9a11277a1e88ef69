//! Reads the structure of a picture without its pixels: its format, its size, whether the file is complete, and how much memory a decoder needs for
//! it. Pure.

use std::io::{Read, Seek, SeekFrom};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8";
const RIFF: &[u8] = b"RIFF";
/// The end marker (EOI) of a JPEG.
const JPEG_END: [u8; 2] = [0xff, 0xd9];
/// Largest block that a JPEG is coded in, in pixels per side. Its decoder rounds both sides up to a multiple of it.
const JPEG_BLOCK: u64 = 32;
/// Bytes that the JPEG decoder holds for the rows being decoded, for each column and each colour.
const JPEG_ROWS: u64 = 512;
/// Bytes that the WebP decoder holds for each pixel: the returned pixels (3 or 4 bytes), a working copy of four bytes for lossless files or one and a
/// half for lossy ones, and tables.
const WEBP_PLAIN: u64 = 9;
/// The same for a file with transparency, which is coded as a lossless picture of its own.
const WEBP_ALPHA: u64 = 12;
/// The same for an animation, where a frame and the canvas are two more copies.
const WEBP_ANIMATED: u64 = 16;
/// Most bytes that the Huffman tables of a lossless WebP take for each byte of its chunk, in `image-webp` 0.2.4. One code of 1,025 symbols, one with
/// a length of 1 bit and the others with 11, is written in 71 bytes (51 bits of header, then three bits for each six symbols). Its tables are 1,024
/// entries of 4 bytes and 2,048 nodes of 16 bytes. Each of up to 65,536 groups of codes may hold such a code, and takes 840 bytes more while the list
/// of groups grows. No other shape of a code takes more: a table without nodes needs 82 bits, which is a factor of 400, and a group of empty codes
/// needs 20 bits, which is 336.
const WEBP_TABLES: u64 = 540;

/// The format of a file, as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The file is a PNG.
    Png,
    /// The file is a JPEG.
    Jpeg,
    /// The file is a WebP.
    WebP,
}

/// The structure of a picture, as its headers declare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// The format, as the first bytes tell.
    pub format: Format,
    /// The width that the header declares, in pixels.
    pub width: u32,
    /// The height that the header declares, in pixels.
    pub height: u32,
    /// Whether the file ends as its format requires, so that no part is missing.
    pub is_whole: bool,
    /// Most bytes that decoding takes besides the file itself. Zero for PNG, which is decoded row by row.
    pub decode_bytes: u64,
}

/// Reads the outline of a PNG, JPEG or WebP. None for other files, and if the header is damaged or declares an empty picture.
pub fn outline(mut file: impl Read + Seek) -> Option<Outline> {
    let beginning: [u8; 8] = take(&mut file)?;
    let outline = if beginning == PNG {
        png(&mut file)?
    } else if beginning.starts_with(JPEG) {
        file.seek(SeekFrom::Start(2)).ok()?;
        jpeg(&mut file)?
    } else if let Some([a, b, c, d]) = beginning.strip_prefix(RIFF) {
        webp(&mut file, u32::from_le_bytes([*a, *b, *c, *d]))?
    } else {
        return None;
    };
    (outline.width > 0 && outline.height > 0).then_some(outline)
}

fn take<const N: usize>(file: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// Reads the header of a PNG, then skips from chunk to chunk until `IEND` with its checksum.
fn png(file: &mut (impl Read + Seek)) -> Option<Outline> {
    let (_length, name): ([u8; 4], [u8; 4]) = (take(file)?, take(file)?);
    if &name != b"IHDR" {
        return None;
    }
    let (width, height) = (u32::from_be_bytes(take(file)?), u32::from_be_bytes(take(file)?));
    let is_whole = file.seek_relative(9).is_ok() && png_ends(file).is_some();
    Some(Outline { format: Format::Png, width, height, is_whole, decode_bytes: 0 })
}

fn png_ends(file: &mut (impl Read + Seek)) -> Option<()> {
    loop {
        let (length, name): (u32, [u8; 4]) = (u32::from_be_bytes(take(file)?), take(file)?);
        file.seek_relative(i64::from(length)).ok()?;
        let _checksum: [u8; 4] = take(file)?;
        if &name == b"IEND" {
            return Some(());
        }
    }
}

/// Skips from marker to marker of a JPEG until its first scan begins, and reads the end of the file.
fn jpeg(file: &mut (impl Read + Seek)) -> Option<Outline> {
    let (is_baseline, width, height, colours) = jpeg_frame(file)?;
    // A sequential frame with all colours in its first scan is decoded row by row. For any other, the decoder keeps all coefficients until the last
    // scan.
    let is_by_rows = is_baseline && jpeg_scan(file) == Some(colours);
    let is_whole = file.seek(SeekFrom::End(-2)).is_ok() && take(file) == Some(JPEG_END);
    let (wide, high, colours) = (u64::from(width), u64::from(height), u64::from(colours));
    let pixel_bytes = if colours == 2 { 3 } else { colours };
    let padded_width = wide.next_multiple_of(JPEG_BLOCK);
    let coefficients = padded_width * high.next_multiple_of(JPEG_BLOCK) * colours * 2;
    let decode_bytes = wide * high * pixel_bytes
        + padded_width * colours * JPEG_ROWS
        + if is_by_rows { 0 } else { coefficients };
    Some(Outline { format: Format::Jpeg, width, height, is_whole, decode_bytes })
}

/// Returns the next marker of a JPEG, after skipping bytes that belong to none.
fn jpeg_marker(file: &mut impl Read) -> Option<u8> {
    let mut is_marker = false;
    loop {
        let [byte]: [u8; 1] = take(file)?;
        match byte {
            0xff => is_marker = true,
            0 => is_marker = false,
            marker if is_marker => return Some(marker),
            _ => {}
        }
    }
}

/// Returns whether the frame is sequential, its width, its height and its number of colours, which is one to four.
fn jpeg_frame(file: &mut (impl Read + Seek)) -> Option<(bool, u32, u32, u8)> {
    loop {
        let marker = jpeg_marker(file)?;
        if matches!(marker, 0x01 | 0xd0..=0xd9) {
            continue;
        }
        let length = i64::from(u16::from_be_bytes(take(file)?));
        // Markers from C0 to CF begin a frame, except for three: C4 (Huffman tables), C8 (reserved) and CC (arithmetic coding).
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let [_, high, low, wide, narrow, colours]: [u8; 6] = take(file)?;
            file.seek_relative(length - 8).ok()?;
            let side = |bytes| u32::from(u16::from_be_bytes(bytes));
            let is_baseline = matches!(marker, 0xc0 | 0xc1);
            return Some((is_baseline, side([wide, narrow]), side([high, low]), colours.clamp(1, 4)));
        }
        file.seek_relative(length - 2).ok()?;
    }
}

/// Returns how many colours the first scan holds.
fn jpeg_scan(file: &mut (impl Read + Seek)) -> Option<u8> {
    loop {
        let marker = jpeg_marker(file)?;
        let length = i64::from(u16::from_be_bytes(take(file)?));
        if marker == 0xda {
            let [colours] = take(file)?;
            return Some(colours);
        }
        file.seek_relative(length - 2).ok()?;
    }
}

/// Skips from chunk to chunk through all frames of a WebP. A frame may be declared larger than the canvas, and the decoder decodes it before it
/// notices.
fn webp(file: &mut (impl Read + Seek), riff_bytes: u32) -> Option<Outline> {
    let name: [u8; 4] = take(file)?;
    if &name != b"WEBP" {
        return None;
    }
    let mut canvas = None;
    let (mut largest, mut lossless_bytes) = (0, 0);
    let mut pixel_bytes = WEBP_PLAIN;
    while let Some(chunk) = webp_chunk(file) {
        match chunk {
            WebpChunk::Canvas { size, is_animated, has_alpha } => {
                canvas.get_or_insert(size);
                pixel_bytes = match (is_animated, has_alpha) {
                    (true, _) => WEBP_ANIMATED,
                    (false, true) => WEBP_ALPHA,
                    (false, false) => WEBP_PLAIN,
                };
            }
            WebpChunk::Frame { size: (width, height), lossless_bytes: bytes } => {
                largest = largest.max(u64::from(width) * u64::from(height));
                lossless_bytes = lossless_bytes.max(bytes);
                // A file that begins with a frame and no canvas has no other frame.
                if canvas.replace(canvas.unwrap_or((width, height))).is_none() {
                    break;
                }
            }
            WebpChunk::Alpha { bytes } => lossless_bytes = lossless_bytes.max(bytes),
            WebpChunk::Other => {}
        }
    }
    let (width, height) = canvas?;
    let largest = largest.max(u64::from(width) * u64::from(height));
    let file_bytes = file.seek(SeekFrom::End(0)).ok()?;
    let is_whole = file_bytes >= u64::from(riff_bytes) + 8;
    // A chunk may be declared longer than the file.
    let decode_bytes = largest * pixel_bytes + lossless_bytes.min(file_bytes) * WEBP_TABLES;
    Some(Outline { format: Format::WebP, width, height, is_whole, decode_bytes })
}

enum WebpChunk {
    Canvas { size: (u32, u32), is_animated: bool, has_alpha: bool },
    Frame { size: (u32, u32), lossless_bytes: u64 },
    Alpha { bytes: u64 },
    Other,
}

/// Reads one chunk and seeks to the next. Of an animation's frame (`ANMF`) it reads only the header, so that the chunks inside the frame come next.
fn webp_chunk(file: &mut (impl Read + Seek)) -> Option<WebpChunk> {
    let (name, length): ([u8; 4], u32) = (take(file)?, u32::from_le_bytes(take(file)?));
    let (length, bytes) = (i64::from(length), u64::from(length));
    let (chunk, read) = match &name {
        b"VP8X" => {
            let [flags, _, _, _, w, wi, wid, h, he, hei]: [u8; 10] = take(file)?;
            let side = |bytes| u32::from_le_bytes(bytes) + 1;
            let size = (side([w, wi, wid, 0]), side([h, he, hei, 0]));
            let (is_animated, has_alpha) = (flags & 2 != 0, flags & 16 != 0);
            (WebpChunk::Canvas { size, is_animated, has_alpha }, 10)
        }
        b"VP8L" => {
            let [_, sides @ ..]: [u8; 5] = take(file)?;
            let sides = u32::from_le_bytes(sides);
            let size = ((sides & 0x3fff) + 1, (sides >> 14 & 0x3fff) + 1);
            (WebpChunk::Frame { size, lossless_bytes: bytes }, 5)
        }
        b"VP8 " => {
            let [_, _, _, _, _, _, w, wi, h, he]: [u8; 10] = take(file)?;
            let side = |bytes| u32::from(u16::from_le_bytes(bytes) & 0x3fff);
            (WebpChunk::Frame { size: (side([w, wi]), side([h, he])), lossless_bytes: 0 }, 10)
        }
        // The alpha channel may be a lossless picture of its own.
        b"ALPH" => (WebpChunk::Alpha { bytes }, 0),
        b"ANMF" => {
            file.seek_relative(16).ok()?;
            return Some(WebpChunk::Other);
        }
        _ => (WebpChunk::Other, 0),
    };
    file.seek_relative(length + (length & 1) - read).ok()?;
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const JPEG_FILE: &[u8] =
        b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x1e\0\x28\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0x\xff\xd9";
    const PNG_FILE: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x28\0\0\0\x1e\x08\x02\0\0\0crc.\0\0\0\x03IDATabccrc.\0\0\0\0IENDcrc.";
    const WEBP_FILE: &[u8] = b"RIFF\x11\0\0\0WEBPVP8L\x05\0\0\0\x2f\x27\x40\x07\0";

    /// Returns a complete WebP with these chunks.
    fn webp_file(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let body: Vec<u8> = chunks
            .iter()
            .flat_map(|(name, data)| {
                let padding = &[0][..data.len() % 2];
                [&name[..], &(data.len() as u32).to_le_bytes(), data, padding].concat()
            })
            .collect();
        [b"RIFF", &(body.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &body].concat()
    }

    #[test]
    fn a_whole_file_says_its_size_and_a_part_of_it_is_not_whole() {
        for (file, format) in [(PNG_FILE, Format::Png), (JPEG_FILE, Format::Jpeg), (WEBP_FILE, Format::WebP)]
        {
            let whole = outline(Cursor::new(file)).unwrap();
            assert_eq!((whole.format, whole.width, whole.height, whole.is_whole), (format, 40, 30, true));
            for length in 0..file.len() {
                let part = outline(Cursor::new(&file[..length]));
                assert!(part.is_none_or(|part| !part.is_whole), "{length} of {format:?}");
            }
        }
    }

    #[test]
    fn a_jpeg_takes_its_coefficients_unless_its_first_scan_holds_all_colours() {
        let jpeg = |frame: u8, colours: u8, in_scan: u8| {
            let frame = [&[0xff, frame, 0, 8 + colours * 3, 8, 0x03, 0xe8, 0x03, 0xe8, colours][..]].concat();
            let parts = vec![0x11; usize::from(colours) * 3];
            let scan = [0xff, 0xda, 0, 6, in_scan, 0, 0, 0];
            let file = [JPEG, &frame, &parts, &scan, &JPEG_END].concat();
            outline(Cursor::new(file)).unwrap().decode_bytes
        };
        let (pixels, padded, rows) = (1000 * 1000, 1024 * 1024, 1024 * 512);
        assert_eq!(jpeg(0xc0, 3, 3), 3 * pixels + 3 * rows);
        assert_eq!(jpeg(0xc0, 1, 1), pixels + rows);
        assert_eq!(jpeg(0xc2, 3, 3), 3 * pixels + 3 * rows + 6 * padded);
        assert_eq!(jpeg(0xc0, 3, 1), 3 * pixels + 3 * rows + 6 * padded);
        assert_eq!(jpeg(0xc2, 4, 4), 4 * pixels + 4 * rows + 8 * padded);
    }

    #[test]
    fn a_webp_takes_what_its_largest_frame_takes() {
        let canvas = |flags: u8| [&[flags, 0, 0, 0][..], &[99, 0, 0, 49, 0, 0]].concat();
        let lossy = |side: u16| [&[0; 6][..], &side.to_le_bytes(), &side.to_le_bytes()].concat();
        let frame = |side: u16| {
            let inside = [b"VP8 ", &10_u32.to_le_bytes()[..], &lossy(side)].concat();
            [&[0; 16][..], &inside].concat()
        };
        let bytes = |chunks: &[(&[u8; 4], &[u8])]| {
            let outline = outline(Cursor::new(webp_file(chunks))).unwrap();
            assert!(outline.is_whole);
            ((outline.width, outline.height), outline.decode_bytes)
        };
        assert_eq!(bytes(&[(b"VP8 ", &lossy(100))]), ((100, 100), 10_000 * WEBP_PLAIN));
        let still = bytes(&[(b"VP8X", &canvas(0)), (b"VP8 ", &lossy(10))]);
        assert_eq!(still, ((100, 50), 5_000 * WEBP_PLAIN));
        let with_alpha = bytes(&[(b"VP8X", &canvas(16)), (b"ICCP", b"odd"), (b"VP8 ", &lossy(1_000))]);
        assert_eq!(with_alpha, ((100, 50), 1_000_000 * WEBP_ALPHA));
        let animated = bytes(&[(b"VP8X", &canvas(2)), (b"ANMF", &frame(10)), (b"ANMF", &frame(200))]);
        assert_eq!(animated, ((100, 50), 40_000 * WEBP_ANIMATED));
        let lossless = [&[0x2f, 9, 0x40, 2, 0][..], &[0; 1_000]].concat();
        assert_eq!(bytes(&[(b"VP8L", &lossless)]), ((10, 10), 100 * WEBP_PLAIN + 1_005 * WEBP_TABLES));
        let alpha = [(b"VP8X", &canvas(16)[..]), (b"ALPH", &[1; 60]), (b"VP8 ", &lossy(10))];
        assert_eq!(bytes(&alpha), ((100, 50), 5_000 * WEBP_ALPHA + 60 * WEBP_TABLES));
        let mut cut = webp_file(&[(b"VP8L", &lossless)]);
        cut[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        let cut = outline(Cursor::new(&cut)).unwrap();
        assert_eq!(cut.decode_bytes, 100 * WEBP_PLAIN + 1_026 * WEBP_TABLES);
    }

    proptest! {
        #[test]
        fn no_bytes_keep_it_busy(start in 0_usize..3, rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let start: &[u8] = match start { 0 => PNG, 1 => JPEG, _ => b"RIFF\0\0\0\0WEBP" };
            let _ = outline(Cursor::new([start, &rest].concat()));
        }
    }
}
