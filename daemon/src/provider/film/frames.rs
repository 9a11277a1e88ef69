//! Frames of stills and of dissolves between two of them, in planar YUV.

use std::{fs, io, io::Write};

use reel_protocol::{CameraMove, FilmFormat, FilmedVisual};
use reel_story::{
    camera::{Camera, USUAL_SPEED},
    still::Still,
};

use crate::{
    domain::{CancelSignal, InputFile, ProgressSink},
    memory::{Budget, Holder, Reservation},
    provider::inspect::outline,
};

/// The most pixels of a picture: as many as a square of the longest side of a film has, twice.
const MOST_PIXELS: u64 = 2 * 4_096 * 4_096 * 4;
/// Bytes that a pixel of a picture takes while it is read: as the file's decoder gives it, as RGB, and as planes.
const PIXEL_BYTES: u64 = 4 + 3 + 3;

/// Why there are no frames.
#[derive(Debug, thiserror::Error)]
pub(super) enum FramesError {
    /// The file is no picture that can be drawn.
    #[error("{0}")]
    Picture(String),
    /// The memory budget has no room for it now.
    #[error("{0}")]
    OverMemory(String),
    /// It could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A picture in front of the camera.
#[derive(Debug)]
pub(super) struct Filmed {
    still: Still,
    camera: Camera,
    first_frame: u64,
    fps: u32,
    _held: Reservation,
}

impl Filmed {
    /// Reads a picture. Blocks.
    pub(super) fn open(
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
        let over = |over: crate::budget::OverBudget| FramesError::OverMemory(over.to_string());
        let held = budget.reserve(Holder::Drawing, bytes).map_err(over)?;
        let decoded = image::ImageReader::open(&file.path)?.with_guessed_format()?.decode();
        let rgb = decoded.map_err(|error| picture(error.to_string()))?.into_rgb8();
        let still = Still::new(rgb.as_raw(), rgb.width(), rgb.height(), format.width, format.height);
        let still = still.map_err(|error| picture(error.to_string()))?;
        let camera = camera_of(show.camera);
        Ok(Self { still, camera, first_frame: show.first_frame, fps: format.fps, _held: held })
    }

    /// Draws the frame that stands so many frames behind the first one.
    fn draw(&self, index: u64, frame: &mut Vec<u8>) {
        let seconds = (self.first_frame + index) as f64 / f64::from(self.fps);
        self.still.draw(self.camera.view(seconds, USUAL_SPEED), frame);
    }
}

/// The size of a picture in pixels, by its header.
fn size(file: &InputFile) -> Option<(u32, u32)> {
    let outline = outline(io::BufReader::new(fs::File::open(&file.path).ok()?));
    outline.map(|outline| (outline.width, outline.height))
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

/// Where an attempt looks whether it shall stop, and tells how far it is.
pub(super) struct Reporter {
    pub cancel: CancelSignal,
    pub progress: ProgressSink,
}

impl Reporter {
    /// After a frame: an error once the attempt shall stop.
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

/// Writes the frames of one picture.
pub(super) fn write_still(
    filmed: &Filmed,
    frames: u64,
    reporter: &Reporter,
    pipe: &mut dyn Write,
) -> io::Result<()> {
    let mut frame = Vec::new();
    for index in 0..frames {
        filmed.draw(index, &mut frame);
        pipe.write_all(&frame)?;
        reporter.frame(index + 1, frames)?;
    }
    Ok(())
}

/// Writes the frames of a dissolve: the first one has a little of the second picture, and the last one a little of the first.
pub(super) fn write_dissolve(
    [from, to]: [&Filmed; 2],
    frames: u64,
    reporter: &Reporter,
    pipe: &mut dyn Write,
) -> io::Result<()> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for index in 0..frames {
        from.draw(index, &mut before);
        to.draw(index, &mut after);
        blend(&mut before, &after, index + 1, frames + 1);
        pipe.write_all(&before)?;
        reporter.frame(index + 1, frames)?;
    }
    Ok(())
}

/// Mixes `share` of `all` parts of the second frame into the first.
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
