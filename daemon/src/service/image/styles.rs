//! The table of picture styles.

use reel_protocol::methods::StyleInfo;

/// A style of pictures that a request may name.
#[derive(Debug)]
pub struct Style {
    /// The name for the param `style`.
    pub name: &'static str,
    /// What pictures of this style look like, as a text for people.
    pub summary: &'static str,
    /// The text that is added to the prompt for providers that read text.
    pub prompt_suffix: &'static str,
    /// The text that is added to the negative prompt for providers that take one.
    pub negative_suffix: &'static str,
}

/// All styles. Changing a suffix changes the cache key of its requests.
pub const STYLES: &[Style] = &[
    Style {
        name: "cinematic",
        summary: "a frame of a film: wide, moody light, shallow depth",
        prompt_suffix: "cinematic still, dramatic lighting, shallow depth of field, film grain, anamorphic",
        negative_suffix: "flat lighting, snapshot, cartoon",
    },
    Style {
        name: "anime",
        summary: "clean lines and bright, even colours",
        prompt_suffix: "anime style, clean line art, cel shading, vibrant colors",
        negative_suffix: "photo, realistic skin, noise",
    },
    Style {
        name: "ghibli",
        summary: "soft hand-painted scenery under big skies",
        prompt_suffix: "hand-painted animation background, soft watercolor light, lush nature, gentle nostalgic mood",
        negative_suffix: "harsh contrast, 3d render, photo",
    },
    Style {
        name: "cyberpunk",
        summary: "neon, rain and towering streets at night",
        prompt_suffix: "cyberpunk, neon lights, rain-soaked streets, holograms, high contrast night",
        negative_suffix: "daylight, rural, pastel",
    },
    Style {
        name: "watercolor",
        summary: "an illustration in washes on rough paper",
        prompt_suffix: "watercolor illustration, soft washes, paper texture, bleeding edges",
        negative_suffix: "photo, sharp digital edges",
    },
    Style {
        name: "pixel-art",
        summary: "large square pixels and few colours",
        prompt_suffix: "pixel art, limited palette, crisp square pixels, 16-bit game scene",
        negative_suffix: "smooth gradients, blur, photo",
    },
    Style {
        name: "photorealistic",
        summary: "as a good camera would see it",
        prompt_suffix: "photorealistic, natural light, high detail, 50mm photograph",
        negative_suffix: "illustration, painting, cartoon",
    },
];

/// Finds the style with this name.
pub fn find(name: &str) -> Option<&'static Style> {
    STYLES.iter().find(|style| style.name == name)
}

/// All styles in the form of the result of `service.status`.
pub fn infos() -> Vec<StyleInfo> {
    let info = |style: &Style| StyleInfo {
        name: style.name.to_owned(),
        summary: style.summary.to_owned(),
        prompt_suffix: style.prompt_suffix.to_owned(),
        negative_suffix: style.negative_suffix.to_owned(),
    };
    STYLES.iter().map(info).collect()
}
