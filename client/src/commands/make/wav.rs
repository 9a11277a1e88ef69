//! Reads and writes WAV files of uncompressed samples, as far as speech uses the format. Pure.

/// Samples per second of written files.
pub const RATE: u32 = 48_000;

/// A sound with one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples per second.
    pub rate: u32,
    /// The samples, from -1 to 1.
    pub samples: Vec<f32>,
}

/// The format of the samples in a file.
#[derive(Debug, Clone, Copy)]
struct SampleFormat {
    is_float: bool,
    channels: usize,
    rate: u32,
    bytes: usize,
}

/// Reads a WAV file of integers with 8 to 32 bits, or of 32-bit floats. Channels are mixed to one. None for any other file. Programs that do not know
/// the length yet write one that is too large; it is cut to the actual length.
pub fn read(file: &[u8]) -> Option<Sound> {
    let (head, mut rest) = file.split_at_checked(12)?;
    if !(head.starts_with(b"RIFF") && head.ends_with(b"WAVE")) {
        return None;
    }
    let mut format = None;
    while let Some((head, after)) = rest.split_at_checked(8) {
        let (name, size) = head.split_at_checked(4)?;
        let size = u32::from_le_bytes(size.try_into().ok()?) as usize;
        let body = after.get(..size.min(after.len()))?;
        match name {
            b"fmt " => format = Some(read_format(body)?),
            b"data" => return Some(read_samples(body, format?)),
            _ => {}
        }
        // Chunks start at even offsets.
        rest = after.get(size.checked_add(size % 2)?..)?;
    }
    None
}

fn read_format(body: &[u8]) -> Option<SampleFormat> {
    let short = |at: usize| Some(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?));
    let tag = match short(0)? {
        // For WAVE_FORMAT_EXTENSIBLE, the actual tag is at the start of the extension.
        0xfffe => short(24)?,
        tag => tag,
    };
    let rate = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
    let (channels, bits) = (usize::from(short(2)?), short(14)?);
    let is_float = tag == 3;
    let is_known = match bits {
        8 | 16 | 24 => tag == 1,
        32 => tag == 1 || is_float,
        _ => false,
    };
    let is_possible = is_known && (1..=16).contains(&channels) && (1000..=768_000).contains(&rate);
    is_possible.then(|| SampleFormat { is_float, channels, rate, bytes: usize::from(bits / 8) })
}

fn read_samples(body: &[u8], format: SampleFormat) -> Sound {
    let sample = |bytes: &[u8]| match *bytes {
        [byte] => (f32::from(byte) - 128.0) / 128.0,
        [low, high] => f32::from(i16::from_le_bytes([low, high])) / 32_768.0,
        [low, middle, high] => i32::from_le_bytes([0, low, middle, high]) as f32 / 2_147_483_648.0,
        [a, b, c, d] if format.is_float => f32::from_le_bytes([a, b, c, d]),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
        _ => 0.0,
    };
    let frames = body.chunks_exact(format.bytes * format.channels);
    let mixed = frames
        .map(|frame| frame.chunks_exact(format.bytes).map(sample).sum::<f32>() / format.channels as f32);
    Sound { rate: format.rate, samples: mixed.collect() }
}

impl Sound {
    /// Adds the sound to a track of [`RATE`] samples per second, from the sample `from`. What extends beyond the track's end is dropped.
    pub fn mix_into(&self, track: &mut [f32], from: usize) {
        let Some(track) = track.get_mut(from..) else { return };
        let step = f64::from(self.rate) / f64::from(RATE);
        for (index, sample) in track.iter_mut().enumerate() {
            let at = index as f64 * step;
            let before = at as usize;
            let Some(&left) = self.samples.get(before) else { break };
            let right = self.samples.get(before + 1).copied().unwrap_or(0.0);
            *sample += left + (right - left) * (at - before as f64) as f32;
        }
    }
}

/// Writes a WAV file with one channel of 16 bits at [`RATE`].
pub fn write(track: &[f32]) -> Vec<u8> {
    let data = u32::try_from(track.len() * 2).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(44 + track.len() * 2);
    file.extend(b"RIFF");
    file.extend((36 + data).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    for short in [1_u16, 1] {
        file.extend(short.to_le_bytes());
    }
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    for short in [2_u16, 16] {
        file.extend(short.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    let whole = |sample: &f32| (sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16;
    file.extend(track.iter().flat_map(|sample| whole(sample).to_le_bytes()));
    file
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test fails by panicking, where it stands")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let track: Vec<f32> = (0..480).map(|index| (index as f32 / 10.0).sin() / 2.0).collect();
        let read = read(&write(&track)).unwrap();
        assert_eq!(read.rate, RATE);
        assert!(read.samples.iter().zip(&track).all(|(read, written)| (read - written).abs() < 1e-4));
        assert_eq!(read.samples.len(), track.len());
    }

    #[test]
    fn other_formats_and_lengths_that_lie_are_understood() {
        let mut file = write(&[0.5; 100]);
        // espeak-ng writes this length to a pipe.
        file[40..44].copy_from_slice(&0x7fff_f000_u32.to_le_bytes());
        assert_eq!(read(&file).unwrap().samples.len(), 100);
        // The same bytes as two channels have half as many samples.
        file[22] = 2;
        assert_eq!(read(&file).unwrap().samples.len(), 50);
        for (bits, expected) in [(8, true), (12, false), (24, true), (32, true), (64, false)] {
            file[34] = bits;
            assert_eq!(read(&file).is_some(), expected, "{bits}");
        }
    }

    #[test]
    fn a_slower_sound_lasts_as_long_at_its_place() {
        let sound = Sound { rate: 24_000, samples: vec![0.25; 100] };
        let mut track = vec![0.0; 400];
        sound.mix_into(&mut track, 100);
        let heard = track.iter().filter(|sample| **sample > 0.2).count();
        assert_eq!((track[99], track[100], heard), (0.0, 0.25, 199));
        sound.mix_into(&mut track, 399);
        sound.mix_into(&mut track, 1000);
    }

    #[test]
    fn no_bytes_make_it_fail() {
        let whole = write(&[0.1; 20]);
        for length in 0..whole.len() {
            read(&whole[..length]);
            for byte in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[length] = byte;
                read(&damaged);
            }
        }
    }
}
