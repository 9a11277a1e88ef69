//! Where every frame and sample of a film is: from the lengths of the speech to frames of shots, transitions and starts of narration.
//!
//! A transition is a clip of its own. Shot `i` is drawn longer than it lasts, by the frames of the transition behind it; its body is what
//! no transition covers. The transition shows the shot's own extra frames over the first frames of the next one, so nothing shortens, and
//! the film has exactly as many frames as its shots.

use std::ops::Range;

use thiserror::Error;

/// Samples a second of all sound.
pub const SAMPLE_RATE: u32 = 48_000;
/// The longest speech of one shot: an hour, so that sums stay far from the bounds of numbers.
const MOST_SAMPLES: u64 = SAMPLE_RATE as u64 * 3600;
/// The most frames a second.
pub const MOST_FPS: u32 = 240;

/// How a film changes from one shot to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// From one frame to the next.
    Cut,
    /// Over the frames of a transition.
    Dissolve,
}

/// What all shots of a film share. Times are in samples at 48 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Frames a second.
    pub fps: u32,
    /// Frames of a dissolve.
    pub transition_frames: u32,
    /// Silence before the narration of a shot that a cut begins.
    pub cut_lead: u64,
    /// Silence before the narration of a shot that a dissolve begins; where the dissolve is longer, its length counts.
    pub dissolve_lead: u64,
    /// Silence behind the narration.
    pub tail: u64,
    /// The least length of a shot.
    pub least: u64,
}

impl Pace {
    /// The defaults at a rate of frames: dissolves of 0.4 s, a lead of as much (0.15 s at a cut), a tail of 0.3 s, and shots of 2 s at least.
    pub fn new(fps: u32) -> Self {
        Self {
            fps,
            transition_frames: frames_of(f64_samples(0.4), fps),
            cut_lead: f64_samples(0.15),
            dissolve_lead: f64_samples(0.4),
            tail: f64_samples(0.3),
            least: f64_samples(2.0),
        }
    }
}

/// What a shot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShotLength {
    /// Samples of its narration, as decoded; 0 for a silent shot.
    pub speech: u64,
    /// Its own least length, in samples.
    pub least: u64,
    /// How long its picture stays behind the narration and its tail, in samples.
    pub hold: u64,
    /// How it follows the shot before it. The first one begins the film.
    pub change: Change,
}

/// A shot in the film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedShot {
    /// The first frame of the shot in the film.
    pub start_frame: u64,
    /// Frames from its start to the next one's.
    pub frames: u64,
    /// Frames that are drawn: its own, and those that show during the transition behind it.
    pub drawn_frames: u64,
    /// The drawn frames that its body has; before it the transition that leads here shows the shot.
    pub body: Range<u64>,
    /// Frames of the transition behind it: its drawn frames from `frames` on, over the next shot's first ones. 0 is a cut.
    pub transition_frames: u64,
    /// The sample at which its narration starts in the film.
    pub speech_start: u64,
    /// Samples of its narration.
    pub speech: u64,
}

/// A film's frames and samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// Frames a second.
    pub fps: u32,
    /// The shots in their order.
    pub shots: Vec<PlacedShot>,
    /// Frames of the film.
    pub frames: u64,
    /// Samples of the film's sound, at 48 kHz.
    pub samples: u64,
}

/// Why shots make no timeline.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimelineError {
    /// There is nothing to show.
    #[error("a film needs a shot")]
    NoShots,
    /// The rate of frames is not possible.
    #[error("{0} frames a second are not possible: use 1 to {MOST_FPS}")]
    Fps(u32),
    /// A shot is too long.
    #[error("shot {number} is longer than an hour")]
    TooLong {
        /// The shot's number, from 1.
        number: usize,
    },
}

/// Places shots one after the other.
pub fn timeline(pace: &Pace, shots: &[ShotLength]) -> Result<Timeline, TimelineError> {
    if shots.is_empty() {
        return Err(TimelineError::NoShots);
    }
    if !(1..=MOST_FPS).contains(&pace.fps) {
        return Err(TimelineError::Fps(pace.fps));
    }
    let mut placed = Vec::with_capacity(shots.len());
    let mut start_frame = 0;
    for (index, shot) in shots.iter().enumerate() {
        let longest =
            [shot.speech, shot.least, shot.hold, pace.tail, pace.least, pace.cut_lead, pace.dissolve_lead];
        if longest.into_iter().any(|samples| samples > MOST_SAMPLES) {
            return Err(TimelineError::TooLong { number: index + 1 });
        }
        let transition_before = if index == 0 { 0 } else { transition_frames(pace, shot.change) };
        let next = shots.get(index + 1);
        let transition_behind = next.map_or(0, |next| transition_frames(pace, next.change));
        let lead = lead(pace, shot.change, transition_before);
        let least = pace.least.max(shot.least).max(lead + shot.speech + pace.tail + shot.hold);
        let frames = u64::from(frames_of(least, pace.fps)).max(transition_before).max(1);
        placed.push(PlacedShot {
            start_frame,
            frames,
            drawn_frames: frames + transition_behind,
            body: transition_before..frames,
            transition_frames: transition_behind,
            speech_start: samples_at(start_frame, pace.fps) + lead,
            speech: shot.speech,
        });
        start_frame += frames;
    }
    let samples = samples_at(start_frame, pace.fps);
    Ok(Timeline { fps: pace.fps, shots: placed, frames: start_frame, samples })
}

fn transition_frames(pace: &Pace, change: Change) -> u64 {
    match change {
        Change::Cut => 0,
        Change::Dissolve => u64::from(pace.transition_frames),
    }
}

/// The silence before a narration, so that no speech and no subtitle begins within the dissolve.
fn lead(pace: &Pace, change: Change, transition_before: u64) -> u64 {
    match change {
        Change::Cut => pace.cut_lead,
        Change::Dissolve => pace.dissolve_lead.max(samples_until(transition_before, pace.fps)),
    }
}

/// The least number of frames that last as long as the samples.
fn frames_of(samples: u64, fps: u32) -> u32 {
    u32::try_from((samples * u64::from(fps)).div_ceil(u64::from(SAMPLE_RATE))).unwrap_or(u32::MAX)
}

/// The sample at which a frame starts. Where frames have no whole number of samples, each start is rounded down by itself, so nothing adds up.
pub fn samples_at(frame: u64, fps: u32) -> u64 {
    frame * u64::from(SAMPLE_RATE) / u64::from(fps.max(1))
}

/// The least number of samples that last as long as the frames.
fn samples_until(frames: u64, fps: u32) -> u64 {
    (frames * u64::from(SAMPLE_RATE)).div_ceil(u64::from(fps.max(1)))
}

/// Samples of a time in seconds, rounded to the nearest; a time that is none has none.
pub fn f64_samples(seconds: f64) -> u64 {
    (seconds.max(0.0) * f64::from(SAMPLE_RATE)).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spoken(seconds: f64, change: Change) -> ShotLength {
        ShotLength { speech: f64_samples(seconds), least: 0, hold: 0, change }
    }

    #[test]
    fn dissolves_and_cuts_have_their_frames() {
        let shots = [
            spoken(5.0, Change::Dissolve),
            spoken(3.01, Change::Dissolve),
            spoken(0.0, Change::Cut),
            ShotLength { hold: f64_samples(1.0), ..spoken(2.0, Change::Dissolve) },
            ShotLength { least: f64_samples(4.0), ..spoken(1.0, Change::Cut) },
        ];
        let timeline = timeline(&Pace::new(30), &shots).unwrap();
        let facts = timeline.shots.iter().map(|shot| {
            (
                shot.start_frame,
                shot.frames,
                shot.drawn_frames,
                shot.body.clone(),
                shot.transition_frames,
                shot.speech_start,
            )
        });
        assert_eq!(
            facts.collect::<Vec<_>>(),
            [
                (0, 171, 183, 0..171, 12, 19_200),
                (171, 112, 112, 12..112, 0, 171 * 1600 + 19_200),
                (283, 60, 72, 0..60, 12, 283 * 1600 + 7_200),
                (343, 111, 111, 12..111, 0, 343 * 1600 + 19_200),
                (454, 120, 120, 0..120, 0, 454 * 1600 + 7_200),
            ]
        );
        assert_eq!((timeline.frames, timeline.samples), (574, 574 * 1600));
    }

    #[test]
    fn what_makes_no_film_is_refused() {
        let shot = spoken(1.0, Change::Cut);
        for (fps, shots, error) in [
            (30, vec![], TimelineError::NoShots),
            (0, vec![shot], TimelineError::Fps(0)),
            (1000, vec![shot], TimelineError::Fps(1000)),
            (30, vec![shot, spoken(4000.0, Change::Cut)], TimelineError::TooLong { number: 2 }),
        ] {
            assert_eq!(timeline(&Pace { fps, ..Pace::new(30) }, &shots), Err(error));
        }
    }

    fn shot() -> impl Strategy<Value = ShotLength> {
        let change = prop_oneof![Just(Change::Cut), Just(Change::Dissolve)];
        (0_u64..1_000_000, 0_u64..300_000, 0_u64..200_000, change)
            .prop_map(|(speech, least, hold, change)| ShotLength { speech, least, hold, change })
    }

    proptest! {
        #[test]
        fn sums_are_exact_and_nothing_shortens(
            shots in proptest::collection::vec(shot(), 1..40),
            fps in 1_u32..=MOST_FPS,
            transition_frames in 0_u32..100,
            tail in 0_u64..50_000,
        ) {
            let pace = Pace { transition_frames, tail, ..Pace::new(fps) };
            let timeline = timeline(&pace, &shots).unwrap();
            // The film is bodies and transitions, joined.
            let bodies: u64 = timeline.shots.iter().map(|shot| shot.body.end - shot.body.start).sum();
            let transitions: u64 = timeline.shots.iter().map(|shot| shot.transition_frames).sum();
            prop_assert_eq!(bodies + transitions, timeline.frames);
            prop_assert_eq!(timeline.frames * 48_000 / u64::from(fps), timeline.samples);
            let mut start = 0;
            let mut transition = 0;
            for (placed, shot) in timeline.shots.iter().zip(&shots) {
                prop_assert_eq!(placed.start_frame, start);
                // The body begins where the transition before it ended.
                prop_assert_eq!(placed.body.start, transition);
                prop_assert_eq!(placed.drawn_frames, placed.frames + placed.transition_frames);
                transition = placed.transition_frames;
                start += placed.frames;
                // The narration is outside the transition, and all of it with its tail before the next shot.
                let dissolved = samples_until(placed.start_frame + placed.body.start, fps);
                prop_assert!(placed.speech_start + 1 >= dissolved);
                prop_assert!(placed.speech_start + placed.speech + tail + shot.hold <= samples_at(start, fps));
                prop_assert_eq!(placed.speech, shot.speech);
                prop_assert!(samples_until(placed.frames, fps) >= pace.least.max(shot.least));
            }
            prop_assert_eq!(start, timeline.frames);
        }
    }
}
