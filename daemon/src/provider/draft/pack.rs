//! Filtered rows of pixels as a zlib stream: one block with one set of codes that suits them, and runs of zeros as the only repetition.
//!
//! What a filter leaves of a drawing is mostly zeros in long runs, and small differences in between. So whole words are looked at: one of
//! zeros costs an addition, and of any other each half goes out as four literals, unless it is zero.
#![expect(
    clippy::inline_always,
    reason = "what is dispatched by the processor must be inlined to be compiled for it"
)]

use simd_adler32::Adler32;

/// A code and how many bits it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Code {
    bits: u32,
    length: u32,
}

/// Literals, the end, and the lengths of repetitions.
const SYMBOLS: usize = 286;
const END: usize = 256;
/// Longest repetition of the format.
const LONGEST: usize = 258;
/// Shortest one.
const SHORTEST: usize = 3;
/// Most bits that one byte takes.
const LITERAL_BITS: usize = 12;

/// Bits of a symbol's code. Small differences are frequent, and so are runs of 7 to 58 zeros; together they use up all codes there are, which
/// a test checks.
const fn length_of(symbol: usize) -> u32 {
    let difference = if symbol < 128 { symbol } else { 256_usize.saturating_sub(symbol) };
    match (symbol, difference) {
        (257 | 258, _) => 11,
        (261..=276, _) => 7,
        (259..=SYMBOLS, _) => 10,
        (END, _) => 12,
        (_, 0) => 2,
        (_, 1) => 3,
        (_, 2) => 4,
        (_, 3) => 5,
        (_, 4) => 6,
        (_, 5..=6) => 7,
        (_, 7..=10) => 8,
        (_, 11..=20) => 10,
        (_, 21..=40) => 11,
        _ => 12,
    }
}

/// All codes of the block.
#[derive(Debug)]
struct Codes {
    literals: [Code; 256],
    end: Code,
    /// By length, with the distance of one after it; those that are too short have none.
    repetitions: [Code; LONGEST + 1],
}

impl Codes {
    fn new() -> Self {
        let mut codes = [Code::default(); SYMBOLS];
        let mut next = 0_u32;
        for length in 1..=LITERAL_BITS as u32 {
            for (code, _) in codes.iter_mut().zip(0..).filter(|(_, symbol)| length_of(*symbol) == length) {
                // The format wants their first bit first.
                *code = Code { bits: next.reverse_bits() >> (32 - length), length };
                next += 1;
            }
            next <<= 1;
        }
        let at = |symbol: usize| codes.get(symbol).copied().unwrap_or_default();
        let mut repetitions = [Code::default(); LONGEST + 1];
        for (code, length) in repetitions.iter_mut().zip(0..).skip(SHORTEST) {
            let (symbol, extra, extra_bits) = symbol_of(length);
            let Code { bits, length } = at(symbol);
            // The one distance has a code of one bit, 0.
            *code = Code { bits: bits | extra << length, length: length + extra_bits + 1 };
        }
        let mut literals = [Code::default(); 256];
        literals.iter_mut().zip(&codes).for_each(|(literal, code)| *literal = *code);
        Self { literals, end: at(END), repetitions }
    }

    #[inline(always)]
    fn literal(&self, byte: u8) -> Code {
        self.literals.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

/// A repetition's symbol, its extra number and the bits of that, as the format has them.
fn symbol_of(length: usize) -> (usize, u32, u32) {
    let past = length.saturating_sub(SHORTEST);
    match past {
        0..=7 => (257 + past, 0, 0),
        255.. => (285, 0, 0),
        _ => {
            let extra_bits = past.ilog2() - 2;
            let group = 4 * extra_bits as usize + (past >> extra_bits);
            (257 + group, past as u32 & ((1 << extra_bits) - 1), extra_bits)
        }
    }
}

/// A stream that is being written over the bytes of a buffer.
pub struct Packer<'a> {
    out: &'a mut Vec<u8>,
    /// Whole bytes that are written.
    written: usize,
    buffer: u64,
    /// Bits in it; fewer than eight between two pushes.
    waiting: u32,
    codes: Codes,
    checksum: Adler32,
    /// Zeros that are not written yet.
    run: usize,
}

impl<'a> Packer<'a> {
    /// Begins a stream at the start of a buffer, which grows as needed.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let mut packer = Self {
            out,
            written: 0,
            buffer: 0,
            waiting: 0,
            codes: Codes::new(),
            checksum: Adler32::new(),
            run: 0,
        };
        packer.make_room(SYMBOLS);
        packer.begin();
        packer
    }

    /// The header of the stream, and of its only block: how long the code of each symbol is.
    fn begin(&mut self) {
        const LENGTHS: u32 = 19;
        // Deflate with a window of 32 KiB, fastest.
        self.push(0x0178, 16);
        // The last block, with codes of its own: all literals and lengths, one distance, and codes for those numbers.
        self.push(1 | 2 << 1, 3);
        self.push(SYMBOLS as u64 - 257, 5);
        self.push(0, 5);
        self.push(u64::from(LENGTHS) - 4, 4);
        // Three kinds of repetition, which are not used, then the sixteen lengths, each with a code of four bits: itself.
        self.push(0, 9);
        (3..LENGTHS).for_each(|_| self.push(4, 3));
        let number = |length: u32| u64::from(length.reverse_bits() >> 28);
        (0..SYMBOLS).for_each(|symbol| self.push(number(length_of(symbol)), 4));
        self.push(number(1), 4);
    }

    /// So that `bytes` more can be pushed.
    fn make_room(&mut self, bytes: usize) {
        let needed = self.written + bytes * LITERAL_BITS / 8 + 64;
        if self.out.len() < needed {
            self.out.resize(needed.max(self.out.len() * 2), 0);
        }
    }

    /// Adds at most 49 bits, in the room that was made.
    #[inline(always)]
    fn push(&mut self, bits: u64, count: u32) {
        self.buffer |= bits << self.waiting;
        self.waiting += count;
        if let Some(place) = self.out.get_mut(self.written..self.written + 8) {
            place.copy_from_slice(&self.buffer.to_le_bytes());
        }
        self.written += (self.waiting / 8) as usize;
        self.buffer >>= self.waiting & !7;
        self.waiting &= 7;
    }

    /// Adds bytes to the stream.
    #[inline(always)]
    pub fn write(&mut self, bytes: &[u8]) {
        self.checksum.write(bytes);
        self.make_room(bytes.len() + self.run);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            if u64::from_le_bytes(*word) == 0 {
                self.run += 8;
                continue;
            }
            for half in word.as_chunks::<4>().0 {
                if u32::from_le_bytes(*half) == 0 {
                    self.run += 4;
                    continue;
                }
                self.end_run();
                let mut all = (0_u64, 0_u32);
                for byte in half {
                    let code = self.codes.literal(*byte);
                    all = (all.0 | u64::from(code.bits) << all.1, all.1 + code.length);
                }
                self.push(all.0, all.1);
            }
        }
        if rest.iter().all(|byte| *byte == 0) {
            self.run += rest.len();
            return;
        }
        self.end_run();
        for byte in rest {
            let code = self.codes.literal(*byte);
            self.push(u64::from(code.bits), code.length);
        }
    }

    /// Writes the zeros that are waiting: one, and how often it comes again.
    #[inline(always)]
    fn end_run(&mut self) {
        let zero = self.codes.literal(0);
        if self.run > SHORTEST {
            self.push(u64::from(zero.bits), zero.length);
            self.run -= 1;
            while self.run >= SHORTEST {
                let length = self.run.min(LONGEST);
                let code = self.codes.repetitions.get(length).copied().unwrap_or_default();
                self.push(u64::from(code.bits), code.length);
                self.run -= length;
            }
        }
        for _ in 0..self.run {
            self.push(u64::from(zero.bits), zero.length);
        }
        self.run = 0;
    }

    /// Ends the stream; it has so many bytes.
    pub fn finish(mut self) -> usize {
        self.make_room(self.run + LONGEST);
        self.end_run();
        self.push(u64::from(self.codes.end.bits), self.codes.end.length);
        // Up to the next whole byte.
        self.push(0, 7);
        self.waiting = 0;
        self.buffer = 0;
        let checksum = self.checksum.finish();
        self.push(u64::from(checksum.swap_bytes()), 32);
        self.written
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_codes_use_up_all_there_are() {
        let used: u32 = (0..SYMBOLS).map(|symbol| 1 << (LITERAL_BITS as u32 - length_of(symbol))).sum();
        assert_eq!(used, 1 << LITERAL_BITS);
    }

    #[test]
    fn repetitions_have_the_symbols_of_the_format() {
        // From the table of RFC 1951.
        let table = [
            (3, 257, 0, 0),
            (10, 264, 0, 0),
            (11, 265, 0, 1),
            (12, 265, 1, 1),
            (18, 268, 1, 1),
            (19, 269, 0, 2),
            (34, 272, 3, 2),
            (35, 273, 0, 3),
            (66, 276, 7, 3),
            (67, 277, 0, 4),
            (130, 280, 15, 4),
            (131, 281, 0, 5),
            (257, 284, 30, 5),
            (258, 285, 0, 0),
        ];
        for (length, symbol, extra, extra_bits) in table {
            assert_eq!(symbol_of(length), (symbol, extra, extra_bits), "{length}");
        }
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        fdeflate::decompress_to_vec(packed).unwrap()
    }

    /// Rows as filters leave them: runs of zeros, small differences, and anything at all.
    fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let part = prop_oneof![
            4 => (1..900_usize).prop_map(|length| vec![0; length]),
            3 => prop::collection::vec(prop::sample::select(vec![0, 1, 255, 2, 254]), 1..40),
            1 => prop::collection::vec(any::<u8>(), 1..60),
        ];
        let row = prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat());
        prop::collection::vec(row, 0..8)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(rows in rows(), left in 0..4_000_usize) {
            // Whatever an earlier picture left in the buffer.
            let mut out = vec![0xA5; left];
            let mut packer = Packer::new(&mut out);
            for row in &rows {
                packer.write(row);
            }
            let size = packer.finish();
            prop_assert_eq!(unpacked(&out[..size]), rows.concat());
        }
    }
}
