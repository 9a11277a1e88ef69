//! Writes a finished task's outputs to the files that a person asked for.

use std::path::{Path, PathBuf};

use reel_client::Session;
use reel_protocol::{Output, TaskView};

use crate::{
    context::Context,
    exit::Exit,
    failure::Failure,
    form::Form,
    naming::{self, Destination},
    save::{self, Existing},
    table, tasks,
};

/// Writes a finished task's outputs, and returns the files. `asked` is how many were asked for: several are numbered, even if fewer came.
pub async fn deliver(
    context: &Context,
    session: &Session,
    task: &TaskView,
    destination: &Destination,
    asked: usize,
    existing: Existing,
) -> Result<Vec<PathBuf>, Failure> {
    let Some(first) = task.outputs.first() else {
        return Err(Failure::new(Exit::WorkFailed, "no_output", format!("task {} made no file", task.id)));
    };
    match destination {
        Destination::Stdout => {
            // Of more than were asked for, the first is what was asked for.
            if task.outputs.len() > 1 && asked > 1 {
                return Err(Failure::usage(format!(
                    "-o - takes one file, task {} made {}",
                    task.id,
                    task.outputs.len()
                )));
            }
            let written = save::to_stdout(session, first, context.output).await;
            written.map_err(|failure| with_way_back(failure, task, Path::new("FILE")))?;
            Ok(Vec::new())
        }
        Destination::File(path) => {
            let mut paths = names_of_file(path, asked);
            // More than were asked for are written as well, under names that are free.
            let more = (asked + 1..).map(|number| naming::numbered(path, number));
            paths.extend(
                more.filter(|path| !save::is_taken(path)).take(task.outputs.len().saturating_sub(asked)),
            );
            let mut written = Vec::new();
            for (output, path) in task.outputs.iter().zip(&paths) {
                check_form(task, output, path)?;
                let saved = save::save(session, output, path, existing).await;
                let saved = saved.map_err(|failure| with_way_back(failure, task, path))?;
                if let Some(note) = saved.note {
                    context.output.warn(&note);
                }
                written.push(saved.path);
            }
            Ok(written)
        }
        Destination::Directory(directory) => save_under_free_names(session, task, directory).await,
    }
}

/// The files of `count` outputs that are wanted at `path`.
pub fn names_of_file(path: &Path, count: usize) -> Vec<PathBuf> {
    if count > 1 {
        (1..=count).map(|number| naming::numbered(path, number)).collect()
    } else {
        vec![path.to_owned()]
    }
}

/// The refusal of an ending that names no form of pictures.
pub fn unknown_ending(path: &Path) -> Failure {
    Failure::usage(format!("{} does not end in {}", table::path(path), Form::ENDINGS))
}

/// Pictures are converted to what the ending asks for; other outputs are written as they are.
fn check_form(task: &TaskView, output: &Output, path: &Path) -> Result<(), Failure> {
    if naming::fits(path, &output.media_type) {
        return Ok(());
    }
    if output.media_type.starts_with("image/") || task.kind.starts_with("image.") {
        return if Form::of_path(path).is_some() { Ok(()) } else { Err(unknown_ending(path)) };
    }
    let fitting = path.with_extension(naming::extension(&output.media_type));
    let message = format!("the result is {}, which {} does not fit", output.media_type, table::path(path));
    Err(Failure::cannot_create(message).hint(format!("reel fetch {} -o {}", task.id, table::path(&fitting))))
}

async fn save_under_free_names(
    session: &Session,
    task: &TaskView,
    directory: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let title = tasks::title(task);
    let ending = task.outputs.first().map_or("bin", |output| naming::extension(&output.media_type));
    let mut written = Vec::new();
    let mut left = task.outputs.as_slice();
    // Another program may take a name between the check and the write: then the next free one is tried.
    while let Some((output, rest)) = left.split_first() {
        let is_taken = |path: &Path| save::is_taken(path) || written.iter().any(|file| file == path);
        let names = naming::free_names(directory, &title, ending, task.outputs.len(), is_taken);
        let Some(path) = names.into_iter().next() else { break };
        match save::save(session, output, &path, Existing::Keep).await {
            Ok(saved) => {
                written.push(saved.path);
                left = rest;
            }
            Err(failure) if failure.error.code == "output_exists" => {}
            Err(failure) => return Err(with_way_back(failure, task, &path)),
        }
    }
    Ok(written)
}

/// A file that could not be written is no lost picture: the hint says how to fetch it from the daemon again.
pub fn with_way_back(failure: Failure, task: &TaskView, path: &Path) -> Failure {
    if !matches!(failure.exit, Exit::CannotCreate | Exit::Io | Exit::Internal) {
        return failure;
    }
    let id = task.id;
    let path = table::path(path);
    failure.hint(format!("the daemon keeps what was made: reel fetch {id} -o {path}, or to another path"))
}
