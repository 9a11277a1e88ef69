//! The options that set a field of single shots in the project file: `--clips` and `--take`. Pure.

use reel_story::{
    nearest,
    project::{Project, ProjectFile, ShotSetting},
};

use super::{
    args::{Args, Clips},
    outline::count,
};
use crate::failure::Failure;

/// Most ids that a message lists.
const LISTED: usize = 12;

/// Sets what the options say. Returns one message for each kind of change, without the name of the file.
pub fn apply(args: &Args, file: &mut ProjectFile) -> Result<Vec<String>, Failure> {
    let mut said = Vec::new();
    if let Some(clips) = &args.clips {
        let (ids, is_wanted) = match clips {
            Clips::None => (all(file.project()), false),
            // A clip of the user's own is shown in any case.
            Clips::All => (without_own_clip(file.project()), true),
            Clips::Shots(ids) => (named(file.project(), ids)?, true),
        };
        let changed: Vec<String> =
            ids.into_iter().filter(|id| file.set_shot(id, ShotSetting::Clip(is_wanted))).collect();
        if !changed.is_empty() {
            said.push(format!("set clip = {is_wanted} for {}", listed(&changed)));
        }
    }
    for (id, sample) in &args.take {
        if !file.project().shots.iter().any(|shot| shot.id == *id) {
            return Err(no_shot(id, file.project()));
        }
        if file.set_shot(id, ShotSetting::Sample(*sample)) {
            said.push(format!("set sample = {sample} for {id}"));
        }
    }
    Ok(said)
}

/// Returns the failure for a shot that the project does not have.
pub fn no_shot(id: &str, project: &Project) -> Failure {
    let ids = || project.shots.iter().map(|shot| shot.id.as_str());
    let mut known: Vec<&str> = ids().take(10).collect();
    if project.shots.len() > known.len() {
        known.push("…");
    }
    let near = nearest(id, ids()).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    Failure::usage(format!("there is no shot {id}{near}; the shots are {}", known.join(", ")))
}

fn all(project: &Project) -> Vec<String> {
    project.shots.iter().map(|shot| shot.id.clone()).collect()
}

fn without_own_clip(project: &Project) -> Vec<String> {
    project.shots.iter().filter(|shot| shot.clip_file.is_empty()).map(|shot| shot.id.clone()).collect()
}

/// Returns these ids. Fails if one is unknown, or if its shot shows a clip of the user's own.
fn named(project: &Project, ids: &[String]) -> Result<Vec<String>, Failure> {
    for id in ids {
        let shot = project.shots.iter().find(|shot| shot.id == *id).ok_or_else(|| no_shot(id, project))?;
        if !shot.clip_file.is_empty() {
            return Err(Failure::usage(format!(
                "--clips {id}: the shot shows a clip of your own (clip_file)"
            )));
        }
    }
    Ok(ids.to_vec())
}

/// Returns the ids as a list of limited length.
fn listed(ids: &[String]) -> String {
    let first: Vec<&str> = ids.iter().take(LISTED).map(String::as_str).collect();
    let rest = if ids.len() > LISTED { ", …" } else { "" };
    format!("{} ({}{rest})", count(ids.len(), "shot"), first.join(", "))
}
