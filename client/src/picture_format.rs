//! Lists the formats that a picture can be written in, and finds the format that a file's extension names. Pure.

use std::path::Path;

/// A picture format that can be both decoded and encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// PNG, for names that end in `.png`.
    Png,
    /// `.jpg` or `.jpeg`.
    Jpeg,
    /// WebP, for names that end in `.webp`.
    Webp,
}

impl PictureFormat {
    /// The supported extensions, as error messages list them.
    pub const ENDINGS: &str = ".png, .jpg, .jpeg or .webp";

    /// Returns the format of a media type; None if pictures of that type cannot be converted.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "image/png" => Some(Self::Png),
            "image/jpeg" => Some(Self::Jpeg),
            "image/webp" => Some(Self::Webp),
            _ => None,
        }
    }

    /// Returns the format that an extension names. The extension is given without its dot, in any case.
    pub fn of_ending(ending: &str) -> Option<Self> {
        match ending.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::Webp),
            _ => None,
        }
    }

    /// Returns the format that the path's extension names.
    pub fn of_path(path: &Path) -> Option<Self> {
        path.extension().and_then(|ending| ending.to_str()).and_then(Self::of_ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_in_any_case_asks_for_its_form() {
        for (path, form) in [
            ("a.png", Some(PictureFormat::Png)),
            ("a.b.JPG", Some(PictureFormat::Jpeg)),
            ("a.jpeg", Some(PictureFormat::Jpeg)),
            ("a.WebP", Some(PictureFormat::Webp)),
            ("a.gif", None),
            ("png", None),
            (".png", None),
        ] {
            assert_eq!(PictureFormat::of_path(Path::new(path)), form, "{path}");
        }
    }
}
