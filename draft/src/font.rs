//! The fonts of captions: the embedded font, and the system's fonts if a caption needs them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cosmic_text::{FontSystem, SwashCache, fontdb};

/// The file of the embedded font: Latin, Greek, Cyrillic, kana and GB2312. `assets/README.md` says how it was made.
pub static FONT: &[u8] = include_bytes!("../assets/reel-draft-sans.otf");

/// The family name of the embedded font. It is preferred, so that captions look alike on all machines.
pub const FAMILY: &str = "Reel Draft Sans";
pub const WEIGHT: fontdb::Weight = fontdb::Weight::MEDIUM;

/// Most glyph images in the cache. When there are more, the cache is cleared.
const MAX_CACHED_GLYPHS: usize = 2_000;

/// The state for shaping and rasterising text. It is behind a lock because both caches grow.
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
        database.load_font_source(fontdb::Source::Binary(Arc::new(FONT)));
        // The locale is fixed, because the shapes of Han characters in a panel must not depend on the desktop's language.
        let system = FontSystem::new_with_locale_and_db("zh-CN".to_owned(), database);
        Self { system, glyphs: SwashCache::new() }
    }

    /// Clears the glyph images if there are more than [`MAX_CACHED_GLYPHS`].
    pub fn tidy(&mut self) {
        if self.glyphs.image_cache.len() > MAX_CACHED_GLYPHS {
            self.glyphs.image_cache.clear();
        }
    }
}

/// Returns the fonts for a text. They include the system's fonts if the embedded font lacks a character of the text.
pub fn fonts_for(text: &str) -> MutexGuard<'static, Fonts> {
    static ALONE: OnceLock<Mutex<Fonts>> = OnceLock::new();
    static WITH_SYSTEM: OnceLock<Mutex<Fonts>> = OnceLock::new();
    let (shelf, with_system) = if covers(text) { (&ALONE, false) } else { (&WITH_SYSTEM, true) };
    // A panic while shaping leaves the caches usable.
    shelf.get_or_init(|| Mutex::new(Fonts::new(with_system))).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns whether the embedded font has every character of the text, except white space.
pub fn covers(text: &str) -> bool {
    text.chars().all(|letter| letter.is_whitespace() || has(letter))
}

/// Returns whether the embedded font has a letter.
pub fn has(letter: char) -> bool {
    static KNOWN: OnceLock<HashSet<u32>> = OnceLock::new();
    let known = KNOWN.get_or_init(known_characters);
    known.contains(&u32::from(letter))
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
    use super::covers;

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
        assert!(!covers("العربية"));
        assert!(!covers("한국어"));
    }
}
