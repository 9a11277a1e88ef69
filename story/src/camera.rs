//! Slow camera moves over a still picture: which part of it each frame shows.
//!
//! A move has a speed and no fixed duration, so a longer narration does not change the frames before it. It starts gently, and slows down after 80 %
//! of its range, at the usual speed after about eleven seconds.

use serde::{Deserialize, Serialize};

/// The direction of a camera move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Camera {
    /// There is no move: the view is the whole picture.
    Still,
    /// The view zooms in on the centre.
    #[default]
    In,
    /// The view zooms out from the centre.
    Out,
    /// The view moves to the left.
    Left,
    /// The view moves to the right.
    Right,
    /// The view moves up.
    Up,
    /// The view moves down.
    Down,
}

/// The usual speed, in percent a second.
pub const USUAL_SPEED: f64 = 1.5;
/// Largest extent of a move: the logarithm of the zoom, or a fraction of the frame's side.
const RANGE: f64 = 0.2;
/// Fraction of the range after which a move slows down.
const SLOWS_AT: f64 = 0.8;
/// Time that a move takes to reach its speed, in seconds.
const EASE_S: f64 = 0.8;

/// The part of a picture that a frame shows, in fractions of the picture's width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// The left edge of the view.
    pub left: f64,
    /// The upper edge of the view.
    pub top: f64,
    /// The width and the height of the view. They are equal fractions, because both have the proportions of the frame.
    pub size: f64,
}

impl Camera {
    /// Returns the view after this time. The speed is in percent a second: of the zoom, or of the frame's side.
    pub fn view(self, seconds: f64, speed: f64) -> View {
        let moved = moved(seconds, speed / 100.0);
        let centred = |size: f64| View { left: (1.0 - size) / 2.0, top: (1.0 - size) / 2.0, size };
        // The view of a pan is small enough for the whole range around the centre of the picture.
        let size = (-RANGE).exp();
        let pan = (moved - RANGE / 2.0) * size;
        let still = centred(size);
        match self {
            Self::Still => centred(1.0),
            Self::In => centred((-moved).exp()),
            Self::Out => centred((moved - RANGE).exp()),
            Self::Left => View { left: still.left - pan, ..still },
            Self::Right => View { left: still.left + pan, ..still },
            Self::Up => View { top: still.top - pan, ..still },
            Self::Down => View { top: still.top + pan, ..still },
        }
    }
}

/// Returns how far a move has gone after this time: accelerating first, then at its speed, then ever slower towards the end of its range.
fn moved(seconds: f64, speed: f64) -> f64 {
    let seconds = seconds.max(0.0);
    let eased = if seconds < EASE_S { seconds * seconds / (2.0 * EASE_S) } else { seconds - EASE_S / 2.0 };
    let even = speed.max(0.0) * eased;
    let (knee, rest) = (RANGE * SLOWS_AT, RANGE * (1.0 - SLOWS_AT));
    if even <= knee { even } else { knee + rest * (1.0 - (-(even - knee) / rest).exp()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Camera; 7] =
        [Camera::Still, Camera::In, Camera::Out, Camera::Left, Camera::Right, Camera::Up, Camera::Down];

    #[test]
    fn every_view_is_within_the_picture_at_any_time_and_speed() {
        for camera in ALL {
            for speed in [0.0, USUAL_SPEED, 100.0, -5.0] {
                for frame in 0..3000 {
                    let view = camera.view(f64::from(frame) / 30.0, speed);
                    let edges =
                        [view.left, view.top, 1.0 - view.left - view.size, 1.0 - view.top - view.size];
                    assert!(edges.iter().all(|edge| *edge >= -1e-9), "{camera:?} {speed} {frame}: {view:?}");
                }
            }
        }
    }

    #[test]
    fn moves_go_where_their_names_say_at_their_speed() {
        let rate = |camera: Camera, of: fn(View) -> f64| {
            (of(camera.view(4.0, USUAL_SPEED)) - of(camera.view(3.0, USUAL_SPEED))) * 100.0
        };
        let zoom = |view: View| view.size.recip().ln();
        for (camera, of, expected) in [
            (Camera::Still, zoom as fn(View) -> f64, 0.0),
            (Camera::In, zoom, 1.5),
            (Camera::Out, zoom, -1.5),
            (Camera::Left, |view: View| view.left / view.size, -1.5),
            (Camera::Right, |view: View| view.left / view.size, 1.5),
            (Camera::Up, |view: View| view.top / view.size, -1.5),
            (Camera::Down, |view: View| view.top / view.size, 1.5),
        ] {
            let rate = rate(camera, of);
            assert!((rate - expected).abs() < 1e-9, "{camera:?}: {rate} % a second");
        }
    }

    #[test]
    fn no_frame_jumps() {
        for camera in ALL {
            let views: Vec<View> =
                (0..900).map(|frame| camera.view(f64::from(frame) / 30.0, USUAL_SPEED)).collect();
            let steps: Vec<f64> = views
                .windows(2)
                .map(|pair| (pair[1].left - pair[0].left) + (pair[1].top - pair[0].top))
                .collect();
            assert!(steps.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 5e-5), "{camera:?}");
        }
    }
}
