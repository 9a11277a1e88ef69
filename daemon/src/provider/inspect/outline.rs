//! A picture from outside: its parts from the first to the last, without its pixels. Pure.

use std::io::{Read, Seek, SeekFrom};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8";
/// The end of a JPEG.
const JPEG_END: [u8; 2] = [0xff, 0xd9];

/// What a picture says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Else it is a JPEG.
    pub is_png: bool,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// The outline of a PNG or a JPEG that is there from its first part to its last.
pub fn outline(mut file: impl Read + Seek) -> Option<Outline> {
    let beginning: [u8; 8] = take(&mut file)?;
    let (is_png, size) = if beginning == PNG {
        (true, png(&mut file)?)
    } else if beginning.starts_with(JPEG) {
        file.seek(SeekFrom::Start(2)).ok()?;
        (false, jpeg(&mut file)?)
    } else {
        return None;
    };
    let (width, height) = size;
    (width > 0 && height > 0).then_some(Outline { is_png, width, height })
}

fn take<const N: usize>(file: &mut impl Read) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// From chunk to chunk until `IEND` with its checksum.
fn png(file: &mut (impl Read + Seek)) -> Option<(u32, u32)> {
    let mut size = None;
    loop {
        let (length, name): (u32, [u8; 4]) = (u32::from_be_bytes(take(file)?), take(file)?);
        let mut rest = i64::from(length);
        if &name == b"IHDR" {
            size = Some((u32::from_be_bytes(take(file)?), u32::from_be_bytes(take(file)?)));
            rest -= 8;
        }
        file.seek_relative(rest).ok()?;
        let _checksum: [u8; 4] = take(file)?;
        if &name == b"IEND" {
            return size;
        }
        // The header comes first.
        size?;
    }
}

/// From marker to marker until the frame's header, and then the end.
fn jpeg(file: &mut (impl Read + Seek)) -> Option<(u32, u32)> {
    loop {
        let [0xff, marker] = take(file)? else { return None };
        let length = i64::from(u16::from_be_bytes(take(file)?));
        // The frames; what is left out are tables that stand among them.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let [_, high, low, wide, narrow]: [u8; 5] = take(file)?;
            file.seek(SeekFrom::End(-2)).ok()?;
            let is_whole = take(file)? == JPEG_END;
            let side = |bytes| u32::from(u16::from_be_bytes(bytes));
            return is_whole.then(|| (side([wide, narrow]), side([high, low])));
        }
        file.seek_relative(length - 2).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const JPEG_FILE: &[u8] =
        b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x1e\0\x28\x01\x01\x11\0\xff\xda\0\x02x\xff\xd9";
    const PNG_FILE: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x28\0\0\0\x1e\x08\x02\0\0\0crc.\0\0\0\x03IDATabccrc.\0\0\0\0IENDcrc.";

    #[test]
    fn a_whole_file_says_its_size_and_a_part_of_it_says_nothing() {
        for (file, is_png) in [(PNG_FILE, true), (JPEG_FILE, false)] {
            assert_eq!(outline(Cursor::new(file)), Some(Outline { is_png, width: 40, height: 30 }));
            for length in 0..file.len() {
                assert_eq!(outline(Cursor::new(&file[..length])), None, "{length} of {is_png}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_keep_it_busy(start in 0_usize..2, rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let start: &[u8] = if start == 0 { PNG } else { JPEG };
            let _ = outline(Cursor::new([start, &rest].concat()));
        }
    }
}
