//! Pictures of 64×64 pixels, masks for them in the two forms that people have, and their pixels.

use std::io::Cursor;

use png::ColorType;

/// The side of a mask, in pixels.
const SIDE: usize = 64;

/// Returns a mask whose left half may change. That half is transparent, and everything is black.
pub fn transparent_left() -> Vec<u8> {
    encoded(ColorType::GrayscaleAlpha, |is_left| if is_left { &[0, 0] } else { &[0, 255] })
}

/// Returns a mask without transparency whose left half may change. That half is white.
pub fn white_left() -> Vec<u8> {
    encoded(ColorType::Grayscale, |is_left| if is_left { &[255] } else { &[0] })
}

/// Returns a picture with colours.
pub fn coloured() -> Vec<u8> {
    encoded(ColorType::Rgb, |is_left| if is_left { &[200, 30, 30] } else { &[30, 30, 200] })
}

/// Returns a picture in shades of grey.
pub fn grey() -> Vec<u8> {
    encoded(ColorType::Grayscale, |is_left| if is_left { &[200] } else { &[30] })
}

fn encoded(color: ColorType, pixel: impl Fn(bool) -> &'static [u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE as u32, SIDE as u32);
    encoder.set_color(color);
    let pixels: Vec<u8> = (0..SIDE * SIDE).flat_map(|at| pixel(at % SIDE < SIDE / 2)).copied().collect();
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).unwrap();
    bytes
}

/// Returns the samples of the first and of the last pixel in the first row of a PNG.
pub fn first_row(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let samples = info.color_type.samples();
    let row = &pixels[..info.width as usize * samples];
    (row[..samples].to_vec(), row[row.len() - samples..].to_vec())
}
