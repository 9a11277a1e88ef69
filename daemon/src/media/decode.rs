//! Decodes audio frames without a checksum, to distinguish good frames from bytes that only look like frames. The samples are dropped. The codecs are
//! those of Symphonia. Only its decoders see bytes of a service, because its container readers allocate as much memory as a file tells them to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia_bundle_mp3::MpaDecoder;
use symphonia_codec_aac::AacDecoder;
use symphonia_core::{
    audio::{Channels, layouts},
    codecs::audio::{
        AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
        well_known::{CODEC_ID_AAC, CODEC_ID_MP3},
    },
    packet::PacketRef,
    units::{Duration, Timestamp},
};

use super::condition::Condition;

/// Frames at the beginning that may refer to frames before them. A service that cuts a longer stream does not send those.
const LEADING_FRAMES: u64 = 2;

/// The decoding of one audio stream.
pub(super) struct Decoding {
    /// None after a failure, or if there is no decoder for the codec.
    decoder: Option<Box<dyn AudioDecoder>>,
    /// The reason why not every frame was decoded, other than bad frames.
    unchecked: Option<&'static str>,
    frames: u64,
    bad_frames: u64,
    /// The number of samples that may still be decoded.
    samples_left: f64,
}

impl Decoding {
    /// Creates a decoder of MP3 frames, which include their headers.
    pub(super) fn mp3(most_samples: f64) -> Self {
        let mut params = AudioCodecParameters::new();
        params.for_codec(CODEC_ID_MP3);
        let decoder = MpaDecoder::try_new(&params, &AudioDecoderOptions::default());
        Self::with(decoder.ok().map(|decoder| Box::new(decoder) as _), most_samples)
    }

    /// Creates a decoder of AAC frames without their headers: Low Complexity with one or two channels.
    pub(super) fn aac(sample_rate: u32, channels: u8, most_samples: f64) -> Self {
        let channels: Channels = match channels {
            1 => layouts::CHANNEL_LAYOUT_MONO,
            2 => layouts::CHANNEL_LAYOUT_STEREO,
            _ => return Self::none("AAC with more than two channels is not decoded here"),
        };
        let mut params = AudioCodecParameters::new();
        params.for_codec(CODEC_ID_AAC).with_sample_rate(sample_rate).with_channels(channels);
        let decoder = AacDecoder::try_new(&params, &AudioDecoderOptions::default());
        Self::with(decoder.ok().map(|decoder| Box::new(decoder) as _), most_samples)
    }

    /// Creates a decoding that decodes nothing, with the reason.
    pub(super) fn none(reason: &'static str) -> Self {
        Self { decoder: None, unchecked: Some(reason), frames: 0, bad_frames: 0, samples_left: 0.0 }
    }

    fn with(decoder: Option<Box<dyn AudioDecoder>>, samples_left: f64) -> Self {
        let unchecked = if decoder.is_some() { None } else { Some("its codec is not decoded here") };
        Self { decoder, unchecked, frames: 0, bad_frames: 0, samples_left }
    }

    /// Stops decoding. The first reason is kept.
    pub(super) fn give_up(&mut self, reason: &'static str) {
        self.decoder = None;
        self.unchecked.get_or_insert(reason);
    }

    /// Decodes a frame with this number of samples.
    pub(super) fn frame(&mut self, frame: &[u8], samples: u64) {
        if self.samples_left <= 0.0 {
            self.give_up("it is longer than what is decoded of one file");
        }
        let Some(decoder) = &mut self.decoder else { return };
        self.samples_left -= samples as f64;
        self.frames += 1;
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::from(samples), frame);
        // If the decoder panics, only this file fails, and the decoder is not used again.
        match catch_unwind(AssertUnwindSafe(|| decoder.decode_ref(&packet).is_ok())) {
            Ok(true) => {}
            Ok(false) if self.frames <= LEADING_FRAMES => {}
            Ok(false) => self.bad_frames += 1,
            Err(_) => self.give_up("its decoder failed"),
        }
    }

    /// Returns the condition of the file, as far as its decoded frames show it.
    pub(super) fn condition(&self) -> Condition {
        if self.bad_frames > 0 {
            let (bad, all) = (self.bad_frames, self.frames);
            return Condition::Damaged(format!("{bad} of its {all} frames cannot be decoded"));
        }
        self.unchecked.map_or(Condition::Whole, |reason| Condition::Unchecked(reason.to_owned()))
    }
}
