//! How many samples a packet of Vorbis has (Vorbis I specification, sections 4.2 and 4.3). Each packet has a block of one of two sizes, and
//! gives a quarter of its own size and of the size of the one before. Pure.
//!
//! Nothing is decoded: the decoder's tables take up to 4 GiB of memory where a file asks for them, and the pages have checksums.

/// What the first header says.
pub(super) struct Identification {
    pub(super) sample_rate: u32,
    pub(super) channels: u8,
    pub(super) blocks: Blocks,
}

/// The sizes of blocks, and which packet has which.
#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    sizes: [u64; 2],
    /// Whether a packet of this mode has the large block.
    is_large: Vec<bool>,
    former_size: Option<u64>,
}

impl Identification {
    /// Reads the first header: its name, the version, channels, rate, three bit rates, and the sizes as powers of two.
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
    /// Reads which mode has which size from the third header: the modes are its end, and are read from behind, so that none of the tables
    /// before them has to be read. Each has 41 bits: the size, the window and the transform (16 bits each, always 0) and the mapping (8).
    /// In front of them stands how many there are, less one, in 6 bits.
    pub(super) fn read_modes(&mut self, header: &[u8]) -> Option<()> {
        let header = header.strip_prefix(b"\x05vorbis")?;
        let bit = |at: usize| header.get(at / 8).map(|byte| byte >> (at % 8) & 1 == 1);
        let bits = |at: usize, count: usize| -> Option<u64> {
            (0..count).try_fold(0, |value, index| Some(value | u64::from(bit(at + index)?) << index))
        };
        // The last bit that is set frames the header.
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

    /// The samples of a packet. None of one that is no sound.
    pub(super) fn samples(&mut self, packet: &[u8]) -> Option<u64> {
        let first = *packet.first()?;
        if first & 1 == 1 {
            return None;
        }
        // The mode has as many bits as the number of the last one.
        let mode_bits = usize::BITS - (self.is_large.len().checked_sub(1)?).leading_zeros();
        let mode = usize::from(first >> 1) & ((1 << mode_bits) - 1);
        let [small, large] = self.sizes;
        let size = if *self.is_large.get(mode)? { large } else { small };
        let former = self.former_size.replace(size);
        Some(former.map_or(0, |former| former / 4 + size / 4))
    }
}
