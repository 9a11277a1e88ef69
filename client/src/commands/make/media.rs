//! Checks the project's own pictures, recordings, clips and music, and copies them into the daemon's store.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use reel_client::Session;
use reel_story::project::Project;

use super::read_file::missing;
use crate::{exit::Exit, failure::Failure, inputs, table};

/// The kind of file that a field needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Picture,
    /// A still picture that the camera moves over.
    Still,
    Sound,
    Video,
}

impl Kind {
    fn fits(self, media_type: &str) -> bool {
        let (family, _) = media_type.split_once('/').unwrap_or((media_type, ""));
        match self {
            Self::Picture => family == "image",
            Self::Still => {
                matches!(media_type, "image/png" | "image/jpeg" | "image/webp" | "image/gif" | "image/bmp")
            }
            Self::Sound => family == "audio",
            Self::Video => family == "video",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Picture => "a picture",
            Self::Still => "a picture in PNG, JPEG, WebP, GIF or BMP",
            Self::Sound => "a sound",
            Self::Video => "a video",
        }
    }
}

/// A field of the project that names a file.
struct Field<'a> {
    /// The field's name for messages, such as `shot a3: picture_file`.
    place: String,
    path: &'a mut String,
    kind: Kind,
}

/// Returns the fields that name a file, in the order of the project.
fn fields(project: &mut Project) -> Vec<Field<'_>> {
    let field = |place: String, path, kind| Field { place, path, kind };
    let mut found = vec![field("[video] music".to_owned(), &mut project.video.music, Kind::Sound)];
    for character in &mut project.characters {
        let place = format!("character {}: sheet", character.id);
        found.push(field(place, &mut character.sheet, Kind::Picture));
    }
    for place in &mut project.places {
        found.push(field(format!("place {}: sheet", place.id), &mut place.sheet, Kind::Picture));
    }
    for shot in &mut project.shots {
        let place = |name: &str| format!("shot {}: {name}", shot.id);
        found.push(field(place("picture_file"), &mut shot.picture_file, Kind::Still));
        found.push(field(place("voice_file"), &mut shot.voice_file, Kind::Sound));
        found.push(field(place("clip_file"), &mut shot.clip_file, Kind::Video));
    }
    found.retain(|field| !field.path.is_empty());
    found
}

/// Returns the paths of the project's own media files that exist, without symbolic links. They are the user's, wherever they are.
pub fn own_paths(project: &Project, directory: &Path) -> BTreeSet<PathBuf> {
    let mut project = project.clone();
    let named = fields(&mut project).into_iter().map(|field| directory.join(field.path.as_str()));
    named.filter_map(|path| std::fs::canonicalize(path).ok()).collect()
}

/// Fails if a file does not exist, before anything is submitted. Paths are relative to `directory`.
pub fn check(project: &Project, directory: &Path) -> Result<(), Failure> {
    let mut project = project.clone();
    let mut failures = fields(&mut project).into_iter().filter_map(|field| {
        let path = directory.join(field.path.as_str());
        let failure = match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => return None,
            Ok(_) => {
                Failure::new(Exit::NoInput, "no_input", format!("{} is no regular file", table::path(&path)))
            }
            Err(error) => missing(&path, &error),
        };
        Some(named(failure, &field.place))
    });
    let Some(mut first) = failures.next() else { return Ok(()) };
    let others = failures.count();
    if others > 0 {
        let message = &first.error.message;
        first.error.message = format!("{message} (and {others} more files that cannot be read)");
    }
    Err(first)
}

/// Copies the project's files into the daemon's store. Returns the project with their digests instead of their paths.
pub async fn put(session: &Session, project: &Project, directory: &Path) -> Result<Project, Failure> {
    let mut project = project.clone();
    let mut known: HashMap<PathBuf, (String, String)> = HashMap::new();
    for field in fields(&mut project) {
        let path = directory.join(field.path.as_str());
        let (digest, media_type) = if let Some(known) = known.get(&path) {
            known.clone()
        } else {
            let put = inputs::put_file(session, &path).await;
            let (digest, media_type) = put.map_err(|failure| named(failure, &field.place))?;
            let taken = (digest.to_string(), media_type);
            known.insert(path.clone(), taken.clone());
            taken
        };
        if !field.kind.fits(&media_type) {
            let message = format!("{} is not {}: it is {media_type}", table::path(&path), field.kind.words());
            let failure = Failure::new(Exit::BadData, "bad_data", message)
                .hint("name another file in the project file, or none");
            return Err(named(failure, &field.place));
        }
        *field.path = digest;
    }
    Ok(project)
}

/// Returns how many shots have their own picture or clip.
pub fn own_pictures(project: &Project) -> usize {
    project.shots.iter().filter(|shot| !shot.picture_file.is_empty() || !shot.clip_file.is_empty()).count()
}

/// Adds the field's name to a failure.
fn named(mut failure: Failure, place: &str) -> Failure {
    failure.error.message = format!("{place}: {}", failure.error.message);
    failure
}

#[cfg(test)]
mod tests {
    use reel_story::project::read_toml;

    use super::*;

    #[test]
    fn a_missing_file_is_named_with_its_shot_and_field() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("there.png"), "x").unwrap();
        std::fs::create_dir(directory.path().join("dir")).unwrap();
        for (fields, words) in [
            ("picture_file = \"there.png\"", None),
            ("picture_file = \"gone.png\"", Some("shot a1: picture_file: cannot read")),
            ("voice_file = \"dir\"", Some("shot a1: voice_file: ")),
            (
                "picture_file = \"there.png\"\nclip_file = \"c.mp4\"\nvoice_file = \"v.wav\"",
                Some("(and 1 more"),
            ),
        ] {
            let text = format!("version = 1\n[[shots]]\nid = \"a1\"\ntext = \"One.\"\n{fields}\n");
            let checked = check(&read_toml(&text).unwrap(), directory.path());
            let message = checked.as_ref().err().map(|failure| failure.error.message.as_str());
            match words {
                None => assert_eq!(message, None),
                Some(words) => assert!(message.is_some_and(|message| message.contains(words)), "{message:?}"),
            }
        }
    }
}
