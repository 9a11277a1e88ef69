//! The fonts of captions: the embedded one, and the system's only once a caption needs them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cosmic_text::{FontSystem, SwashCache, fontdb};

/// Latin, Greek, Cyrillic, kana, GB2312; how it was made is told in `assets/README.md`.
static EMBEDDED: &[u8] = include_bytes!("../assets/reel-draft-sans.otf");

/// The embedded family: preferred, so that captions look alike on all machines.
pub const FAMILY: &str = "Reel Draft Sans";
pub const WEIGHT: fontdb::Weight = fontdb::Weight::MEDIUM;

/// Glyph pictures kept for the next caption; more than this and the shelf is cleared.
const MAX_CACHED_GLYPHS: usize = 2_000;

/// What shaping and rasterising letters needs; behind a lock, since both caches grow.
pub struct Fonts {
    pub system: FontSystem,
    pub glyphs: SwashCache,
}

impl Fonts {
    fn new(with_system: bool) -> Self {
        let mut database = fontdb::Database::new();
        if with_system {
            database.load_system_fonts();
        }
        database.load_font_source(fontdb::Source::Binary(Arc::new(EMBEDDED)));
        // A fixed locale: the same panel must not change its Han shapes with the desktop's language.
        let system = FontSystem::new_with_locale_and_db("zh-CN".to_owned(), database);
        Self { system, glyphs: SwashCache::new() }
    }

    /// Drops glyph pictures once there are too many of them.
    pub fn tidy(&mut self) {
        if self.glyphs.image_cache.len() > MAX_CACHED_GLYPHS {
            self.glyphs.image_cache.clear();
        }
    }
}

/// The fonts for a text: with the system's when the embedded one lacks a character of it.
pub fn fonts_for(text: &str) -> MutexGuard<'static, Fonts> {
    static ALONE: OnceLock<Mutex<Fonts>> = OnceLock::new();
    static WITH_SYSTEM: OnceLock<Mutex<Fonts>> = OnceLock::new();
    let (shelf, with_system) = if covers(text) { (&ALONE, false) } else { (&WITH_SYSTEM, true) };
    // A panic while shaping leaves caches, not broken promises: they stay usable.
    shelf.get_or_init(|| Mutex::new(Fonts::new(with_system))).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the embedded font has every character of the text.
pub fn covers(text: &str) -> bool {
    static KNOWN: OnceLock<HashSet<u32>> = OnceLock::new();
    let known = KNOWN.get_or_init(known_characters);
    text.chars().all(|letter| letter.is_whitespace() || known.contains(&u32::from(letter)))
}

/// The embedded font as a file, for programs that set text in it.
pub const fn file() -> &'static [u8] {
    EMBEDDED
}

/// The first letter or digit of a text that neither the embedded font nor any of this machine's has. Looks through the machine's fonts where the
/// embedded one is not enough, which may take a second.
pub fn missing_letter(text: &str) -> Option<char> {
    let mut wanted: Vec<char> = text.chars().filter(|letter| letter.is_alphanumeric()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|letter| !covers(letter.encode_utf8(&mut [0; 4])));
    if !wanted.is_empty() {
        let all: String = wanted.iter().collect();
        let mut fonts = fonts_for(&all);
        let ids: Vec<_> = fonts.system.db().faces().map(|face| face.id).collect();
        for id in ids {
            if wanted.is_empty() {
                break;
            }
            if let Some(font) = fonts.system.get_font(id, WEIGHT) {
                let charmap = font.as_swash().charmap();
                wanted.retain(|letter| charmap.map(*letter) == 0);
            }
        }
    }
    text.chars().find(|letter| wanted.contains(letter))
}

fn known_characters() -> HashSet<u32> {
    let mut fonts = Fonts::new(false);
    let id = fonts.system.db().faces().map(|face| face.id).next();
    let font = id.and_then(|id| fonts.system.get_font(id, WEIGHT));
    let mut known = HashSet::new();
    if let Some(font) = font {
        font.as_swash().charmap().enumerate(|character, glyph| {
            if glyph != 0 {
                known.insert(character);
            }
        });
    }
    known
}

#[cfg(test)]
mod tests {
    use super::{covers, missing_letter};

    #[test]
    fn the_embedded_font_covers_what_it_promises() {
        for text in [
            "A lighthouse, at dusk — ‘quoted’ … 42 × 3",
            "守塔人站在黄昏的灯塔上，海鸥飞过。",
            "カタカナとひらがな「」",
            "ΑΩ αβγ Москва",
        ] {
            assert!(covers(text), "{text}");
        }
        assert_eq!(missing_letter("A lighthouse — 守塔人 😀, Москва"), None);
        // Of a script that no font of any machine has: letters that no language uses yet.
        assert_eq!(missing_letter("ab\u{1_05C0}c"), Some('\u{1_05C0}'));
        assert!(!covers("العربية"));
        assert!(!covers("한국어"));
    }
}
