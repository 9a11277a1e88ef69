//! `reel make`: makes a film from a story.
//!
//! - The options: `args` defines them, `again` repeats them in hints, `redo` checks `--redo`, `shot_flags` applies those that set a field of single shots, and `names` checks the
//!   names of styles, voices and speakers.
//! - The shots: `direct` has a language model make the storyboard, for which `cast_voices` chooses voices, `storyboard` reads the project file or makes it from the story, and `outline` prints
//!   it. `story_paths` derives the paths of a story's files, and `read_file` reads them.
//! - The task: `dry_run` says what it would take with its `prices`, `downgrades` warns about worse results, `media` copies own files into the daemon's store, `submit`
//!   submits it, and `film` takes it from there to the end. `watch` follows it and shows its progress on a `screen`, which `stages` counts for. `takes`
//!   makes several pictures of a shot to choose from.
//! - The results: `report` reads them, `deliver` writes them next to the story, `gone` removes the copies of removed shots, and `held` cancels steps
//!   that only wait for a held task. `pack` writes the pages and the narration (`page`, `wav`) that show a story without a film.
//! - The end: `finish` prints the summary with the help of `summary` and `trouble`. `state` is saved between runs; from it, `stale` finds out what was
//!   made again, and why.

mod again;
mod args;
mod cast_voices;
mod deliver;
mod describe;
mod direct;
mod downgrades;
mod dry_run;
mod english_prompts;
mod film;
mod finish;
mod gone;
mod held;
mod media;
mod names;
mod outline;
mod pack;
mod page;
mod prices;
mod read_file;
mod redo;
mod report;
mod screen;
mod shot_flags;
mod stages;
mod stale;
mod state;
mod story_paths;
mod storyboard;
mod submit;
mod summary;
mod takes;
mod trouble;
mod watch;
mod wav;

use std::path::Path;

use reel_story::project::{self, Project};

pub use self::args::Args;
use self::{
    args::Stage,
    direct::Directed,
    film::Work,
    outline::{Outline, count},
    prices::Prices,
    state::{Reviewed, State},
    story_paths::StoryPaths,
    storyboard::Storyboard,
};
use crate::{context::Context, dry_run::Summary, exit::Exit, failure::Failure, output::Output, table};

/// Returns the ids of the shots of a story and their texts, in the order of the film. None if the path names no story that has a project file.
pub fn shots_of(story: &Path) -> Option<Vec<(String, String)>> {
    let paths = StoryPaths::of(story, None).ok()?;
    let text = read_file::read_project(&paths.project).ok()??;
    let project = project::read_toml(&text).ok()?;
    Some(project.shots.into_iter().map(|shot| (shot.id, shot.text)).collect())
}

/// Makes the film, or everything up to the last stage.
pub async fn run(context: &Context, mut args: Args) -> Result<Exit, Failure> {
    let output = context.output;
    let paths = StoryPaths::of(&args.story, args.output.as_deref())?;
    let (mut state, damage) = State::load(&paths.state)?;
    let Some((storyboard, storyboard_price)) = storyboard(context, &args, &paths, &mut state).await? else {
        return Ok(Exit::Done);
    };
    check_ids(&args, &storyboard.project)?;
    redo::check(&args, &storyboard.project)?;
    takes::check(&args, &storyboard.project, &paths)?;
    names::check(context, &args, &storyboard, &paths.project).await?;
    media::check(&storyboard.project, paths.directory())?;
    if let Some(damage) = damage {
        output.warn(&damage);
    }
    let until = until(&args, &state, &storyboard);
    if until == Some(Stage::Storyboard) {
        // This run ends with the storyboard, so it is not part of what a later run makes.
        state.storyboard_usd = 0.0;
    }
    args.budget = args.budget.map(|budget| (budget - state.storyboard_usd).max(0.0));
    if args.dry_run {
        say_story(output, &storyboard, &paths);
        let outline = Outline::of(&storyboard, &paths, &state, false)?;
        let prices = Prices { storyboard: storyboard_price, ..Prices::default() };
        return dry_run::run(context, &args, &paths, (&storyboard, &state, &outline), prices).await;
    }
    if until.is_none() && args.only.is_empty() && args.takes.is_empty() {
        let has_subtitles = !storyboard.project.video.subtitles.is_empty();
        deliver::check(&paths, has_subtitles, &state, args.force)?;
    }
    if args.music.is_some() && until != Some(Stage::Storyboard) {
        // A music file that is no sound fails here, before the project file names it.
        media::put(&context.session().await?, &storyboard.project, paths.directory()).await?;
    }
    let is_written = storyboard.is_unwritten();
    if is_written {
        storyboard.write(&paths.project)?;
    }
    say_story(output, &storyboard, &paths);
    say_written(output, &storyboard, &paths, is_written);
    if let Some(split) = &storyboard.split {
        state.split = Some(split.clone());
        state.save(&paths.state)?;
    }
    if until == Some(Stage::Storyboard) {
        if args.review {
            return review(output, &storyboard, &paths, &mut state, is_written);
        }
        return show(output, &storyboard, &paths, &state, is_written);
    }
    deliver::check_copies(&paths)?;
    if until != Some(Stage::Voices) {
        english_prompts::suggest(context, &storyboard.project).await?;
    }
    let work = Work { args: &args, paths: &paths, storyboard: &storyboard, until };
    if !args.takes.is_empty() {
        return takes::make(context, &work, &mut state).await;
    }
    film::make(context, &work, &mut state).await
}

/// Returns the storyboard, with all changes that the options make, and in a dry run the price of what a model would do for it. None if a dry run has no
/// story yet. Writes nothing.
async fn storyboard(
    context: &Context,
    args: &Args,
    paths: &StoryPaths,
    state: &mut State,
) -> Result<Option<(Storyboard, Summary)>, Failure> {
    let mut price = Summary::default();
    let directed = match direct::direct(context, args, paths).await? {
        Directed::ByModel { project, cost_usd } => {
            state.storyboard_usd = cost_usd;
            Some(*project)
        }
        Directed::ByRule => None,
        Directed::Planned(planned) => {
            price = planned;
            None
        }
        Directed::Nothing => return Ok(None),
    };
    let mut storyboard = Storyboard::open(args, paths, state, directed)?;
    describe::describe(context, args, &mut storyboard, state, &mut price).await?;
    storyboard.apply_shot_options(args)?;
    english_prompts::translate(context, args, &mut storyboard, state, &mut price).await?;
    Ok(Some((storyboard, price)))
}

/// Returns the last stage. With `--review` it is the first one that was not reviewed yet. After a change of the project file, the pictures are
/// reviewed again.
fn until(args: &Args, state: &State, storyboard: &Storyboard) -> Option<Stage> {
    if !args.review {
        return args.until;
    }
    match &state.reviewed {
        // Where all pictures are made, a page of them shows more than one of the storyboard.
        None if state.has_all_pictures(&storyboard.project) => Some(Stage::Pictures),
        None => Some(Stage::Storyboard),
        Some(reviewed) if reviewed.has_pictures && reviewed.project == storyboard.digest() => None,
        Some(_) => Some(Stage::Pictures),
    }
}

/// Fails if `--only` or `--redo` names a shot that does not exist.
fn check_ids(args: &Args, project: &Project) -> Result<(), Failure> {
    let named = args.only.iter().chain(args.redo.iter().map(|redo| &redo.id));
    for id in named {
        if !project.shots.iter().any(|shot| shot.id == *id) {
            return Err(shot_flags::no_shot(id, project));
        }
    }
    Ok(())
}

/// Prints the shots with their estimated times, and what they need.
fn show(
    output: Output,
    storyboard: &Storyboard,
    paths: &StoryPaths,
    state: &State,
    is_written: bool,
) -> Result<Exit, Failure> {
    let outline = Outline::of(storyboard, paths, state, is_written)?;
    output.document(&outline)?;
    outline.show(output, &storyboard.project)?;
    Ok(Exit::Done)
}

/// Writes the storyboard to a page for the review.
fn review(
    output: Output,
    storyboard: &Storyboard,
    paths: &StoryPaths,
    state: &mut State,
    is_written: bool,
) -> Result<Exit, Failure> {
    let outline = Outline::of(storyboard, paths, state, is_written)?;
    state.reviewed = Some(Reviewed { project: storyboard.digest(), has_pictures: false });
    let page = pack::write_storyboard(&storyboard.project, &outline.placed(), paths, state)?;
    output.document(&outline)?;
    output.paths(&[&page])?;
    output.note(&format!(
        "look at the shots, and change what you like; then {} makes their pictures",
        again::command()
    ));
    Ok(Exit::Done)
}

/// Prints notes about the story: that it changed since it was split, and the result of `--resplit`.
fn say_story(output: Output, storyboard: &Storyboard, paths: &StoryPaths) {
    let path = table::path(&paths.project);
    if storyboard.is_story_changed {
        output.warn(&format!(
            "the story was changed since {path} was made from it; the shots are those of {path}: --resplit has it follow the story"
        ));
    }
    if let Some(resplit) = &storyboard.resplit {
        output.note(&format!(
            "split anew: {} as they were, {} with another text, {} new, {} gone",
            count(resplit.kept, "shot"),
            resplit.changed.len(),
            resplit.added.len(),
            resplit.removed.len()
        ));
        for change in &resplit.changed {
            output.note(&format!("{}: now {:?}, before {:?}", change.id, change.after, change.before));
        }
        for (id, before, now) in &resplit.renamed {
            output.note(&format!("the title of scene {id}: now {now:?}, before {before:?}"));
        }
        if !resplit.added.is_empty() {
            output.note(&format!("new: {}", resplit.added.join(", ")));
        }
        for (id, text) in &resplit.removed {
            output.note(&format!("{id} is gone: {text:?}"));
        }
    }
}

/// Prints what was written to the project file, or would be with `--dry-run`.
fn say_written(output: Output, storyboard: &Storyboard, paths: &StoryPaths, is_written: bool) {
    let path = table::path(&paths.project);
    for edit in &storyboard.edits {
        let before =
            if edit.before.is_empty() { String::new() } else { format!(" (it was {})", edit.before) };
        output.note(&format!("set {} = {} in {path}{before}", edit.field, edit.after));
    }
    for words in &storyboard.shot_edits {
        output.note(&format!("{words} in {path}"));
    }
    if storyboard.is_new() && is_written {
        output.note(&format!("wrote {path}; change what you like there"));
    } else if storyboard.assigned > 0 {
        output.note(&format!("gave ids to {} in {path}", count(storyboard.assigned, "new shot")));
    }
}
