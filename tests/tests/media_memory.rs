//! Measures how much memory the inspection of a file takes, whatever the file contains. This process does nothing else, so its peak memory tells.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs::File,
    io::{Seek as _, Write as _},
};

use reel_tests::process::status_number;
use reeld::media::{Condition, Limits, MEMORY_BYTES, inspect};

const MIB: usize = 1024 * 1024;

/// Returns the peak resident memory of this process, in bytes.
fn peak_bytes() -> u64 {
    status_number(std::process::id(), "VmHWM").unwrap() * 1024
}

/// Writes a file with this beginning, and then repeats a block of one MiB.
fn file(beginning: &[u8], repeated: &[u8], mib: usize) -> File {
    let mut file = tempfile::tempfile().unwrap();
    let mut piece = Vec::with_capacity(MIB + repeated.len());
    while piece.len() < MIB {
        piece.extend_from_slice(repeated);
    }
    file.write_all(beginning).unwrap();
    for _ in 0..mib {
        file.write_all(&piece).unwrap();
    }
    file.rewind().unwrap();
    file
}

/// Returns an MP4 whose table of sample sizes takes up the rest of the file.
fn mp4_of_a_table(bytes: u32) -> Vec<u8> {
    let mut file = b"\0\0\0\x14ftypisom\0\0\0\0isom".to_vec();
    let names: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz"];
    for (depth, name) in names.iter().enumerate() {
        file.extend((bytes + 12 + 8 * (6 - depth as u32)).to_be_bytes());
        file.extend_from_slice(*name);
    }
    file.extend([0; 8]);
    file.extend((bytes / 4).to_be_bytes());
    file
}

#[test]
fn no_file_takes_more_memory_than_is_reserved_for_it() {
    let mut mp3 = vec![0; 417];
    mp3[..4].copy_from_slice(b"\xff\xfb\x90\x00");
    let mut adts = vec![0x21; 200];
    adts[..7].copy_from_slice(&[0xff, 0xf1, 0x50, 0x80, 0x19, 0x1f, 0xfc]);
    let mut ogg_page = vec![0xff; 27 + 255 + 255 * 255];
    ogg_page[..27].fill(0);
    ogg_page[..5].copy_from_slice(b"OggS\0");
    ogg_page[26] = 255;
    let small_json = file(b"", b"[", 1);
    small_json.set_len(MIB as u64).unwrap();
    let table_bytes = 64 * MIB as u32;
    let files: Vec<(&str, File)> = vec![
        ("a text", file(b"", b"text ", 64)),
        ("JSON that is small enough to be parsed", small_json),
        ("JSON", file(b"", b"[", 64)),
        ("waves", file(b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\0\x7d\0\0\0\xfa\0\0\x02\0\x10\0data\xff\xff\xff\xff", b"\x01\x02", 64)),
        ("empty parts of a WAV", file(b"RIFF\xff\xff\xff\xffWAVE", b"none\0\0\0\0", 64)),
        ("MP3 frames", file(b"", &mp3, 8)),
        ("AAC frames", file(b"", &adts, 8)),
        ("bytes behind an ID3 tag", file(b"ID3\x04\0\0\0\0\0\0", b"\xff", 64)),
        ("FLAC headers", file(b"fLaC", b"\x04\xff\xff\xff", 64)),
        ("one page of Ogg after the other", file(b"", &ogg_page, 64)),
        ("a table of an MP4", file(&mp4_of_a_table(table_bytes), b"\0\0\0\x01", 64)),
        ("tracks of an MP4", file(b"\0\0\0\x14ftypisom\0\0\0\0isom", b"\0\0\0\x08trak", 64)),
        ("moov in moov", file(b"\0\0\0\x14ftypisom\0\0\0\0isom", b"\0\0\0\0moov", 64)),
        ("a long name of a codec", file(b"\x1a\x45\xdf\xa3\x80\xae\xff\x86\x01\0\0\0\x03\xf0\0\0", b"A", 64)),
        ("tracks of a Matroska file", file(b"\x1a\x45\xdf\xa3\x80", b"\xae\xff", 64)),
        ("zeros", file(b"", b"\0", 64)),
    ];
    // The first inspection allocates what the process and its decoders need only once.
    drop(inspect(&mut file(b"", b"once", 1), Limits::default()).unwrap());
    let before = peak_bytes();
    for (name, mut file) in files {
        let inspection = inspect(&mut file, Limits::default()).unwrap();
        let taken = peak_bytes() - before;
        assert!(taken <= MEMORY_BYTES, "{name} takes {taken} bytes, and {MEMORY_BYTES} were reserved");
        let is_whole = inspection.condition == Condition::Whole;
        // MP3 frames of zeros are valid: they are silence.
        assert_eq!(is_whole, ["a text", "waves", "MP3 frames"].contains(&name), "{name}: {inspection:?}");
    }
}
