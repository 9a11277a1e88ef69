//! A page of Ogg (RFC 3533, section 6), its checksum, and its packets.

use std::sync::LazyLock;

use super::{
    super::source::{Source, Step, Stop},
    MOST_PACKET_BYTES,
};

/// Bytes of a page before its segment table.
const HEADER_BYTES: usize = 27;
/// The checksums of single bytes, with the polynomial `0x04c11db7`.
static CRC: LazyLock<[u32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|byte| {
        (0..8).fold((byte as u32) << 24, |crc, _| (crc << 1) ^ (0x04c1_1db7 * (crc >> 31)))
    })
});

fn crc(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, byte| {
        let index = (crc >> 24) as u8 ^ byte;
        (crc << 8) ^ CRC.get(usize::from(index)).copied().unwrap_or_default()
    })
}

/// A page. Its buffers are reused for the next page. A page has at most 65,307 bytes.
#[derive(Default)]
pub(super) struct Page {
    flags: u8,
    pub(super) position: i64,
    pub(super) serial: u32,
    pub(super) sequence: u32,
    /// Whether the checksum is right.
    pub(super) is_intact: bool,
    table: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// A part of a packet, of at most 255 bytes.
pub(super) struct Segment<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) ends_packet: bool,
}

impl Page {
    /// Reads the page that begins here.
    pub(super) fn read(&mut self, source: &mut Source<'_>) -> Step<()> {
        let mut header: [u8; HEADER_BYTES] = source.array()?;
        let Some(([b'O', b'g', b'g', b'S', 0, flags], rest)) = header.split_first_chunk() else {
            let position = source.position() - HEADER_BYTES as u64;
            return Err(Stop::Broken(format!("no page begins at its byte {position}")));
        };
        let mut fields = [0; 21];
        fields.copy_from_slice(rest);
        let [p0, p1, p2, p3, p4, p5, p6, p7, s0, s1, s2, s3, n0, n1, n2, n3, c0, c1, c2, c3, segments] =
            fields;
        self.flags = *flags;
        self.position = i64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]);
        self.serial = u32::from_le_bytes([s0, s1, s2, s3]);
        self.sequence = u32::from_le_bytes([n0, n1, n2, n3]);
        self.table.resize(usize::from(segments), 0);
        source.fill(&mut self.table)?;
        self.body.resize(self.table.iter().map(|length| usize::from(*length)).sum(), 0);
        source.fill(&mut self.body)?;
        // The checksum is computed with zeros in its own field.
        if let Some(own) = header.get_mut(22..26) {
            own.fill(0);
        }
        let computed = crc(crc(crc(0, &header), &self.table), &self.body);
        self.is_intact = computed == u32::from_le_bytes([c0, c1, c2, c3]);
        Ok(())
    }

    /// Returns whether the first segment belongs to a packet that began in an earlier page.
    pub(super) const fn is_continued(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Returns whether this is the first page of its stream.
    pub(super) const fn is_first(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Returns whether this is the last page of its stream.
    pub(super) const fn is_last(&self) -> bool {
        self.flags & 4 != 0
    }

    /// Returns the parts of packets in this page.
    pub(super) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let mut at = 0;
        self.table.iter().map(move |length| {
            let start = at;
            at += usize::from(*length);
            let bytes = self.body.get(start..at).unwrap_or_default();
            Segment { bytes, ends_packet: *length < 255 }
        })
    }
}

/// A packet that is assembled from its segments, up to [`MOST_PACKET_BYTES`].
#[derive(Default)]
pub(super) struct Packet(Vec<u8>);

impl Packet {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = MOST_PACKET_BYTES - self.0.len().min(MOST_PACKET_BYTES);
        self.0.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
