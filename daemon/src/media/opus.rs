//! Computes the number of samples in an Opus packet from its first two bytes (RFC 6716, section 3). Pure.

/// The sample rate of Opus in Hz. Opus always counts in this rate, whatever was encoded.
pub(super) const RATE: u32 = 48_000;
/// Most samples of a packet. The format allows 120 ms.
const MOST_SAMPLES: u64 = 5_760;

/// Returns the samples of a packet. None if it violates the format.
pub(super) fn samples(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let configuration = toc >> 3;
    // SILK frames have four possible lengths, hybrid frames two, and CELT frames four others.
    let frame_samples = match configuration {
        0..12 => [480, 960, 1_920, 2_880].get(usize::from(configuration % 4)),
        12..16 => [480, 960].get(usize::from(configuration % 2)),
        _ => [120, 240, 480, 960].get(usize::from(configuration % 4)),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    let samples = frame_samples? * frames;
    (1..=MOST_SAMPLES).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_the_samples_that_its_first_bytes_say() {
        for (packet, expected) in [
            // The configurations of the table in RFC 6716, 3.1, with one frame each.
            (&[0 << 3][..], Some(480)),
            (&[3 << 3], Some(2_880)),
            (&[11 << 3], Some(2_880)),
            (&[12 << 3], Some(480)),
            (&[15 << 3], Some(960)),
            (&[16 << 3], Some(120)),
            (&[31 << 3], Some(960)),
            // Two frames (two ways), three frames, no frame, and more than 120 ms.
            (&[31 << 3 | 1], Some(1_920)),
            (&[31 << 3 | 2], Some(1_920)),
            (&[31 << 3 | 3, 3], Some(2_880)),
            (&[31 << 3 | 3, 0x80 | 3], Some(2_880)),
            (&[31 << 3 | 3, 0], None),
            (&[3 << 3 | 3, 3], None),
            (&[31 << 3 | 3], None),
            (&[], None),
        ] {
            assert_eq!(samples(packet), expected, "{packet:?}");
        }
    }
}
