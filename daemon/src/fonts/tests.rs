//! Tests with fonts that are made for them.

use super::*;

/// Returns the fonts of a new directory that has these files.
fn in_directory(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Fonts) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    let fonts = Fonts { directory: Some(directory.path().to_owned()), listed: Mutex::default() };
    (directory, fonts)
}

#[test]
fn the_carried_font_is_taken_where_it_has_all_letters() {
    let fonts = Fonts { directory: Some("/nowhere".into()), listed: Mutex::default() };
    for text in [
        "It's a “naïve” test — 50 %!",
        "从前有一个巨人，他很自私。",
        "Ещё раз",
        "\u{feff}a\u{200d}b\n\u{a0}",
        "",
    ] {
        let font = fonts.covering(text).unwrap();
        assert_eq!(font.family, "Reel Draft Sans", "{text}");
        let directory = tempfile::tempdir().unwrap();
        font.put_into(directory.path()).unwrap();
        assert!(fs::metadata(directory.path().join("letters.otf")).unwrap().len() > 1_000_000);
    }
}

#[test]
fn the_first_letter_that_no_font_has_is_named() {
    let (_directory, fonts) = in_directory(&[("broken.ttf", b"no font"), ("letters.otf", letters::FONT)]);
    let error = fonts.covering("giant 从前 😀 ภาษา 한국어").unwrap_err();
    assert_eq!(error, FontError::NoFont('ภ'));
    let error = fonts.covering("ab한 ภ").unwrap_err();
    assert_eq!(error.to_string(), "no font on this machine has the letter '한'");
}

#[test]
fn a_sign_that_no_font_has_is_left_out() {
    let (_directory, fonts) = in_directory(&[]);
    let font = fonts.covering("A giant 😀, and 从前 \u{10fffd}").unwrap();
    assert_eq!(font.family, "Reel Draft Sans");
    assert_eq!(font.drawable("A giant 😀, and 从前 \u{10fffd}"), "A giant , and 从前");
}

/// Builds a font with this family name and these letters, all of them without outlines.
fn tiny_font(family: &str, letters: &str) -> Vec<u8> {
    let name: Vec<u8> = family.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let length = name.len() as u16;
    let record = |id: u16| [3, 1, 0x409, id, length, 0].map(u16::to_be_bytes).concat();
    let names = [[0, 2, 30].map(u16::to_be_bytes).concat(), record(1), record(6), name.clone()].concat();
    let letters: BTreeSet<char> = letters.chars().collect();
    let count = letters.len() as u32;
    let group = |(index, letter): (usize, char)| {
        [u32::from(letter), u32::from(letter), index as u32 + 1].map(u32::to_be_bytes).concat()
    };
    let groups: Vec<u8> = letters.into_iter().enumerate().flat_map(group).collect();
    let map = [
        [0, 1, 3, 10, 0, 12, 12, 0].map(u16::to_be_bytes).concat(),
        [16 + 12 * count, 0, count].map(u32::to_be_bytes).concat(),
        groups,
    ];
    let mut head = vec![0; 54];
    (head[1], head[18]) = (1, 4);
    let mut metrics = vec![0; 36];
    (metrics[1], metrics[35]) = (1, 1);
    let profile = [[0, 0, 0x50, 0].to_vec(), (count as u16 + 1).to_be_bytes().to_vec()].concat();
    let offsets = vec![0; 2 * (count as usize + 2)];
    let tables = [
        ("cmap", map.concat()),
        ("glyf", vec![0; 4]),
        ("head", head),
        ("hhea", metrics),
        ("loca", offsets),
        ("maxp", profile),
        ("name", names),
    ];
    let mut font = [0, 1, 0, 0, 0, tables.len() as u8, 0, 0, 0, 0, 0, 0].to_vec();
    let mut at = 12 + 16 * tables.len() as u32;
    for (tag, table) in &tables {
        font.extend(tag.bytes().chain([0; 4]));
        font.extend([at, table.len() as u32].map(u32::to_be_bytes).concat());
        at += table.len() as u32;
    }
    font.extend(tables.into_iter().flat_map(|(_, table)| table));
    font
}

#[test]
fn the_font_that_has_most_letters_is_taken() {
    let thai = tiny_font("Thai", "\u{e01}\u{e02}ab");
    let hangul = tiny_font("Hangul", "\u{ac00}\u{ac01}ab");
    let comma = tiny_font("With, Comma", "\u{e01}\u{e02}\u{ac00}ab");
    let files = [("t.ttf", &*thai), ("h.ttf", &*hangul), ("c.ttf", &*comma)];
    let (directory, fonts) = in_directory(&files);
    for (text, family, file) in [
        ("a \u{e01}b", "Thai", Some("t.ttf")),
        // The system's fonts have no exclamation mark, so the carried font must be chosen.
        ("\u{ac00}\u{ac01}!", "Reel Draft Sans", None),
        ("ab\u{ac00}\u{ac01}\u{e01}", "Hangul", Some("h.ttf")),
        ("many letters of the carried font, and \u{e01}", "Reel Draft Sans", None),
    ] {
        let font = fonts.covering(text).unwrap();
        assert_eq!((&*font.family, font.file), (family, file.map(|file| directory.path().join(file))));
    }
    assert_eq!(fonts.covering("\u{e03}"), Err(FontError::NoFont('\u{e03}')));
}

#[test]
fn a_font_that_was_installed_meanwhile_is_found() {
    let thai = tiny_font("Thai", "\u{e01}");
    let (directory, fonts) = in_directory(&[]);
    assert_eq!(fonts.covering("\u{e01}"), Err(FontError::NoFont('\u{e01}')));
    fs::write(directory.path().join("new.ttf"), &thai).unwrap();
    assert_eq!(fonts.covering("\u{e01}"), Err(FontError::NoFont('\u{e01}')), "the list was read just now");
    if let Some(listed) = fonts.listed.lock().unwrap().as_mut() {
        listed.at -= READ_AGAIN;
    }
    let font = fonts.covering("\u{e01}").unwrap();
    let put = tempfile::tempdir().unwrap();
    font.put_into(put.path()).unwrap();
    assert_eq!(fs::read(put.path().join("new.ttf")).unwrap(), thai);
    // A font whose file was removed cannot be chosen.
    fs::remove_file(directory.path().join("new.ttf")).unwrap();
    assert_eq!(fonts.covering("\u{e01}"), Err(FontError::NoFont('\u{e01}')));
}
