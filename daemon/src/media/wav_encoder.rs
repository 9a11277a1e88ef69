//! Writes WAV files with one channel of 16-bit integers at any sample rate. Pure: the caller passes the writer in.

use std::{
    io::{self, Write},
    time::Duration,
};

/// Length of the header before the samples, in bytes.
pub const HEADER_BYTES: u64 = 44;
/// Most samples of a file, because its length field has 32 bits.
pub const MOST_SAMPLES: u64 = (u32::MAX as u64 - HEADER_BYTES) / 2;
/// The block of silence that is written at once.
const PIECE: [u8; 4096] = [0; 4096];

/// The reason why a WAV file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The length field of a WAV file has 32 bits, which is too few.
    #[error("a WAV file holds at most {MOST_SAMPLES} samples, and not {0}")]
    TooLong(u64),
    /// The writer failed.
    #[error("the samples could not be written")]
    Write(#[source] io::Error),
}

impl From<io::Error> for WavError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// Writes samples as a complete WAV file.
pub fn write_wav(out: &mut impl Write, sample_rate: u32, samples: &[i16]) -> Result<(), WavError> {
    out.write_all(&header(sample_rate, samples.len() as u64)?)?;
    for sample in samples {
        out.write_all(&sample.to_le_bytes())?;
    }
    Ok(())
}

/// Writes silence as a complete WAV file. The length is rounded up to the next sample.
pub fn write_silence(out: &mut impl Write, sample_rate: u32, length: Duration) -> Result<(), WavError> {
    let samples = (length.as_nanos() * u128::from(sample_rate)).div_ceil(1_000_000_000);
    let samples = u64::try_from(samples).unwrap_or(u64::MAX);
    out.write_all(&header(sample_rate, samples)?)?;
    let mut left = samples * 2;
    while left > 0 {
        let piece = PIECE.get(..left as usize).unwrap_or(&PIECE);
        out.write_all(piece)?;
        left -= piece.len() as u64;
    }
    Ok(())
}

/// Returns the canonical header: the chunk `fmt ` with 16 bytes, and the head of the chunk `data`.
fn header(sample_rate: u32, samples: u64) -> Result<Vec<u8>, WavError> {
    if samples > MOST_SAMPLES {
        return Err(WavError::TooLong(samples));
    }
    let data_bytes = (samples * 2) as u32;
    let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
    bytes.extend(b"RIFF");
    bytes.extend((data_bytes + HEADER_BYTES as u32 - 8).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    // Integer samples, one channel.
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(sample_rate.to_le_bytes());
    bytes.extend(sample_rate.saturating_mul(2).to_le_bytes());
    // Two bytes, 16 bits, for each sample.
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend(data_bytes.to_le_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::media::{Condition, Limits, inspect};

    #[test]
    fn what_is_written_is_a_wav_of_this_rate_and_length() {
        for (rate, millis, samples) in [
            (24_000, 1_000, 24_000),
            (22_050, 500, 11_025),
            (48_000, 0, 0),
            (44_100, 1, 45),
            (8_000, 90_000, 720_000),
        ] {
            let mut bytes = Vec::new();
            write_silence(&mut bytes, rate, Duration::from_millis(millis)).unwrap();
            assert_eq!(bytes.len() as u64, HEADER_BYTES + samples * 2);
            assert!(bytes[HEADER_BYTES as usize..].iter().all(|byte| *byte == 0));
            let inspection = inspect(&mut Cursor::new(&bytes), Limits::default()).unwrap();
            assert_eq!(inspection.condition, Condition::Whole, "{millis} ms");
            let facts = inspection.facts;
            assert_eq!(
                (facts.media_type.as_ref(), facts.sample_rate, facts.channels),
                ("audio/wav", Some(rate), Some(1))
            );
            assert_eq!(facts.duration_s, Some(samples as f64 / f64::from(rate)));
        }
    }

    #[test]
    fn samples_are_written_with_the_least_significant_byte_first() {
        let mut bytes = Vec::new();
        write_wav(&mut bytes, 16_000, &[0, 1, -2, i16::MAX]).unwrap();
        assert_eq!(bytes.len(), 52);
        assert_eq!(bytes[44..], [0, 0, 1, 0, 0xfe, 0xff, 0xff, 0x7f]);
        assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()), 52 - 8);
        // Two bytes for each of 16,000 samples.
        assert_eq!(u32::from_le_bytes(bytes[28..32].try_into().unwrap()), 32_000);
    }

    #[test]
    fn what_does_not_fit_into_a_wav_is_refused_before_a_byte_is_written() {
        let mut bytes = Vec::new();
        let twenty_hours = Duration::from_hours(20);
        let refused = write_silence(&mut bytes, 48_000, twenty_hours).unwrap_err();
        assert!(matches!(refused, WavError::TooLong(3_456_000_000)), "{refused}");
        assert!(bytes.is_empty());
        assert!(write_silence(&mut bytes, u32::MAX, Duration::MAX).is_err());
    }
}
