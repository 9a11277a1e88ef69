//! Which files the pictures of one task become.

use std::path::{Path, PathBuf};

use crate::slug::slug;

/// Where the user wants the pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The standard output.
    Stdout,
    /// This file; with several pictures `-1`, `-2`… before its extension.
    File(PathBuf),
    /// A name of our own in this directory that is not taken.
    Directory(PathBuf),
}

impl Destination {
    /// Reads `-o`; a directory is one that exists.
    pub fn parse(given: Option<&Path>) -> Self {
        match given {
            None => Self::Directory(PathBuf::new()),
            Some(path) if path == Path::new("-") => Self::Stdout,
            Some(path) if path.is_dir() => Self::Directory(path.to_owned()),
            Some(path) => Self::File(path.to_owned()),
        }
    }
}

/// The extension of a media type's files.
pub fn extension(media_type: &str) -> &'static str {
    match media_type {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/mpeg" => "mp3",
        "video/mp4" => "mp4",
        "text/plain" => "txt",
        "application/json" => "json",
        _ => "bin",
    }
}

/// Whether a path ends in one of the extensions of a media type.
pub fn fits(path: &Path, media_type: &str) -> bool {
    let given = path.extension().and_then(|text| text.to_str()).unwrap_or_default().to_lowercase();
    given == extension(media_type) || (media_type == "image/jpeg" && given == "jpeg")
}

/// `picture.png` as the `number`th of several: `picture-2.png`.
pub fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    path.with_file_name(name)
}

/// The files for `count` pictures named after `title` in `directory`, all of them free: `slug.png`, else `slug-2.png`…; with several
/// `slug-1.png`, `slug-2.png`….
pub fn free_names(
    directory: &Path,
    title: &str,
    extension: &str,
    count: usize,
    is_taken: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let plain = directory.join(format!("{}.{extension}", slug(title)));
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
    fn numbers_stand_before_the_extension() {
        assert_eq!(numbered(Path::new("out/a.b.png"), 2), Path::new("out/a.b-2.png"));
        assert_eq!(numbered(Path::new("a"), 1), Path::new("a-1"));
        assert!(fits(Path::new("a.PNG"), "image/png"));
        assert!(!fits(Path::new("a.jpg"), "image/png") && !fits(Path::new("png"), "image/png"));
    }
}
