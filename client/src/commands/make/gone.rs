//! Removes the copies of shots that are no longer in the project.

use std::{collections::BTreeSet, fs, path::PathBuf};

use reel_story::project::Project;

use super::{state::State, story_paths::StoryPaths};

/// Removes the copies that `reel make` wrote for shots that the project does not have any more, and forgets these shots. A copy that somebody changed
/// stays, and so does one that the project names (`own`). Returns the number of files that were removed. The state must be saved afterwards.
pub fn remove_copies(
    paths: &StoryPaths,
    state: &mut State,
    project: &Project,
    own: &BTreeSet<PathBuf>,
) -> usize {
    let ids: BTreeSet<&str> = project.shots.iter().map(|shot| shot.id.as_str()).collect();
    let gone: BTreeSet<String> =
        state.shots.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
    if gone.is_empty() {
        return 0;
    }
    state.shots.retain(|id, _| !gone.contains(id));
    let mut removed = 0;
    for entry in fs::read_dir(&paths.copies).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_of_gone = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| {
            // A take is named after its shot.
            gone.contains(stem) || stem.split_once("-take-").is_some_and(|(shot, _)| gone.contains(shot))
        });
        let is_named = fs::canonicalize(&path).is_ok_and(|path| own.contains(&path));
        if is_of_gone && !is_named && state.is_ours(&path) && fs::remove_file(&path).is_ok() {
            state.forget(&path);
            removed += 1;
        }
    }
    removed
}
