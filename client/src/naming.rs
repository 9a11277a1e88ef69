//! Chooses the names of the files that the outputs of a task are written to.

use std::path::{Path, PathBuf};

use crate::{picture_format::PictureFormat, slug::slug_or};

/// The destination of the outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The bytes go to standard output, for `-o -`.
    Stdout,
    /// This file. Several outputs get `-1`, `-2`… before the extension.
    File(PathBuf),
    /// A free name in this directory, made from the prompt.
    Directory(PathBuf),
}

impl Destination {
    /// Reads `-o`. A path is a directory only if that directory exists. Without `-o` it is the current directory.
    pub fn parse(given: Option<&Path>) -> Self {
        match given {
            None => Self::Directory(PathBuf::new()),
            Some(path) if path == Path::new("-") => Self::Stdout,
            Some(path) if path.is_dir() => Self::Directory(path.to_owned()),
            Some(path) => Self::File(path.to_owned()),
        }
    }
}

/// The media types of pictures with the extensions of their files, the most common first. The last one is the type that the daemon gives a picture of
/// unknown format.
const PICTURES: [(&str, &str); 14] = [
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/webp", "webp"),
    ("image/gif", "gif"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/tiff", "tiff"),
    ("image/heic", "heic"),
    ("image/heif", "heif"),
    ("image/jxl", "jxl"),
    ("image/jp2", "jp2"),
    ("image/j2c", "j2c"),
    ("image/svg+xml", "svg"),
    ("application/octet-stream", "bin"),
];

/// Returns the extensions of picture files, the most common first.
pub fn picture_endings() -> impl Iterator<Item = &'static str> {
    PICTURES.iter().map(|(_, ending)| *ending)
}

/// Returns the extensions of all result files, those of pictures first.
pub fn endings() -> impl Iterator<Item = &'static str> {
    picture_endings().chain([
        "wav", "mp3", "flac", "ogg", "aac", "m4a", "weba", "mka", "mp4", "webm", "mov", "mkv", "txt", "json",
    ])
}

/// Splits a name into its stem and its extension in lower case, if that names a picture format that can be written. Any other extension remains part
/// of the name.
pub fn split_picture_ending(name: &str) -> (&str, Option<String>) {
    match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && PictureFormat::of_ending(ending).is_some() => {
            (stem, Some(ending.to_ascii_lowercase()))
        }
        _ => (name, None),
    }
}

/// Whether the name's extension is of a picture format that cannot be written, such as `shot.gif`.
pub fn is_unwritable_picture(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| {
        let ending = ending.to_ascii_lowercase();
        PictureFormat::of_ending(&ending).is_none() && picture_endings().any(|known| known == ending)
    })
}

/// Returns the extension for files of a media type; `bin` for an unknown type.
pub fn extension(media_type: &str) -> &'static str {
    if let Some((_, ending)) = PICTURES.iter().find(|(name, _)| *name == media_type) {
        return ending;
    }
    match media_type {
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/mpeg" => "mp3",
        "audio/flac" => "flac",
        "audio/ogg" => "ogg",
        "audio/aac" => "aac",
        "audio/mp4" => "m4a",
        "audio/webm" => "weba",
        "audio/matroska" => "mka",
        "video/mp4" => "mp4",
        "video/webm" => "webm",
        "video/quicktime" => "mov",
        "video/matroska" => "mkv",
        "application/x-subrip" => "srt",
        "text/plain" => "txt",
        "application/json" => "json",
        _ => "bin",
    }
}

/// Returns the file name for a result with this extension if its task has no prompt or text to name it after.
pub fn plain_name(extension: &str) -> &'static str {
    match extension {
        "wav" | "mp3" => "speech",
        "mp4" | "webm" | "mov" => "video",
        "txt" | "json" => "text",
        _ => "picture",
    }
}

/// Extensions that a text is not written under, because programs would take the file for a damaged picture, sound or video.
const NO_TEXTS: [&str; 14] =
    ["png", "jpg", "jpeg", "webp", "gif", "avif", "wav", "mp3", "ogg", "opus", "flac", "mp4", "webm", "mov"];

/// Whether the path's extension fits the media type. A text may have any extension but those in `NO_TEXTS`.
pub fn fits(path: &Path, media_type: &str) -> bool {
    let given = path.extension().and_then(|text| text.to_str()).unwrap_or_default().to_lowercase();
    if media_type.starts_with("text/") || media_type == "application/json" {
        return !NO_TEXTS.contains(&given.as_str());
    }
    given == extension(media_type) || (media_type == "image/jpeg" && given == "jpeg")
}

/// Adds a number before the extension: `picture.png` with number 2 becomes `picture-2.png`.
pub fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    path.with_file_name(name)
}

/// Returns free names in `directory` for `count` files, made from `title`. One file gets `slug.png`, or if that is taken `slug-2.png`…. Several get
/// `slug-1.png`, `slug-2.png`….
pub fn free_names(
    directory: &Path,
    title: &str,
    extension: &str,
    count: usize,
    is_taken: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let plain = directory.join(format!("{}.{extension}", slug_or(title, plain_name(extension))));
    let first = if count > 1 { 1 } else { 2 };
    let alone = std::iter::once(plain.clone()).filter(|_| count == 1);
    alone
        .chain((first..).map(|number| numbered(&plain, number)))
        .filter(|path| !is_taken(path))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_go_around_what_is_there() {
        let taken = ["a-lighthouse.png", "a-lighthouse-2.png"];
        let is_taken = |path: &Path| taken.iter().any(|name| path == Path::new(name));
        let names = |count, is_free: bool| {
            free_names(Path::new(""), "A lighthouse", "png", count, |path| !is_free && is_taken(path))
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(1, true), ["a-lighthouse.png"]);
        assert_eq!(names(1, false), ["a-lighthouse-3.png"]);
        assert_eq!(names(2, true), ["a-lighthouse-1.png", "a-lighthouse-2.png"]);
        assert_eq!(names(2, false), ["a-lighthouse-1.png", "a-lighthouse-3.png"]);
    }

    #[test]
    fn only_the_endings_of_pictures_are_split_off_a_name() {
        for (name, expected) in [
            ("Shot 3.JPG", ("Shot 3", Some("jpg"))),
            ("Dr. Smith", ("Dr. Smith", None)),
            ("v1.2", ("v1.2", None)),
            (".png", (".png", None)),
        ] {
            assert_eq!(split_picture_ending(name), (expected.0, expected.1.map(str::to_owned)));
        }
        assert!(
            is_unwritable_picture("a.GIF")
                && !is_unwritable_picture("a.png")
                && !is_unwritable_picture("v1.2")
        );
    }

    #[test]
    fn numbers_stand_before_the_extension() {
        assert_eq!(numbered(Path::new("out/a.b.png"), 2), Path::new("out/a.b-2.png"));
        assert_eq!(numbered(Path::new("a"), 1), Path::new("a-1"));
        assert!(fits(Path::new("a.PNG"), "image/png"));
        assert!(fits(Path::new("a.md"), "text/plain") && fits(Path::new("a"), "application/json"));
        assert!(!fits(Path::new("a.PNG"), "text/plain") && !fits(Path::new("a.wav"), "application/json"));
        assert!(!fits(Path::new("a.jpg"), "image/png") && !fits(Path::new("png"), "image/png"));
    }
}
