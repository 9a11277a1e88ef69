//! Writes the outputs of a finished task to the files that the user asked for.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use reel_client::Session;
use reel_protocol::{Output, TaskView};

use crate::{
    commands::generate::fetch_command,
    context::Context,
    exit::Exit,
    failure::Failure,
    naming::{self, Destination},
    picture_format::PictureFormat,
    save::{self, Existing},
    signals::{self, Interrupts},
    sound, table, tasks,
};

/// Writes the outputs of a finished task and returns the files' paths. `asked` is the number of outputs that were asked for. If it is above 1, the
/// files are numbered, even if fewer arrived. Ctrl-C ends it with a failure that names the written files and the command that writes the others.
pub async fn deliver(
    context: &Context,
    session: &Session,
    task: &TaskView,
    (destination, asked): (&Destination, usize),
    existing: Existing,
    interrupts: &mut Option<Interrupts>,
) -> Result<Vec<PathBuf>, Failure> {
    let written = RefCell::new(Vec::new());
    let delivered = tokio::select! {
        delivered = write(context, session, task, (destination, asked), existing, &written) => Some(delivered),
        () = signals::next(interrupts) => None,
    };
    let written = written.into_inner();
    match delivered {
        Some(delivered) => delivered.map(|()| written),
        None => Err(interrupted(task, destination, existing, &written)),
    }
}

/// The failure for a delivery that Ctrl-C ended.
fn interrupted(
    task: &TaskView,
    destination: &Destination,
    existing: Existing,
    written: &[PathBuf],
) -> Failure {
    let all = task.outputs.len();
    let names: Vec<String> = written.iter().map(|path| table::path(path)).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    let files = if all == 1 { "file was" } else { "files were" };
    let message = format!("interrupted, and {} of {all} {files} written{names}", written.len());
    let (output, may_exist) = match destination {
        Destination::File(path) => (Some(path.as_path()), !written.is_empty()),
        Destination::Directory(directory) => {
            (Some(directory.as_path()).filter(|path| !path.as_os_str().is_empty()), false)
        }
        Destination::Stdout => (Some(Path::new("-")), false),
    };
    let fetch = fetch_command(task.id, output, may_exist || existing == Existing::Replace);
    let them = if all == 1 { "it" } else { "all of them" };
    Failure::new(Exit::Interrupted, "interrupted", message).hint(format!("{fetch} writes {them}")).of(task.id)
}

async fn write(
    context: &Context,
    session: &Session,
    task: &TaskView,
    (destination, asked): (&Destination, usize),
    existing: Existing,
    written: &RefCell<Vec<PathBuf>>,
) -> Result<(), Failure> {
    let Some(first) = task.outputs.first() else {
        return Err(Failure::new(Exit::WorkFailed, "no_output", format!("task {} has no result", task.id)));
    };
    match destination {
        Destination::Stdout => {
            // If more outputs arrived than were asked for, the first one is printed.
            if task.outputs.len() > 1 && asked > 1 {
                return Err(Failure::usage(format!(
                    "-o - takes one file, task {} made {}",
                    task.id,
                    task.outputs.len()
                )));
            }
            let to_stdout = save::to_stdout(session, first, context.output).await;
            to_stdout.map_err(|failure| with_way_back(failure, task, Path::new("FILE")))
        }
        Destination::File(path) => {
            let mut paths = names_of_file(path, asked);
            // If more outputs arrived than were asked for, the others are written under free names.
            let more = (asked + 1..).map(|number| naming::numbered(path, number));
            paths.extend(
                more.filter(|path| !save::is_taken(path)).take(task.outputs.len().saturating_sub(asked)),
            );
            for (output, path) in task.outputs.iter().zip(&paths) {
                check_form(task, output, path)?;
                let saved = save::save(session, output, path, existing).await;
                let saved = saved.map_err(|failure| with_way_back(failure, task, path))?;
                if let Some(note) = saved.note {
                    context.output.warn(&note);
                }
                written.borrow_mut().push(saved.path);
            }
            Ok(())
        }
        Destination::Directory(directory) => save_under_free_names(session, task, directory, written).await,
    }
}

/// Returns the paths of `count` outputs for one `-o` path: the path itself for one, numbered paths for several.
pub fn names_of_file(path: &Path, count: usize) -> Vec<PathBuf> {
    if count > 1 {
        (1..=count).map(|number| naming::numbered(path, number)).collect()
    } else {
        vec![path.to_owned()]
    }
}

/// The failure for a path whose extension is not a supported picture format.
pub fn unknown_ending(path: &Path) -> Failure {
    Failure::usage(format!("{} does not end in {}", table::path(path), PictureFormat::ENDINGS))
}

/// Checks that an output may be written at `path`. Pictures are converted to the format of the extension. Other outputs are written unchanged, so
/// their media type must fit.
fn check_form(task: &TaskView, output: &Output, path: &Path) -> Result<(), Failure> {
    if naming::fits(path, &output.media_type) {
        return Ok(());
    }
    if sound::needs_conversion(path, &output.media_type) && sound::has_converter() {
        return Ok(());
    }
    if output.media_type.starts_with("image/") || task.kind.starts_with("image.") {
        return if PictureFormat::of_path(path).is_some() { Ok(()) } else { Err(unknown_ending(path)) };
    }
    let fitting = path.with_extension(naming::extension(&output.media_type));
    let message = format!("the result is {}, so {} does not fit it", output.media_type, table::path(path));
    Err(Failure::cannot_create(message).hint(format!(
        "reel fetch {} -o {} writes it",
        task.id,
        table::word(&fitting)
    )))
}

async fn save_under_free_names(
    session: &Session,
    task: &TaskView,
    directory: &Path,
    written: &RefCell<Vec<PathBuf>>,
) -> Result<(), Failure> {
    let title = tasks::title(task);
    let ending = task.outputs.first().map_or("bin", |output| naming::extension(&output.media_type));
    let mut left = task.outputs.as_slice();
    // Another program may take a name between the check and the write. In that case the next free name is tried.
    while let Some((output, rest)) = left.split_first() {
        let is_taken = |path: &Path| save::is_taken(path) || written.borrow().iter().any(|file| file == path);
        let names = naming::free_names(directory, &title, ending, task.outputs.len(), is_taken);
        let Some(path) = names.into_iter().next() else { break };
        match save::save(session, output, &path, Existing::Keep).await {
            Ok(saved) => {
                written.borrow_mut().push(saved.path);
                left = rest;
            }
            Err(failure) if failure.error.code == "output_exists" => {}
            Err(failure) => return Err(with_way_back(failure, task, &path)),
        }
    }
    Ok(())
}

/// Adds a hint to a failed write that says how to fetch the output again. The daemon still has the file.
pub fn with_way_back(failure: Failure, task: &TaskView, path: &Path) -> Failure {
    if !matches!(failure.exit, Exit::CannotCreate | Exit::Io | Exit::Internal) {
        return failure;
    }
    let id = task.id;
    let path = table::path(path);
    failure.hint(format!("the result is kept: reel fetch {id} -o {path}, or another path, writes it"))
}
