//! The fonts of captions: the embedded one, and the system's only once a caption needs them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cosmic_text::{FontSystem, SwashCache, fontdb};

/// The embedded font's file: Latin, Greek, Cyrillic, kana, GB2312; how it was made is told in `assets/README.md`.
pub static FONT: &[u8] = include_bytes!("../assets/reel-draft-sans.otf");

/// The name of the embedded font's family: preferred, so that captions look alike on all machines.
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
        database.load_font_source(fontdb::Source::Binary(Arc::new(FONT)));
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
    text.chars().all(|letter| letter.is_whitespace() || has(letter))
}

/// Whether the embedded font has a letter.
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
