//! Writes the results of a story next to it: the film, its subtitles, and a copy of each picture, voice and clip.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use reel_client::Session;
use reel_protocol::{Digest, Output, StepReport, StoryPart};
use reel_story::project::is_sheet_step;

use super::{
    report::Results,
    stale::stages,
    state::{State, digest_of},
    story_paths::StoryPaths,
};
use crate::{
    creatable,
    failure::Failure,
    naming,
    save::{self, Existing},
    table,
};

/// Free disk space that is required for a film of unknown size, in bytes. A minute at 1920x1080 takes about 30 MB.
const ROOM_BYTES: u64 = 32 * 1024 * 1024;

/// The files that were written.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The path of the film, and its size in bytes.
    pub film: Option<(PathBuf, u64)>,
    /// The subtitle file next to the film.
    pub subtitles: Option<PathBuf>,
    /// The path of the copy of each picture, voice and clip, by the shot's id and the stage.
    pub copies: BTreeMap<(String, StoryPart), PathBuf>,
    /// The path of the copy of each sheet, by the name of the step that made it.
    pub sheets: BTreeMap<String, PathBuf>,
    /// Files that were kept unchanged, because somebody else wrote or changed them.
    pub kept: Vec<PathBuf>,
    /// Number of copies that were removed, because their shots are no longer in the project.
    pub removed: usize,
}

/// An output that must be written, and its path.
struct PendingFile {
    output: Output,
    path: PathBuf,
}

/// Fails if the film or its subtitles could not be written later, or would replace a file that `reel make` did not write.
pub fn check(paths: &StoryPaths, has_subtitles: bool, state: &State, is_forced: bool) -> Result<(), Failure> {
    let subtitles = has_subtitles.then_some(&paths.subtitles);
    for path in [&paths.film].into_iter().chain(subtitles) {
        let may_replace = is_forced || state.is_ours(path);
        creatable::check_file(path, if may_replace { Existing::Replace } else { Existing::Keep })?;
    }
    creatable::check_room(paths.film.parent().unwrap_or(Path::new("")), ROOM_BYTES)
}

/// Creates the directory for the copies. Fails if that is impossible.
pub fn check_copies(paths: &StoryPaths) -> Result<(), Failure> {
    fs::create_dir_all(&paths.copies).map_err(|error| save::cannot_write(&paths.copies, &error))?;
    creatable::check_directory(&paths.copies, "a.png")
}

/// Returns the name of the copy of a sheet without its extension, such as `sheet-giant` or `place-garden`. `step` is the step that makes the sheet.
pub fn sheet_stem(step: &str) -> String {
    step.replace('/', "-")
}

/// Writes all results. A file that has the right bytes already is not written again. A copy that the user changed is kept, unless `is_forced`. `own` are
/// the user's own files, which are never written.
pub async fn deliver(
    session: &Session,
    results: &Results<'_>,
    paths: &StoryPaths,
    state: &mut State,
    own: &BTreeSet<PathBuf>,
    is_forced: bool,
) -> Result<Delivery, Failure> {
    let mut delivery = Delivery::default();
    let mut wanted = Vec::new();
    for shot in &results.report.shots {
        for (stage, _, step) in stages(shot).filter(|(stage, ..)| *stage != StoryPart::Render) {
            let Some(output) = output_of(step) else { continue };
            let path = paths.copies.join(format!("{}.{}", shot.id, naming::extension(&output.media_type)));
            delivery.copies.insert((shot.id.clone(), stage), path.clone());
            wanted.push(PendingFile { output, path });
        }
    }
    for step in &results.report.steps {
        let Some(output) = output_of(step).filter(|_| is_sheet_step(&step.step)) else { continue };
        let ending = naming::extension(&output.media_type);
        let path = paths.copies.join(format!("{}.{ending}", sheet_stem(&step.step)));
        delivery.sheets.insert(step.step.clone(), path.clone());
        wanted.push(PendingFile { output, path });
    }
    wanted.retain(|copy| {
        let is_own = fs::canonicalize(&copy.path).is_ok_and(|path| own.contains(&path));
        if is_own {
            state.forget(&copy.path);
        }
        !is_own
    });
    wanted.retain(|copy| !is_there(&copy.path, copy.output.digest, state));
    let is_changed =
        |copy: &PendingFile| save::is_taken(&copy.path) && !state.is_ours(&copy.path) && !is_forced;
    let (kept, mut wanted): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_changed);
    delivery.kept = kept.into_iter().map(|copy| copy.path).collect();
    let beside = [(results.subtitles, &paths.subtitles), (results.film, &paths.film)];
    for (output, path) in beside.into_iter().filter_map(|(output, path)| Some((output?, path))) {
        if !is_there(path, output.digest, state) {
            wanted.push(PendingFile { output: output.clone(), path: path.clone() });
        }
    }
    write(session, &wanted, paths, state, is_forced).await?;
    // Players show a subtitle file beside a film by themselves, so that of an earlier film is removed.
    if results.film.is_some() && results.subtitles.is_none() && state.is_ours(&paths.subtitles) {
        fs::remove_file(&paths.subtitles).map_err(|error| save::cannot_write(&paths.subtitles, &error))?;
    }
    delivery.film = results.film.map(|film| (paths.film.clone(), film.size_bytes));
    delivery.subtitles = results.subtitles.map(|_| paths.subtitles.clone());
    Ok(delivery)
}

/// Writes the pictures of steps to the directory of the copies, each under its stem. Returns the path of each picture, None for a step without one, and
/// the files that were kept because the user changed them.
pub async fn deliver_pictures(
    session: &Session,
    pictures: &[(String, &StepReport)],
    paths: &StoryPaths,
    state: &mut State,
    own: &BTreeSet<PathBuf>,
    is_forced: bool,
) -> Result<(Vec<Option<PathBuf>>, Vec<PathBuf>), Failure> {
    let (mut found, mut kept, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for (stem, step) in pictures {
        let Some(output) = output_of(step) else {
            found.push(None);
            continue;
        };
        let path = paths.copies.join(format!("{stem}.{}", naming::extension(&output.media_type)));
        found.push(Some(path.clone()));
        if is_there(&path, output.digest, state) {
            continue;
        }
        let is_own = fs::canonicalize(&path).is_ok_and(|path| own.contains(&path));
        if is_own || save::is_taken(&path) && !state.is_ours(&path) && !is_forced {
            kept.push(path);
        } else {
            wanted.push(PendingFile { output, path });
        }
    }
    write(session, &wanted, paths, state, is_forced).await?;
    Ok((found, kept))
}

/// Whether the file has these bytes already. If so, it is added to the state, so that a lost state file recovers this knowledge.
fn is_there(path: &Path, digest: Digest, state: &mut State) -> bool {
    let is_there = digest_of(path) == Some(digest);
    if is_there {
        state.wrote(path, digest);
    }
    is_there
}

/// Writes files. Their digests are saved in the state before and after, so that a crash in between leaves no file that the next run does not
/// recognise.
async fn write(
    session: &Session,
    wanted: &[PendingFile],
    paths: &StoryPaths,
    state: &mut State,
    is_forced: bool,
) -> Result<(), Failure> {
    if wanted.iter().any(|file| file.path.starts_with(&paths.copies)) {
        check_copies(paths)?;
    }
    let may_replace = |state: &State, path: &Path| is_forced || state.is_ours(path);
    let existing: Vec<Existing> = wanted
        .iter()
        .map(|file| if may_replace(state, &file.path) { Existing::Replace } else { Existing::Keep })
        .collect();
    for file in wanted {
        state.announce(&file.path, file.output.digest);
    }
    state.save(&paths.state)?;
    for (file, existing) in wanted.iter().zip(existing) {
        let written = save::save(session, &file.output, &file.path, existing).await;
        // Another process of the same command may have written the same file meanwhile.
        if let Err(failure) = written
            && digest_of(&file.path) != Some(file.output.digest)
        {
            let hint = "what was made is kept: run the same command again once the file can be written";
            return Err(failure.hint(hint));
        }
        state.wrote(&file.path, file.output.digest);
    }
    Ok(())
}

/// Writes a file that the client itself generates. Fails if somebody else wrote or changed the existing file, unless `is_forced`.
pub fn write_own(
    path: &Path,
    bytes: &[u8],
    paths: &StoryPaths,
    state: &mut State,
    is_forced: bool,
) -> Result<(), Failure> {
    let digest = Digest::from_bytes(*blake3::hash(bytes).as_bytes());
    if is_there(path, digest, state) {
        return Ok(());
    }
    if save::is_taken(path) && !state.is_ours(path) && !is_forced {
        return Err(Failure::exists(path));
    }
    state.announce(path, digest);
    state.save(&paths.state)?;
    save::replace(path, bytes)?;
    state.wrote(path, digest);
    Ok(())
}

/// Returns the artifact of a step, made or supplied, as an output that can be fetched. None if the step has none.
fn output_of(step: &StepReport) -> Option<Output> {
    Some(Output {
        digest: step.digest?,
        media_type: step.media_type.clone()?,
        // The size is not needed to fetch the artifact.
        size_bytes: 0,
        width: None,
        height: None,
        duration_s: None,
        path: step.path.clone().unwrap_or_default(),
        text: None,
    })
}

/// Describes the files that were kept because the user changed them; None if there are none.
pub fn kept_words(kept: &[PathBuf]) -> Option<String> {
    let first = kept.first()?;
    let others = if kept.len() > 1 { format!(" and {} more", kept.len() - 1) } else { String::new() };
    Some(format!(
        "{}{others} was changed by hand and is left as it is; the film has what was made: name the file in the project file to use it, or --force replaces it",
        table::path(first)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_make_wrote_may_be_replaced_after_the_state_was_lost() {
        let dir = tempfile::tempdir().unwrap();
        let paths = StoryPaths::of(&dir.path().join("x.txt"), None).unwrap();
        let page = dir.path().join("player.html");
        let write = |text: &str, state: &mut State| write_own(&page, text.as_bytes(), &paths, state, false);
        write("first", &mut State::load(&paths.state).unwrap().0).unwrap();
        fs::remove_file(&paths.state).unwrap();
        let mut state = State::load(&paths.state).unwrap().0;
        write("first", &mut state).unwrap();
        write("second", &mut state).unwrap();
        fs::write(&page, "mine").unwrap();
        assert_eq!(write("third", &mut state).unwrap_err().error.code, "output_exists");
        assert_eq!(fs::read(&page).unwrap(), b"mine");
    }
}
