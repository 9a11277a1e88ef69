//! Real PNGs of any dimensions and file size that are cheap to make. The pixels are encoded once for each size, and pictures differ only in their
//! palettes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::Random;

/// Offset of the palette's colours. Before it are the signature, `IHDR` and the header of `PLTE`.
const COLOURS_AT: usize = 8 + 25 + 8;
/// Size of a palette of 256 colours, in bytes.
const COLOURS: usize = 256 * 3;
/// Offset of the part that pictures share. It is a multiple of three, so that the base64 of both parts can be concatenated.
const REST_AT: usize = COLOURS_AT + COLOURS + 4;

/// The properties that determine the bytes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Number of incompressible bytes in the file. They are noise in the pixels, and the rest is in a chunk of its own.
    pub(super) noise_bytes: usize,
    /// Determines the colours.
    pub(super) seed: u64,
}

impl Picture {
    /// Returns its file name below `/files/`. The name has all that is needed to make the picture again.
    pub(super) fn file_name(&self) -> String {
        format!("{}-{}-{}-{:x}.png", self.width, self.height, self.noise_bytes, self.seed)
    }

    /// Returns the picture with this file name.
    pub(super) fn of_file_name(name: &str) -> Option<Self> {
        let mut words = name.strip_suffix(".png")?.split('-');
        let (width, height) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let noise_bytes = words.next()?.parse().ok()?;
        Some(Self { width, height, noise_bytes, seed: u64::from_str_radix(words.next()?, 16).ok()? })
    }

    /// Returns the part that differs between pictures of one size: the file up to the end of the palette.
    fn beginning(&self, sheet: &Sheet) -> Vec<u8> {
        let mut bytes = sheet.beginning.clone();
        let mut random = Random::new(self.seed);
        bytes[COLOURS_AT..COLOURS_AT + COLOURS].fill_with(|| random.next_u64() as u8);
        // The CRC of a chunk covers its type and its data.
        let check = crc(&bytes[COLOURS_AT - 4..COLOURS_AT + COLOURS]);
        bytes[COLOURS_AT + COLOURS..].copy_from_slice(&check);
        bytes
    }
}

/// The encoded file that pictures of the same dimensions and noise share.
#[derive(Debug)]
struct Sheet {
    beginning: Vec<u8>,
    rest: Arc<[u8]>,
    rest_base64: Arc<[u8]>,
}

impl Sheet {
    fn encode(width: u32, height: u32, noise_bytes: usize) -> Self {
        let file = encode(width, height, noise_bytes);
        let (beginning, rest) = file.split_at(REST_AT);
        assert_eq!(&beginning[COLOURS_AT - 4..COLOURS_AT], b"PLTE", "the encoder puts the palette first");
        Self {
            beginning: beginning.to_vec(),
            rest: rest.into(),
            rest_base64: STANDARD.encode(rest).into_bytes().into(),
        }
    }
}

fn encode(width: u32, height: u32, noise_bytes: usize) -> Vec<u8> {
    let mut random = Random::new(u64::from(width) << 32 | u64::from(height));
    let mut noise = |length: usize| {
        let words = (0..length.div_ceil(8)).flat_map(|_| random.next_u64().to_le_bytes());
        words.take(length).collect::<Vec<u8>>()
    };
    let area = width as usize * height as usize;
    let mut pixels = noise(noise_bytes.min(area));
    // Wide bands, which compress to few bytes.
    let noisy = pixels.len();
    let bands = |pixel: usize| (pixel % width as usize * 16 / width as usize * 16) as u8;
    pixels.extend((noisy..area).map(bands));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(vec![0; COLOURS]);
    // The fastest compression would make noise a third larger.
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    if noise_bytes > area {
        // The lower and upper case letters mean ancillary, private and safe to copy, so every decoder ignores this chunk.
        writer.write_chunk(png::chunk::ChunkType(*b"noIs"), &noise(noise_bytes - area)).unwrap();
    }
    writer.finish().unwrap();
    file
}

/// Makes pictures, and caches what they share.
#[derive(Debug, Default)]
pub(super) struct Gallery(Mutex<HashMap<(u32, u32, usize), Arc<Sheet>>>);

impl Gallery {
    fn sheet(&self, picture: &Picture) -> Arc<Sheet> {
        let key = (picture.width, picture.height, picture.noise_bytes);
        // Encode while holding the lock. Otherwise concurrent calls for a new size would each encode it.
        let mut sheets = self.0.lock().unwrap();
        Arc::clone(sheets.entry(key).or_insert_with(|| Arc::new(Sheet::encode(key.0, key.1, key.2))))
    }

    /// Returns the file in two parts.
    pub(super) fn bytes(&self, picture: &Picture) -> (Vec<u8>, Arc<[u8]>) {
        let sheet = self.sheet(picture);
        (picture.beginning(&sheet), Arc::clone(&sheet.rest))
    }

    /// Returns the base64 of the file in two parts.
    pub(super) fn base64(&self, picture: &Picture) -> (String, Arc<[u8]>) {
        let sheet = self.sheet(picture);
        (STANDARD.encode(picture.beginning(&sheet)), Arc::clone(&sheet.rest_base64))
    }
}

/// Returns a small PNG whose header declares 50000×50000 pixels.
pub(super) fn declaring_too_much() -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [50_000_u32.to_be_bytes(), 50_000_u32.to_be_bytes()].concat();
    // Bit depth 8, true colour, no interlacing.
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    // A zlib stream with one empty stored block.
    let pixels = [0x78, 0x01, 0x01, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01];
    for (name, data) in [(b"IHDR", header.as_slice()), (b"IDAT", &pixels), (b"IEND", &[])] {
        let named = [name.as_slice(), data].concat();
        file.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        file.extend_from_slice(&named);
        file.extend_from_slice(&crc(&named));
    }
    file
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

/// Returns the FNV-1a hash of a text.
pub(super) fn seed_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
