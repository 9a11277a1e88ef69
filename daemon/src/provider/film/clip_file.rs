//! Reads the index of a clip: its size, its frame rate, its number of frames, and the parameters of its encoder. Only clips that agree in these can
//! be joined without encoding them again. A film of other clips plays wrongly or not at all, and `ffmpeg` reports no error.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use reel_protocol::FilmFormat;

/// Largest index that is read, in bytes. The index of an hour of frames at the highest rate takes 8 MB.
const MOST_INDEX_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of a video's sample description that precede the boxes in it.
const DESCRIPTION_BYTES: usize = 78;

/// The properties of a clip, from its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClipFile {
    size: (u32, u32),
    /// Ticks per second, and ticks per frame. The latter are `None` if the frames have different lengths.
    rate: (u32, Option<u32>),
    frames: u64,
    /// The encoder's parameters (`avcC`), which are the same for all clips of one format.
    parameters: Vec<u8>,
}

impl ClipFile {
    /// Reads the index of a file. Returns `None` unless it is an MP4 with one track, which is H.264 video. Blocks.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(index(&mut File::open(path)?)?.as_deref().and_then(Self::of_index))
    }

    fn of_index(index: &[u8]) -> Option<Self> {
        let mut tracks = boxes(index).filter(|(name, _)| name == b"trak");
        let (Some((_, track)), None) = (tracks.next(), tracks.next()) else { return None };
        let media = inside(track, *b"mdia")?;
        let header = inside(media, *b"mdhd")?;
        let ticks = number(header, if header.first() == Some(&1) { 20 } else { 12 })?;
        let table = inside(inside(media, *b"minf")?, *b"stbl")?;
        // The version, the flags and the number of entries precede the first entry.
        let (name, description) = boxes(inside(table, *b"stsd")?.get(8..)?).next()?;
        if &name != b"avc1" {
            return None;
        }
        let sides = number(description, 24)?;
        let parameters = inside(description.get(DESCRIPTION_BYTES..)?, *b"avcC")?.to_vec();
        let times = inside(table, *b"stts")?;
        let is_even = number(times, 4)? == 1;
        let frames = u64::from(number(inside(table, *b"stsz")?, 8)?);
        let rate = (ticks, number(times, 12).filter(|_| is_even));
        Some(Self { size: (sides >> 16, sides & 0xffff), rate, frames, parameters })
    }

    /// Returns why the clip cannot be joined to a film; `None` if it can. The clip must have the film's format, this number of frames, and the
    /// encoder parameters of the film's first clip.
    pub(super) fn misfit(&self, format: FilmFormat, frames: u64, first: &Self) -> Option<String> {
        let (width, height) = self.size;
        if self.size != (format.width, format.height) {
            return Some(format!(
                "has {width}x{height} pixels, and the film {}x{}",
                format.width, format.height
            ));
        }
        let fps = format.fps;
        match self.rate {
            (ticks, Some(each)) if u64::from(each) * u64::from(fps) == u64::from(ticks) => {}
            (ticks, Some(each)) => {
                let found = f64::from(ticks) / f64::from(each.max(1));
                return Some(format!("has {found:.2} frames a second, and the film {fps}"));
            }
            (_, None) => {
                return Some(format!("has frames of different lengths, and the film {fps} a second"));
            }
        }
        if self.frames != frames {
            return Some(format!("has {} frames, and the request says {frames}", self.frames));
        }
        (self.parameters != first.parameters || self.rate.0 != first.rate.0)
            .then(|| "was encoded in another way than the first one".to_owned())
    }
}

/// Returns the content of an MP4's index (`moov`), which may follow the frames. `None` if the file has no index that can be read.
fn index(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let end = file.metadata()?.len();
    let mut at = 0;
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 16];
        let count = if end - at >= 16 { 16 } else { 8 };
        file.read_exact(head.get_mut(..count).unwrap_or_default())?;
        let (head_bytes, bytes) = match number(&head, 0) {
            Some(0) => (8, end - at),
            Some(1) => (16, u64::from_be_bytes(head.last_chunk().copied().unwrap_or_default())),
            bytes => (8, bytes.unwrap_or_default().into()),
        };
        let is_index = head.get(4..8) == Some(b"moov");
        if bytes < head_bytes || bytes > end - at || (is_index && bytes > MOST_INDEX_BYTES) {
            return Ok(None);
        }
        if is_index {
            file.seek(SeekFrom::Start(at + head_bytes))?;
            let mut index = Vec::new();
            file.take(bytes - head_bytes).read_to_end(&mut index)?;
            return Ok(Some(index));
        }
        at += bytes;
    }
    Ok(None)
}

/// Iterates over consecutive boxes, and returns the name and the content of each. Stops at a box that is longer than the bytes.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let size = number(bytes, 0)? as usize;
        let name = bytes.get(4..8)?.try_into().ok()?;
        let content = bytes.get(8..size)?;
        bytes = bytes.get(size..)?;
        Some((name, content))
    })
}

/// Returns the content of the first box of this name.
fn inside(bytes: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes).find(|(found, _)| *found == name).map(|(_, content)| content)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: FilmFormat = FilmFormat { width: 320, height: 180, fps: 30 };

    fn clip() -> ClipFile {
        ClipFile { size: (320, 180), rate: (30_000, Some(1_000)), frames: 12, parameters: vec![1, 2] }
    }

    #[test]
    fn a_clip_that_does_not_fit_is_told_why() {
        let first = clip();
        assert_eq!(clip().misfit(FORMAT, 12, &first), None);
        for (clip, part) in [
            (ClipFile { size: (640, 360), ..clip() }, "has 640x360 pixels, and the film 320x180"),
            (ClipFile { rate: (12_800, Some(512)), ..clip() }, "has 25.00 frames a second, and the film 30"),
            (ClipFile { rate: (30_000, None), ..clip() }, "frames of different lengths"),
            (ClipFile { frames: 11, ..clip() }, "has 11 frames, and the request says 12"),
            (ClipFile { parameters: vec![1, 3], ..clip() }, "encoded in another way"),
            (ClipFile { rate: (15_360, Some(512)), ..clip() }, "encoded in another way"),
        ] {
            let why = clip.misfit(FORMAT, 12, &first).unwrap();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn bytes_of_any_kind_are_no_clip_and_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("clip");
        let whole = [&[0, 0, 0, 24][..], b"moov", &[0, 0, 0, 16], b"trak", &[0, 0, 0, 8], b"mdia"].concat();
        let mut samples: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        for value in [0, 1, 2, 255] {
            samples.extend((0..whole.len()).map(|at| {
                let mut changed = whole.clone();
                changed[at] = value;
                changed
            }));
        }
        for bytes in samples {
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(ClipFile::read(&path).unwrap(), None, "{bytes:?}");
        }
    }
}
