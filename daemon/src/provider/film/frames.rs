//! Makes the frames of pictures and clips, and of dissolves between two of them, in planar YUV (yuv420p).

use std::{
    fs, io,
    io::{BufRead as _, BufReader, Read as _, Write},
    path::Path,
};

use image::{DynamicImage, ImageDecoder as _, metadata::Orientation};
use reel_protocol::{CameraMove, FilmFormat, FilmedVisual};
use reel_story::{
    camera::{Camera, USUAL_SPEED},
    still::Still,
};

use crate::{
    domain::{CancelSignal, InputFile, ProgressSink},
    memory::{Budget, Holder, OverBudget, Reservation},
    provider::command::Made,
};

/// Largest picture, in pixels: eight times the largest frame of a film, which has 4096 x 4096.
const MOST_PIXELS: u64 = 2 * 4_096 * 4_096 * 4;
/// Bytes that a pixel of a picture takes while the picture is read: as decoded (16 bits per channel), as RGB, and as planes.
const PIXEL_BYTES: u64 = 8 + 3 + 2;

/// Why no frames can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramesError {
    /// The file is not a picture that can be drawn.
    #[error("{0}")]
    Picture(String),
    /// The memory budget has no room for the picture at the moment.
    #[error("{0}")]
    OverMemory(OverBudget),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A source of the frames of a run, in their order.
#[derive(Debug)]
pub(super) enum Filmed {
    /// A picture over which a camera moves.
    Picture {
        still: Still,
        camera: Camera,
        /// The shot's frame that is drawn next.
        frame: u64,
        fps: u32,
        _held: Reservation,
    },
    /// A file of raw frames that were decoded from a clip.
    Frames {
        file: BufReader<fs::File>,
        frame_bytes: usize,
        /// Keeps the file until this is dropped.
        _made: Made,
    },
}

impl Filmed {
    /// Opens a file of raw frames that `ffmpeg` decoded. Blocks.
    pub(super) fn frames(made: Made, format: FilmFormat) -> io::Result<Self> {
        let frame_bytes = format.width as usize * format.height as usize * 3 / 2;
        let file = BufReader::new(fs::File::open(&made.path)?);
        Ok(Self::Frames { file, frame_bytes, _made: made })
    }

    /// Reads a picture, and reserves its memory. Blocks.
    pub(super) fn picture(
        file: &InputFile,
        show: FilmedVisual,
        format: FilmFormat,
        budget: &Budget,
    ) -> Result<Self, FramesError> {
        let picture = |why: String| FramesError::Picture(format!("the picture cannot be filmed: {why}"));
        let (width, height) = size(file).ok_or_else(|| picture(format!("it is {}", file.media_type)))?;
        let pixels = u64::from(width) * u64::from(height);
        if pixels > MOST_PIXELS {
            return Err(picture(format!("it has {width}x{height} pixels")));
        }
        let bytes = pixels * PIXEL_BYTES + file.size_bytes;
        let held = budget.reserve(Holder::Drawing, bytes).map_err(FramesError::OverMemory)?;
        let rgb = decode(&file.path)?.map_err(|error| picture(error.to_string()))?;
        let still = Still::new(rgb.as_raw(), rgb.width(), rgb.height(), format.width, format.height);
        let still = still.map_err(|error| picture(error.to_string()))?;
        let (camera, frame, fps) = (camera_of(show.camera), show.first_frame, format.fps);
        Ok(Self::Picture { still, camera, frame, fps, _held: held })
    }

    /// Writes the next frame to `into`. A file that has no further frame leaves the previous one there.
    fn next(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Picture { still, camera, frame, fps, .. } => {
                let seconds = *frame as f64 / f64::from(*fps);
                still.draw(camera.view(seconds, USUAL_SPEED), into);
                *frame += 1;
            }
            Self::Frames { file, frame_bytes, .. } => {
                let is_first = into.is_empty();
                into.resize(*frame_bytes, 0);
                match file.fill_buf() {
                    Ok([]) if !is_first => {}
                    _ => file.read_exact(into)?,
                }
            }
        }
        Ok(())
    }
}

/// Returns the pixels of a picture. They are turned upright by its orientation tag, and transparent parts are put on black.
fn decode(path: &Path) -> io::Result<image::ImageResult<image::RgbImage>> {
    let reader = image::ImageReader::open(path)?.with_guessed_format()?;
    Ok(reader.into_decoder().and_then(|mut decoder| {
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        if !picture.color().has_alpha() {
            return Ok(picture.into_rgb8());
        }
        let rgba = picture.into_rgba8();
        let (width, height) = rgba.dimensions();
        let on_black = |pixel: &[u8]| match *pixel {
            [r, g, b, a] => [r, g, b].map(|value| (u16::from(value) * u16::from(a) / 255) as u8),
            _ => [0; 3],
        };
        let rgb: Vec<u8> = rgba.as_raw().chunks_exact(4).flat_map(on_black).collect();
        Ok(image::RgbImage::from_raw(width, height, rgb).unwrap_or_default())
    }))
}

/// Returns the width and the height of a picture in pixels, from its header; `None` if it is no picture that can be decoded here: PNG, JPEG, WebP,
/// GIF or BMP.
fn size(file: &InputFile) -> Option<(u32, u32)> {
    image::ImageReader::open(&file.path).ok()?.with_guessed_format().ok()?.into_dimensions().ok()
}

const fn camera_of(camera: CameraMove) -> Camera {
    match camera {
        CameraMove::Still => Camera::Still,
        CameraMove::In => Camera::In,
        CameraMove::Out => Camera::Out,
        CameraMove::Left => Camera::Left,
        CameraMove::Right => Camera::Right,
        CameraMove::Up => Camera::Up,
        CameraMove::Down => Camera::Down,
    }
}

/// Checks after each frame whether the attempt was cancelled, and reports its progress.
pub(super) struct Reporter {
    pub cancel: CancelSignal,
    pub progress: ProgressSink,
}

impl Reporter {
    /// Reports that `done` of `all` frames are written. Fails with `BrokenPipe` once the attempt was cancelled, so that the writing ends.
    fn frame(&self, done: u64, all: u64) -> io::Result<()> {
        if *self.cancel.borrow() {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        if done.is_multiple_of(8) || done == all {
            self.progress.report(done as f64 / all as f64, "rendering");
        }
        Ok(())
    }
}

/// Writes the frames of one run into the pipe.
pub(super) fn write_run(
    filmed: &mut Filmed,
    frames: u64,
    reporter: &Reporter,
    pipe: &mut dyn Write,
) -> io::Result<()> {
    let mut frame = Vec::new();
    for index in 0..frames {
        filmed.next(&mut frame)?;
        pipe.write_all(&frame)?;
        reporter.frame(index + 1, frames)?;
    }
    Ok(())
}

/// Writes the frames of a dissolve into the pipe. Its first frame has a little of the second picture, and its last one a little of the first.
pub(super) fn write_dissolve(
    [from, to]: [&mut Filmed; 2],
    frames: u64,
    reporter: &Reporter,
    pipe: &mut dyn Write,
) -> io::Result<()> {
    let (mut before, mut after, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..frames {
        from.next(&mut before)?;
        to.next(&mut after)?;
        mixed.clone_from(&before);
        blend(&mut mixed, &after, index + 1, frames + 1);
        pipe.write_all(&mixed)?;
        reporter.frame(index + 1, frames)?;
    }
    Ok(())
}

/// Mixes the second frame into the first one, with the weight `share` / `all`.
fn blend(frame: &mut [u8], other: &[u8], share: u64, all: u64) {
    let weight = u32::try_from(share * 256 / all.max(1)).unwrap_or(256).min(256);
    for (sample, other) in frame.iter_mut().zip(other) {
        let mixed = u32::from(*sample) * (256 - weight) + u32::from(*other) * weight + 128;
        *sample = (mixed >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::blend;

    #[test]
    fn a_dissolve_goes_evenly_from_one_to_the_other() {
        let at = |share| {
            let mut frame = [16, 235, 100];
            blend(&mut frame, &[235, 16, 100], share, 4);
            frame
        };
        assert_eq!([at(0), at(2), at(4)], [[16, 235, 100], [126, 126, 100], [235, 16, 100]]);
        assert!(at(1)[0] < at(2)[0] && at(2)[0] < at(3)[0]);
    }
}
