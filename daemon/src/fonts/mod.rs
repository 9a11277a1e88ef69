//! Finds a font that has all letters of a text, so that burnt-in subtitles and titles show no boxes in place of letters.
//!
//! `ffmpeg` draws subtitles with `libass`, which succeeds and draws a box for a letter that no font has. So the letters are looked up before. The
//! font that the daemon carries is preferred, because films then look alike on all machines. The fonts of the system follow.

#[cfg(test)]
mod tests;
mod widths;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
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
    /// The number of the font within its file.
    index: u32,
    /// Characters of the text, such as emoji, that no font has.
    boxes: BTreeSet<char>,
}

/// The reason why the subtitles of a text cannot be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FontError {
    /// No font has this letter.
    #[error("no font on this machine has the letter {0:?}")]
    NoFont(char),
}

impl FontError {
    /// The command that installs fonts.
    pub const INSTALL: &'static str = "apt install fonts-noto-core fonts-noto-cjk";
}

impl Font {
    /// Returns the font that the daemon carries.
    fn carried() -> Self {
        Self { family: letters::FAMILY.to_owned(), file: None, index: 0, boxes: BTreeSet::new() }
    }

    /// Returns a line of the text without the characters that would be drawn as boxes.
    pub fn drawable(&self, line: &str) -> String {
        let drawable: String = line.chars().filter(|letter| !self.boxes.contains(letter)).collect();
        drawable.trim_end().to_owned()
    }

    /// Returns the width of each letter of a text as a share of the line's height. Reads a file. The letters of a font that cannot be read have a usual
    /// width.
    pub fn letter_widths(&self, text: &str) -> BTreeMap<char, f64> {
        match &self.file {
            None => widths::widths(letters::FONT, 0, text),
            Some(file) => widths::widths(&fs::read(file).unwrap_or_default(), self.index, text),
        }
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
            let (family, index) = (family.to_owned(), face.index);
            best = (Font { family, file, index, boxes: BTreeSet::new() }, lacking.len());
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
