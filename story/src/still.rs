//! Draws frames from a still picture. Each frame shows another view, placed to a fraction of a pixel so that moves are smooth.
//!
//! Frames are planar YUV 4:2:0 in BT.709 with limited range, as `ffmpeg -f rawvideo -pix_fmt yuv420p` takes them. They need no conversion before
//! encoding, and half the bytes of RGB.

use thiserror::Error;

use crate::camera::View;

/// Largest side of a frame, in pixels.
pub const MOST_SIDE: u32 = 8192;

/// Why no frames can be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StillError {
    /// The picture has no pixels, or the number of bytes does not match its size.
    #[error("a picture of {width}x{height} pixels in RGB does not have {bytes} bytes")]
    Bytes {
        /// The picture's width.
        width: u32,
        /// The picture's height.
        height: u32,
        /// The number of bytes that were passed.
        bytes: usize,
    },
    /// A side of the frame is odd, so that chroma samples do not fit, or it is 0 or larger than [`MOST_SIDE`].
    #[error(
        "frames of {width}x{height} pixels are not possible: both sides must be even, and {MOST_SIDE} at most"
    )]
    Frame {
        /// The frame's width.
        width: u32,
        /// The frame's height.
        height: u32,
    },
}

/// One plane of a picture. It has at least two rows and two columns, so that each sample has neighbours.
#[derive(Debug, Clone)]
struct Plane {
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

/// A picture that is prepared for drawing. It takes one and a half bytes for each pixel.
#[derive(Debug, Clone)]
pub struct Still {
    luma: Plane,
    /// The blue and red difference planes, at half the resolution.
    chroma: [Plane; 2],
    /// The part of the picture that a view of size 1 shows. It has the proportions of the frame: left, top, width and height, in pixels of `luma`.
    covered: [f64; 4],
    frame_width: usize,
    frame_height: usize,
}

/// For each output sample along one axis: the index of a plane sample, and the weight of the next sample in 256ths.
type Steps = Vec<(usize, u32)>;

impl Still {
    /// Prepares a picture of 8-bit RGB for frames of a size. The picture covers the whole frame: what exceeds its proportions is cropped evenly.
    pub fn new(
        rgb: &[u8],
        width: u32,
        height: u32,
        frame_width: u32,
        frame_height: u32,
    ) -> Result<Self, StillError> {
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 || pixels.checked_mul(3) != Some(rgb.len() as u64) {
            return Err(StillError::Bytes { width, height, bytes: rgb.len() });
        }
        let is_side = |side: u32| side > 0 && side.is_multiple_of(2) && side <= MOST_SIDE;
        if !is_side(frame_width) || !is_side(frame_height) {
            return Err(StillError::Frame { width: frame_width, height: frame_height });
        }
        let [mut luma, blue, red] = planes(rgb, width as usize, height as usize);
        let mut chroma = [blue.halved(), red.halved()];
        let scale =
            f64::min(f64::from(width) / f64::from(frame_width), f64::from(height) / f64::from(frame_height));
        let mut covered_width = scale * f64::from(frame_width);
        let mut covered_height = scale * f64::from(frame_height);
        let mut left = (f64::from(width) - covered_width) / 2.0;
        let mut top = (f64::from(height) - covered_height) / 2.0;
        // Drawing reads four samples for each pixel. If the picture has at least twice as many samples on each side, it would skip some, so it is
        // halved first.
        while covered_width >= 2.0 * f64::from(frame_width) {
            luma = luma.halved();
            chroma = chroma.map(|plane| plane.halved());
            for measure in [&mut covered_width, &mut covered_height, &mut left, &mut top] {
                *measure /= 2.0;
            }
        }
        Ok(Self {
            luma,
            chroma,
            covered: [left, top, covered_width, covered_height],
            frame_width: frame_width as usize,
            frame_height: frame_height as usize,
        })
    }

    /// Returns the size of a frame in bytes.
    pub fn frame_bytes(&self) -> usize {
        self.frame_width * self.frame_height * 3 / 2
    }

    /// Replaces `frame` with a frame that shows the view: the luma plane, then the blue and the red chroma plane.
    pub fn draw(&self, view: View, frame: &mut Vec<u8>) {
        frame.clear();
        frame.reserve(self.frame_bytes());
        let [left, top, width, height] = self.covered;
        let (left, top) = (left + view.left * width, top + view.top * height);
        let (scale_x, scale_y) =
            (view.size * width / self.frame_width as f64, view.size * height / self.frame_height as f64);
        let columns = steps(self.frame_width, |column| left + (column + 0.5) * scale_x, self.luma.width);
        let rows = steps(self.frame_height, |row| top + (row + 0.5) * scale_y, self.luma.height);
        self.luma.draw(&columns, &rows, frame);
        // Chroma samples of the frame are aligned with the left one of two columns, and lie midway between two rows. Those of the picture lie midway
        // in both directions.
        for plane in &self.chroma {
            let columns =
                steps(self.frame_width / 2, |column| left / 2.0 + (column + 0.25) * scale_x, plane.width);
            let rows = steps(self.frame_height / 2, |row| top / 2.0 + (row + 0.5) * scale_y, plane.height);
            plane.draw(&columns, &rows, frame);
        }
    }
}

/// Computes the steps along one axis. `at` returns the position of an output sample on the plane, in samples from its edge.
fn steps(count: usize, at: impl Fn(f64) -> f64, side: usize) -> Steps {
    let last = side.saturating_sub(2);
    let step = |index: usize| {
        let at = ((at(index as f64) - 0.5).max(0.0) * 256.0).round() as usize;
        if at / 256 > last { (last, 256) } else { (at / 256, (at % 256) as u32) }
    };
    (0..count).map(step).collect()
}

impl Plane {
    /// Makes a plane of samples. A side of one sample is doubled.
    fn new(width: usize, height: usize, mut samples: Vec<u8>) -> Self {
        if width == 1 {
            samples = samples.into_iter().flat_map(|sample| [sample; 2]).collect();
        }
        if height == 1 {
            samples.extend_from_within(..);
        }
        Self { width: width.max(2), height: height.max(2), samples }
    }

    /// Returns a plane of half the size, in which each sample is the mean of four.
    fn halved(&self) -> Self {
        let pairs = |row: &[u8]| -> Vec<u16> {
            row.chunks(2)
                .map(|pair| {
                    pair.iter().map(|sample| u16::from(*sample)).sum::<u16>() * (3 - pair.len() as u16)
                })
                .collect()
        };
        let mut samples = Vec::with_capacity(self.samples.len() / 4 + self.width);
        for two in self.samples.chunks(2 * self.width) {
            let (upper, lower) = two.split_at(self.width.min(two.len()));
            let lower = if lower.is_empty() { upper } else { lower };
            samples.extend(
                pairs(upper).iter().zip(pairs(lower)).map(|(upper, lower)| ((upper + lower + 2) / 4) as u8),
            );
        }
        Self::new(self.width.div_ceil(2), self.height.div_ceil(2), samples)
    }

    fn row(&self, row: usize) -> &[u8] {
        self.samples.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
    }

    /// Appends the samples at all steps. Each is interpolated from its four neighbours.
    #[expect(
        clippy::indexing_slicing,
        reason = "steps end one before the last row and column, and rows are as wide as the plane"
    )]
    fn draw(&self, columns: &Steps, rows: &Steps, frame: &mut Vec<u8>) {
        // The two rows interpolated vertically, in units of 1/256.
        let mut blended = vec![0_u32; self.width];
        for &(row, fraction) in rows {
            let pairs = self.row(row).iter().zip(self.row(row + 1));
            for (blend, (upper, lower)) in blended.iter_mut().zip(pairs) {
                *blend = u32::from(*upper) * (256 - fraction) + u32::from(*lower) * fraction;
            }
            frame.extend(columns.iter().map(|&(column, fraction)| {
                let mixed = blended[column] * (256 - fraction) + blended[column + 1] * fraction;
                ((mixed + (1 << 15)) >> 16) as u8
            }));
        }
    }
}

/// Converts a picture to planes of its own resolution, in BT.709 with limited range.
fn planes(rgb: &[u8], width: usize, height: usize) -> [Plane; 3] {
    let mut planes = [const { Vec::new() }; 3];
    for plane in &mut planes {
        plane.reserve_exact(width * height);
    }
    let [luma, blue, red] = &mut planes;
    for pixel in rgb.chunks_exact(3) {
        let &[r, g, b] = pixel else { continue };
        let [r, g, b] = [i32::from(r), i32::from(g), i32::from(b)];
        // The weights are those of the standard times 219/255 and 224/255, in units of 1/65536.
        let sample = |r_weight: i32, g_weight: i32, b_weight: i32, base: i32| {
            let sum = r * r_weight + g * g_weight + b * b_weight + (1 << 15);
            ((sum >> 16) + base).clamp(0, 255) as u8
        };
        luma.push(sample(11_966, 40_254, 4_064, 16));
        blue.push(sample(-6_596, -22_189, 28_784, 128));
        red.push(sample(28_784, -26_145, -2_639, 128));
    }
    planes.map(|samples| Plane::new(width, height, samples))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{Camera, USUAL_SPEED};

    const FRAME: (u32, u32) = (640, 360);

    /// Returns a grey picture with a bright blob at the position `at`.
    fn blob(width: u32, height: u32, at: (f64, f64), radius: f64) -> Vec<u8> {
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let distance = (f64::from(x) + 0.5 - at.0).powi(2) + (f64::from(y) + 0.5 - at.1).powi(2);
                let value = 60.0 + 180.0 * (-distance / (2.0 * radius * radius)).exp();
                rgb.extend([value.round() as u8; 3]);
            }
        }
        rgb
    }

    /// Returns the position of the blob's centre in a frame, in pixels from its corner.
    fn middle(frame: &[u8]) -> (f64, f64) {
        let luma = &frame[..(FRAME.0 * FRAME.1) as usize];
        let (mut x_sum, mut y_sum, mut total) = (0.0, 0.0, 0.0);
        for (row, samples) in luma.chunks(FRAME.0 as usize).enumerate() {
            for (column, sample) in samples.iter().enumerate() {
                let weight = (f64::from(*sample) - 76.0).max(0.0);
                x_sum += weight * (column as f64 + 0.5);
                y_sum += weight * (row as f64 + 0.5);
                total += weight;
            }
        }
        (x_sum / total, y_sum / total)
    }

    #[test]
    fn a_blob_moves_without_jitter() {
        let (width, height, at) = (960_u32, 540_u32, (610.3, 180.7));
        let still = Still::new(&blob(width, height, at, 9.0), width, height, FRAME.0, FRAME.1).unwrap();
        let mut frame = Vec::new();
        for camera in [Camera::In, Camera::Out, Camera::Left, Camera::Right, Camera::Up, Camera::Down] {
            let (mut squares, mut most) = (0.0, 0.0_f64);
            for number in 0..150 {
                let view = camera.view(f64::from(number) / 30.0, USUAL_SPEED);
                still.draw(view, &mut frame);
                let found = middle(&frame);
                let expected = |at: f64, side: u32, start: f64, frame_side: u32| {
                    (at / f64::from(side) - start) / view.size * f64::from(frame_side)
                };
                let x = found.0 - expected(at.0, width, view.left, FRAME.0);
                let y = found.1 - expected(at.1, height, view.top, FRAME.1);
                squares += x * x + y * y;
                most = most.max(x.hypot(y));
            }
            let jitter = (squares / 150.0).sqrt();
            assert!(jitter <= 0.05 && most < 0.1, "{camera:?}: {jitter} px rms, {most} px at most");
        }
    }

    #[test]
    fn colours_are_those_of_bt_709() {
        for (rgb, yuv) in [
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ] {
            let still = Still::new(&rgb.repeat(64 * 36), 64, 36, 32, 18).unwrap();
            let mut frame = Vec::new();
            still.draw(Camera::In.view(1.0, USUAL_SPEED), &mut frame);
            assert_eq!(frame.len(), still.frame_bytes());
            let (luma, chroma) = frame.split_at(32 * 18);
            let (blue, red) = chroma.split_at(16 * 9);
            for (plane, sample) in [luma, blue, red].into_iter().zip(yuv) {
                assert!(
                    plane.iter().all(|found| found.abs_diff(sample) <= 1),
                    "{rgb:?}: {plane:?} is not {sample}"
                );
            }
        }
    }

    #[test]
    fn a_picture_of_any_size_covers_the_frame() {
        for (width, height) in
            [(1, 1), (1, 50), (50, 1), (3, 3), (640, 360), (333, 777), (4000, 600), (2560, 1440)]
        {
            let still =
                Still::new(&vec![200; (width * height * 3) as usize], width, height, FRAME.0, FRAME.1)
                    .unwrap();
            let mut frame = Vec::new();
            for seconds in [0.0, 3.0, 60.0] {
                still.draw(Camera::Right.view(seconds, USUAL_SPEED), &mut frame);
                assert_eq!(frame.len(), still.frame_bytes());
                assert!(frame[..640 * 360].iter().all(|sample| *sample == frame[0]), "{width}x{height}");
            }
        }
    }

    #[test]
    fn a_still_view_of_a_picture_of_the_frames_size_is_the_picture() {
        let rgb = blob(FRAME.0, FRAME.1, (100.0, 100.0), 20.0);
        let still = Still::new(&rgb, FRAME.0, FRAME.1, FRAME.0, FRAME.1).unwrap();
        let mut frame = Vec::new();
        still.draw(Camera::Still.view(5.0, USUAL_SPEED), &mut frame);
        assert_eq!(frame[..640 * 360], still.luma.samples);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        for (bytes, size, frame) in [
            (11, (2, 2), (32, 18)),
            (0, (0, 2), (32, 18)),
            (12, (2, 2), (33, 18)),
            (12, (2, 2), (32, 0)),
            (12, (2, 2), (16_384, 18)),
            (12, (u32::MAX, u32::MAX), (32, 18)),
        ] {
            assert!(
                Still::new(&vec![0; bytes], size.0, size.1, frame.0, frame.1).is_err(),
                "{bytes} {size:?}"
            );
        }
    }
}
