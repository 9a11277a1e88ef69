//! Counts the samples of Vorbis packets (Vorbis I specification, sections 4.2 and 4.3). Each packet has a block of one of two sizes. It adds a
//! quarter of its own size and a quarter of the size of the block before. Pure.
//!
//! Nothing is decoded: a file can make the decoder's tables take up to 4 GiB of memory, and the pages have checksums.

/// The fields of the first header.
pub(super) struct Identification {
    pub(super) sample_rate: u32,
    pub(super) channels: u8,
    pub(super) blocks: Blocks,
}

/// The two block sizes, and the mode of each size.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    sizes: [u64; 2],
    /// For each mode, whether its packets have the large block.
    is_large: Vec<bool>,
    former_size: Option<u64>,
}

impl Identification {
    /// Parses the first header: its name, the version, channels, rate, three bit rates, and the block sizes as powers of two.
    pub(super) fn of(header: &[u8]) -> Option<Self> {
        let fields: &[u8; 22] = header.strip_prefix(b"\x01vorbis")?.first_chunk()?;
        let &[_, _, _, _, channels, r0, r1, r2, r3, .., sizes] = fields;
        let sample_rate = u32::from_le_bytes([r0, r1, r2, r3]);
        let sizes = [1 << (sizes & 0x0f), 1 << (sizes >> 4)];
        let blocks = Blocks { sizes, ..Blocks::default() };
        (sample_rate > 0 && channels > 0).then_some(Self { sample_rate, channels, blocks })
    }
}

impl Blocks {
    /// Reads the block size of each mode from the third header. The modes are at its end and are read backwards, so that the tables before them need
    /// not be read. Each mode has 41 bits: the size (1 bit), the window and the transform (16 bits each, always 0) and the mapping (8). The number of
    /// modes, less one, precedes them in 6 bits.
    pub(super) fn read_modes(&mut self, header: &[u8]) -> Option<()> {
        let header = header.strip_prefix(b"\x05vorbis")?;
        let bit = |at: usize| header.get(at / 8).map(|byte| byte >> (at % 8) & 1 == 1);
        let bits = |at: usize, count: usize| -> Option<u64> {
            (0..count).try_fold(0, |value, index| Some(value | u64::from(bit(at + index)?) << index))
        };
        // The last bit that is set is the framing bit of the header.
        let mut at = (0..header.len() * 8).rev().find(|at| bit(*at) == Some(true))?;
        let mut modes = Vec::new();
        let mut known = None;
        while let Some(start) = at.checked_sub(41).filter(|_| modes.len() < 64) {
            let (window, transform) = (bits(start + 1, 16)?, bits(start + 17, 16)?);
            if window != 0 || transform != 0 || bits(start + 33, 8)? > 63 {
                break;
            }
            modes.push(bit(start)?);
            at = start;
            if at.checked_sub(6).and_then(|count| bits(count, 6)) == Some(modes.len() as u64 - 1) {
                known = Some(modes.len());
            }
        }
        modes.truncate(known?);
        modes.reverse();
        self.is_large = modes;
        Some(())
    }

    /// Returns the samples that a packet adds. None if the packet is not audio.
    pub(super) fn samples(&mut self, packet: &[u8]) -> Option<u64> {
        let first = *packet.first()?;
        if first & 1 == 1 {
            return None;
        }
        // The mode field has as many bits as the number of the last mode.
        let mode_bits = usize::BITS - (self.is_large.len().checked_sub(1)?).leading_zeros();
        let mode = usize::from(first >> 1) & ((1 << mode_bits) - 1);
        let [small, large] = self.sizes;
        let size = if *self.is_large.get(mode)? { large } else { small };
        let former = self.former_size.replace(size);
        Some(former.map_or(0, |former| former / 4 + size / 4))
    }
}
