//! Computes the frames and samples of a film: from the lengths of the speech to frames of shots, transitions and start times of narration.
//!
//! A transition is a separate clip. It shows the extra last frames of a shot over the first frames of the next shot. So each shot is drawn longer
//! than it lasts, by the frames of the transition behind it. The body of a shot is the frames that no transition covers. The film is not shortened by
//! transitions: it has exactly as many frames as its shots together.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Sample rate of all sound, in samples a second.
pub const SAMPLE_RATE: u32 = 48_000;
/// Largest value of each length that is given, in samples: an hour. Sums of them cannot overflow.
const MOST_SAMPLES: u64 = SAMPLE_RATE as u64 * 3600;
/// Largest frame rate, in frames a second.
pub const MOST_FPS: u32 = 240;

/// How a film changes from one shot to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transition {
    /// The next shot follows without a transition.
    Cut,
    /// The next shot is blended in during the frames of a transition.
    Dissolve,
}

/// The settings that all shots of a film share. Times are in samples at 48 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The frame rate, in frames a second.
    pub fps: u32,
    /// The length of a dissolve, in frames.
    pub transition_frames: u32,
    /// The silence before the narration of a shot that follows a cut.
    pub cut_lead: u64,
    /// The silence before the narration of a shot that follows a dissolve. If the dissolve is longer, its length is used.
    pub dissolve_lead: u64,
    /// The silence behind the narration.
    pub tail: u64,
    /// The minimum length of a shot.
    pub least: u64,
}

impl Pace {
    /// Returns the defaults for a frame rate: dissolves of 0.4 s, silence of 0.4 s before the narration (0.15 s after a cut) and 0.3 s behind it, and
    /// shots of at least 2 s.
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

/// The lengths that determine how long a shot lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShotLength {
    /// The length of its decoded narration, in samples; 0 for a silent shot.
    pub speech: u64,
    /// The minimum length of this shot, in samples.
    pub least: u64,
    /// How long its picture is shown after the narration and the silence behind it, in samples.
    pub hold: u64,
    /// How long a title is shown before the narration, in samples; 0 for none.
    pub title: u64,
    /// How long a text is shown at the end of the shot, after the narration and the time above, in samples; 0 for none.
    pub end_card: u64,
    /// How the film changes from the previous shot to this one. In the first shot it only selects the silence before the narration.
    pub transition: Transition,
}

/// The frames and samples of one shot in the film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedShot {
    /// The first frame of the shot in the film.
    pub start_frame: u64,
    /// The number of frames from its start to the start of the next shot.
    pub frames: u64,
    /// The number of frames to draw: `frames`, and those that are shown during the transition behind it.
    pub drawn_frames: u64,
    /// The number of frames to draw if the shot showed no titles. A clip that is generated for the shot has this length.
    pub untitled_frames: u64,
    /// The drawn frames that are its body. The frames before it are shown during the transition before this shot.
    pub body: Range<u64>,
    /// The length of the transition behind it, in frames; 0 for a cut. It shows the drawn frames from `frames` on over the first frames of the next
    /// shot.
    pub transition_frames: u64,
    /// The sample of the film at which its narration starts.
    pub speech_start: u64,
    /// The length of its narration, in samples.
    pub speech: u64,
    /// The samples of the film during which its title is shown. They end where its narration starts.
    pub title: Range<u64>,
    /// The samples of the film during which the text at its end is shown. They end with the shot.
    pub end_card: Range<u64>,
}

/// The frames and samples of a film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// The frame rate, in frames a second.
    pub fps: u32,
    /// The shots in their order.
    pub shots: Vec<PlacedShot>,
    /// The film's length in frames.
    pub frames: u64,
    /// The length of the film's sound, in samples at 48 kHz.
    pub samples: u64,
}

/// Why no timeline can be computed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimelineError {
    /// There are no shots.
    #[error("a film needs a shot")]
    NoShots,
    /// The frame rate is 0 or larger than [`MOST_FPS`].
    #[error("{0} frames a second are not possible: use 1 to {MOST_FPS}")]
    Fps(u32),
    /// A length that concerns this shot is longer than an hour.
    #[error("shot {number} is longer than an hour")]
    TooLong {
        /// The shot's number, from 1.
        number: usize,
    },
}

/// Computes the timeline of shots that follow each other.
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
        let own = [shot.speech, shot.least, shot.hold, shot.title, shot.end_card];
        let shared = [pace.tail, pace.least, pace.cut_lead, pace.dissolve_lead];
        if own.into_iter().chain(shared).any(|samples| samples > MOST_SAMPLES) {
            return Err(TimelineError::TooLong { number: index + 1 });
        }
        let transition_before = if index == 0 { 0 } else { transition_frames(pace, shot.transition) };
        let next = shots.get(index + 1);
        let transition_behind = next.map_or(0, |next| transition_frames(pace, next.transition));
        let lead = lead(pace, shot.transition, transition_before);
        let needed = lead + shot.speech + pace.tail + shot.hold;
        let frames_with = |titles: u64| {
            let least = pace.least.max(shot.least).max(needed + titles);
            u64::from(frames_of(least, pace.fps)).max(transition_before).max(1)
        };
        let frames = frames_with(shot.title + shot.end_card);
        let title_start = samples_at(start_frame, pace.fps) + lead;
        let end = samples_at(start_frame + frames, pace.fps);
        placed.push(PlacedShot {
            start_frame,
            frames,
            drawn_frames: frames + transition_behind,
            untitled_frames: frames_with(0) + transition_behind,
            body: transition_before..frames,
            transition_frames: transition_behind,
            speech_start: title_start + shot.title,
            speech: shot.speech,
            title: title_start..title_start + shot.title,
            end_card: end - shot.end_card..end,
        });
        start_frame += frames;
    }
    let samples = samples_at(start_frame, pace.fps);
    Ok(Timeline { fps: pace.fps, shots: placed, frames: start_frame, samples })
}

fn transition_frames(pace: &Pace, transition: Transition) -> u64 {
    match transition {
        Transition::Cut => 0,
        Transition::Dissolve => u64::from(pace.transition_frames),
    }
}

/// Returns the silence before a narration, in samples. It covers the dissolve, so that no speech and no subtitle begins during it.
fn lead(pace: &Pace, transition: Transition, transition_before: u64) -> u64 {
    match transition {
        Transition::Cut => pace.cut_lead,
        Transition::Dissolve => pace.dissolve_lead.max(samples_until(transition_before, pace.fps)),
    }
}

/// Returns the smallest number of frames that last as long as the samples.
fn frames_of(samples: u64, fps: u32) -> u32 {
    u32::try_from((samples * u64::from(fps)).div_ceil(u64::from(SAMPLE_RATE))).unwrap_or(u32::MAX)
}

/// Returns the sample at which a frame starts. Each start is rounded down by itself, so rounding errors do not add up.
pub fn samples_at(frame: u64, fps: u32) -> u64 {
    frame * u64::from(SAMPLE_RATE) / u64::from(fps.max(1))
}

/// Returns the smallest number of samples that last as long as the frames.
fn samples_until(frames: u64, fps: u32) -> u64 {
    (frames * u64::from(SAMPLE_RATE)).div_ceil(u64::from(fps.max(1)))
}

/// Converts seconds to samples, rounded to the nearest. Negative values and NaN become 0.
pub fn f64_samples(seconds: f64) -> u64 {
    (seconds.max(0.0) * f64::from(SAMPLE_RATE)).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spoken(seconds: f64, transition: Transition) -> ShotLength {
        ShotLength { speech: f64_samples(seconds), least: 0, hold: 0, title: 0, end_card: 0, transition }
    }

    #[test]
    fn dissolves_and_cuts_have_their_frames() {
        let shots = [
            spoken(5.0, Transition::Dissolve),
            spoken(3.01, Transition::Dissolve),
            spoken(0.0, Transition::Cut),
            ShotLength { hold: f64_samples(1.0), ..spoken(2.0, Transition::Dissolve) },
            ShotLength {
                least: f64_samples(4.0),
                title: f64_samples(3.0),
                end_card: f64_samples(2.0),
                ..spoken(1.0, Transition::Cut)
            },
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
                (454, 194, 194, 0..194, 0, 454 * 1600 + 7_200 + 144_000),
            ]
        );
        assert_eq!((timeline.frames, timeline.samples), (648, 648 * 1600));
        let last = timeline.shots.last().unwrap();
        assert_eq!(last.title, 454 * 1600 + 7_200..454 * 1600 + 151_200);
        assert_eq!(last.end_card, 648 * 1600 - 96_000..648 * 1600);
    }

    #[test]
    fn what_makes_no_film_is_refused() {
        let shot = spoken(1.0, Transition::Cut);
        for (fps, shots, error) in [
            (30, vec![], TimelineError::NoShots),
            (0, vec![shot], TimelineError::Fps(0)),
            (1000, vec![shot], TimelineError::Fps(1000)),
            (30, vec![shot, spoken(4000.0, Transition::Cut)], TimelineError::TooLong { number: 2 }),
        ] {
            assert_eq!(timeline(&Pace { fps, ..Pace::new(30) }, &shots), Err(error));
        }
    }

    fn shot() -> impl Strategy<Value = ShotLength> {
        let transition = prop_oneof![Just(Transition::Cut), Just(Transition::Dissolve)];
        let titles = prop_oneof![Just((0, 0)), (0_u64..200_000, 0_u64..200_000)];
        (0_u64..1_000_000, 0_u64..300_000, 0_u64..200_000, titles, transition).prop_map(
            |(speech, least, hold, (title, end_card), transition)| ShotLength {
                speech,
                least,
                hold,
                title,
                end_card,
                transition,
            },
        )
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
            // The film consists of the bodies and the transitions.
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
                // The narration begins after the transition and ends, with the silence behind it, before the next shot.
                let dissolved = samples_until(placed.start_frame + placed.body.start, fps);
                prop_assert!(placed.speech_start + 1 >= dissolved);
                prop_assert!(placed.speech_start + placed.speech + tail + shot.hold <= samples_at(start, fps));
                prop_assert_eq!(placed.speech, shot.speech);
                // The title begins after the transition and ends where the narration begins, and the end card begins after the narration.
                prop_assert!(placed.title.start + 1 >= dissolved && placed.title.end == placed.speech_start);
                prop_assert!(placed.end_card.start >= placed.speech_start + placed.speech);
                prop_assert_eq!(placed.end_card.end, samples_at(start, fps));
                prop_assert_eq!((placed.title.end - placed.title.start, placed.end_card.end - placed.end_card.start), (shot.title, shot.end_card));
                prop_assert!(samples_until(placed.frames, fps) >= pace.least.max(shot.least));
            }
            prop_assert_eq!(start, timeline.frames);
        }
    }
}
