//! Finds a font that has all letters of a text, so that burnt-in subtitles show no boxes in place of letters.
//!
//! `ffmpeg` draws subtitles with `libass`, which succeeds and draws a box for a letter that no font has. So the letters are looked up before. The
//! font that the daemon carries is preferred, because films then look alike on all machines. The fonts of the system follow.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use fontdb::{Database, FaceInfo, Source, Stretch, Style, Weight};
use reel_draft::letters;
use ttf_parser::Face;

/// Shortest time between two listings of the system's fonts. They are listed again when a letter is missing in all of them.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// System fonts that are preferred if they have all letters, best first. They are designed for screens.
const PREFERRED: [&str; 9] = [
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "PingFang SC",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "WenQuanYi Zen Hei",
    "Noto Sans",
    "DejaVu Sans",
    "Arial Unicode MS",
];

/// A font for subtitles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Font {
    /// The name of the font's family, by which a subtitle file selects it.
    pub family: String,
    /// The font's file; `None` for the font that the daemon carries.
    file: Option<PathBuf>,
    /// Characters of the text, such as emoji, that no font has.
    boxes: BTreeSet<char>,
}

/// The reason why the subtitles of a text cannot be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FontError {
    /// No font has this letter.
    #[error("no font on this machine has the letter {0:?} of the subtitles")]
    NoFont(char),
}

impl FontError {
    /// The command that installs fonts.
    pub const INSTALL: &'static str = "apt install fonts-noto-core fonts-noto-cjk";
}

impl Font {
    /// Returns the font that the daemon carries.
    fn carried() -> Self {
        Self { family: letters::FAMILY.to_owned(), file: None, boxes: BTreeSet::new() }
    }

    /// Returns a line of the text without the characters that would be drawn as boxes.
    pub fn drawable(&self, line: &str) -> String {
        let drawable: String = line.chars().filter(|letter| !self.boxes.contains(letter)).collect();
        drawable.trim_end().to_owned()
    }

    /// Adds the font to a directory from which `libass` reads fonts. The directory must exist.
    pub fn put_into(&self, directory: &Path) -> io::Result<()> {
        match &self.file {
            None => fs::write(directory.join("letters.otf"), letters::FONT),
            Some(file) => symlink(file, directory.join(file.file_name().unwrap_or_default())),
        }
    }
}

/// The fonts of this machine. The system's fonts are listed when they are first needed.
#[derive(Debug, Default)]
pub struct Fonts {
    /// The directory of the fonts. `None` for the directories of the system.
    directory: Option<PathBuf>,
    listed: Mutex<Option<Listed>>,
}

/// The fonts that were found at a certain time.
#[derive(Debug)]
struct Listed {
    database: Database,
    at: Instant,
}

impl Fonts {
    /// Returns the system's fonts. The whole process shares one list.
    pub fn of_the_system() -> &'static Self {
        static FONTS: OnceLock<Fonts> = OnceLock::new();
        FONTS.get_or_init(Self::default)
    }

    /// Returns a font that has all letters of the text. If every letter is in some font but no font has them all, it returns the font that has most
    /// of them, and `libass` takes the others from the system's fonts. Reads files, so it must run on a blocking thread.
    ///
    /// # Errors
    ///
    /// Returns the first letter or digit that no font has. Other characters, such as emoji, are not drawn.
    pub fn covering(&self, text: &str) -> Result<Font, FontError> {
        if text.chars().filter(|letter| is_drawn(*letter)).all(letters::has) {
            return Ok(Font::carried());
        }
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Listed { database, at }) = &*listed {
            let found = best(database, text);
            // A person who was told that a letter is missing installs a font and tries again.
            if found.is_ok() || at.elapsed() < READ_AGAIN {
                return found;
            }
        }
        let listed = listed.insert(Listed { database: self.list(), at: Instant::now() });
        best(&listed.database, text)
    }

    fn list(&self) -> Database {
        let mut database = Database::new();
        match &self.directory {
            Some(directory) => database.load_fonts_dir(directory),
            None => database.load_system_fonts(),
        }
        tracing::debug!(fonts = database.len(), "listed the fonts");
        database
    }
}

/// Returns the font for a text: a listed font that has all of its letters, else the one that lacks the fewest.
///
/// `libass` takes the letters that the chosen font lacks from the fonts of the system, and never from the carried font. So if the system lacks a
/// letter, only the carried font can be chosen.
fn best(database: &Database, text: &str) -> Result<Font, FontError> {
    let drawn: BTreeSet<char> = text.chars().filter(|letter| is_drawn(*letter)).collect();
    let carried_lacks = drawn.iter().filter(|letter| !letters::has(**letter)).count();
    let mut best = (Font::carried(), carried_lacks);
    let mut system_lacks = drawn.clone();
    let mut faces: Vec<_> = database.faces().filter_map(|face| Some((family(face)?, face))).collect();
    faces.sort_by_key(|(family, face)| rank(family, face));
    for (family, face) in faces {
        let lacking = lacking(database, face, &drawn);
        system_lacks.retain(|letter| lacking.contains(letter));
        if lacking.len() < best.1 {
            let file = path(&face.source).map(Path::to_owned);
            best = (Font { family: family.to_owned(), file, boxes: BTreeSet::new() }, lacking.len());
        }
        if best.1 == 0 {
            return Ok(best.0);
        }
    }
    let boxes: BTreeSet<char> =
        system_lacks.iter().copied().filter(|letter| !letters::has(*letter)).collect();
    // Report the first one in the order of the text, because a person searches for that.
    if let Some(letter) = text.chars().find(|letter| boxes.contains(letter) && letter.is_alphanumeric()) {
        return Err(FontError::NoFont(letter));
    }
    let is_carried_needed = system_lacks.len() > boxes.len();
    let font = if is_carried_needed { Font::carried() } else { best.0 };
    Ok(Font { boxes, ..font })
}

/// Returns the letters that a font does not have. These are all letters if the font cannot be read, or if its letters are pictures, which `libass`
/// does not draw.
fn lacking(database: &Database, face: &FaceInfo, letters: &BTreeSet<char>) -> BTreeSet<char> {
    let lacking = database.with_face_data(face.id, |data, index| {
        let face = Face::parse(data, index).ok()?;
        let tables = face.tables();
        if tables.glyf.is_none() && tables.cff.is_none() {
            return None;
        }
        Some(letters.iter().copied().filter(|letter| face.glyph_index(*letter).is_none()).collect())
    });
    lacking.flatten().unwrap_or_else(|| letters.clone())
}

/// Returns the family name for a subtitle file. The first name of a font is in English. None if it has a comma, which would end the field in that
/// file.
fn family(face: &FaceInfo) -> Option<&str> {
    let (name, _) = face.families.first()?;
    let is_plain = !name.is_empty() && !name.contains(',') && !name.chars().any(char::is_control);
    (is_plain && path(&face.source).is_some()).then_some(name.as_str())
}

fn path(source: &Source) -> Option<&Path> {
    match source {
        Source::File(path) | Source::SharedFile(path, _) => Some(path),
        Source::Binary(_) => None,
    }
}

/// Returns the sort key of fonts that have the same letters: upright fonts of usual weight and width first, then preferred families, then by name.
fn rank<'a>(family: &'a str, face: &'a FaceInfo) -> impl Ord + 'a {
    let is_usual = face.style == Style::Normal && face.stretch == Stretch::Normal && !face.monospaced;
    let weight = face.weight.0.abs_diff(Weight::NORMAL.0);
    let preferred = PREFERRED.iter().position(|name| *name == family).unwrap_or(PREFERRED.len());
    (Reverse(is_usual), weight, preferred, family, &face.post_script_name)
}

/// Returns whether a letter is visible when drawn, so that a font must have it.
fn is_drawn(letter: char) -> bool {
    let is_mark_of_form = matches!(letter,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}');
    !letter.is_whitespace() && !letter.is_control() && !is_mark_of_form
}

#[cfg(test)]
mod tests {
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
        assert_eq!(error.to_string(), "no font on this machine has the letter '한' of the subtitles");
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
        assert_eq!(
            fonts.covering("\u{e01}"),
            Err(FontError::NoFont('\u{e01}')),
            "the list was read just now"
        );
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
}
