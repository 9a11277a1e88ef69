//! EBML elements (RFC 8794): an identifier, a size, and a value.

use super::super::source::{Source, Step, Stop};

/// The head of an element. After it is read, the source is at the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) id: u32,
    /// The position after the value. None if the size is unknown, as in a live stream.
    pub(super) end: Option<u64>,
}

/// Reads the head of the element that begins here.
pub(super) fn read_element(source: &mut Source<'_>) -> Step<Element> {
    let position = source.position();
    let no_element = || Stop::Broken(format!("no part begins at its byte {position}"));
    let first = source.u8()?;
    let id_bytes = first.leading_zeros() as usize + 1;
    if id_bytes > 4 {
        return Err(no_element());
    }
    let mut id = u32::from(first);
    for _ in 1..id_bytes {
        id = id << 8 | u32::from(source.u8()?);
    }
    let (size, is_unknown) = read_number(source)?.ok_or_else(no_element)?;
    let end = source.position().saturating_add(size);
    Ok(Element { id, end: (!is_unknown).then_some(end) })
}

/// Reads a number whose first byte contains its length. Also returns whether all bits are ones, which means an unknown size. None if it is invalid.
pub(super) fn read_number(source: &mut Source<'_>) -> Step<Option<(u64, bool)>> {
    let first = source.u8()?;
    let zeros = first.leading_zeros();
    if zeros > 7 {
        return Ok(None);
    }
    let mut value = u64::from(first) & ((1 << (7 - zeros)) - 1);
    for _ in 0..zeros {
        value = value << 8 | u64::from(source.u8()?);
    }
    let all_ones = (1 << (7 * (zeros + 1))) - 1;
    Ok(Some((value, value == all_ones)))
}

impl Element {
    /// Returns the bytes of the value that are left.
    fn bytes(self, source: &Source<'_>) -> u64 {
        self.end.map_or(0, |end| end.saturating_sub(source.position()))
    }

    /// Reads the value as an unsigned number.
    pub(super) fn unsigned(self, source: &mut Source<'_>) -> Step<u64> {
        let bytes = self.bytes(source);
        if bytes > 8 {
            return Err(Stop::Broken(format!("its part {:#x} is no number", self.id)));
        }
        let mut value = 0;
        for _ in 0..bytes {
            value = value << 8 | u64::from(source.u8()?);
        }
        Ok(value)
    }

    /// Reads the value as a floating-point number.
    pub(super) fn float(self, source: &mut Source<'_>) -> Step<f64> {
        let value = match self.bytes(source) {
            0 => 0.0,
            4 => f64::from(f32::from_bits(source.u32_be()?)),
            8 => f64::from_bits(source.u64_be()?),
            _ => return Err(Stop::Broken(format!("its part {:#x} is no number", self.id))),
        };
        Ok(if value.is_finite() && value >= 0.0 { value } else { 0.0 })
    }

    /// Reads the value as characters, at most `most` bytes.
    pub(super) fn text(self, source: &mut Source<'_>, most: u64) -> Step<Vec<u8>> {
        let mut text = vec![0; self.bytes(source).min(most) as usize];
        source.fill(&mut text)?;
        while text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }
}
