//! Has a language model describe the shots that a changed story added to a model's storyboard.

use reel_client::Session;
use reel_protocol::{StoryCharacter, StoryPlace, StoryboardParams};
use reel_story::project::{Character, NARRATOR, Project, Shot};

use super::{Args, args::Split, cast_voices, direct, outline::count, state::State, storyboard::Storyboard};
use crate::{context::Context, dry_run::Summary, exit::Exit, failure::Failure, save, signals::Interrupts};

/// Has a model describe the new shots, if somebody described the others. If the model cannot be asked, nothing changes, and the same command goes on later.
pub async fn describe(
    context: &Context,
    args: &Args,
    storyboard: &mut Storyboard,
    state: &mut State,
    price: &mut Summary,
) -> Result<(), Failure> {
    let added = storyboard.resplit.as_ref().map(|resplit| resplit.added.clone()).unwrap_or_default();
    let is_wanted = args.split == Some(Split::Llm);
    let may_be = is_wanted || (args.split.is_none() && storyboard.was_described);
    if added.is_empty() || !may_be || (!is_wanted && !save::is_taken(&context.locations().config)) {
        return Ok(());
    }
    let session = context.session().await?;
    match direct::who_answers(&session).await {
        Ok(provider) if !args.dry_run => {
            let ids = added.join(", ");
            context.output.note(&format!("{provider} describes {ids} (--split rules does without a model)"));
        }
        Ok(_) => {}
        Err(failure) if is_wanted => return Err(failure),
        Err(_) => {
            context.output.note("no provider of texts is configured, so the rules describe the new shots");
            return Ok(());
        }
    }
    let mut interrupts = Interrupts::listen();
    // The last run comes first, because replacing a run changes the places of the shots behind it.
    for run in runs(&storyboard.project, &added).into_iter().rev() {
        let mut params = params(args, &storyboard.project, storyboard.story_of(&run));
        params.budget_usd = args.budget.map(|budget| (budget - state.storyboard_usd).max(0.0));
        if args.dry_run {
            let what = format!("the description of {}", run.join(", "));
            direct::say_dry_run(context, &session, (&what, &params), price).await?;
            continue;
        }
        let described =
            describe_run(context, (args, &session), storyboard, state, (&run, &params), &mut interrupts);
        described.await.map_err(|failure| match failure.exit {
            Exit::Interrupted => failure,
            _ => failure.and_hint("--split rules describes new shots without a model; nothing was written"),
        })?;
    }
    Ok(())
}

/// Has the model describe shots that follow each other.
async fn describe_run(
    context: &Context,
    (args, session): (&Args, &Session),
    storyboard: &mut Storyboard,
    state: &mut State,
    (run, params): (&[String], &StoryboardParams),
    interrupts: &mut Option<Interrupts>,
) -> Result<(), Failure> {
    let task = direct::task(context.output, session, params, interrupts).await?;
    let (mut made, report, _) = direct::read(session, &task).await?;
    for character in &mut made.characters {
        let known = storyboard.project.characters.iter().find(|known| known.id == character.id);
        // Only those who are new are given a voice.
        character.voice = known.map(voice_of).unwrap_or_default();
    }
    made.voices.clone_from(&storyboard.project.voices);
    let voices = cast_voices::choose(session, args, &mut made, &report.genders).await?;
    state.storyboard_usd += report.cost.as_ref().map_or(0.0, |cost| cost.amount);
    match storyboard.replace_shots(run, &made) {
        Some(now) => {
            direct::say(context.output, &made, &report);
            direct::say_voices(context.output, &voices);
            if let Some(resplit) = &mut storyboard.resplit {
                resplit.added.retain(|id| !run.contains(id));
                resplit.added.extend(now);
            }
        }
        None => context.output.warn(&format!(
            "the model's storyboard has another text than {}, so the rules describe {}",
            run.join(", "),
            count(run.len(), "shot")
        )),
    }
    Ok(())
}

/// Returns the voice of a known character: its own, or the narrator's.
fn voice_of(known: &Character) -> String {
    if known.voice.is_empty() { NARRATOR.to_owned() } else { known.voice.clone() }
}

/// Divides the new shots into runs that follow each other in one scene.
fn runs(project: &Project, added: &[String]) -> Vec<Vec<String>> {
    let mut runs: Vec<Vec<String>> = Vec::new();
    let mut before: Option<&Shot> = None;
    for shot in &project.shots {
        if added.contains(&shot.id) {
            match runs.last_mut() {
                Some(run)
                    if before
                        .is_some_and(|before| run.contains(&before.id) && before.scene == shot.scene) =>
                {
                    run.push(shot.id.clone());
                }
                _ => runs.push(vec![shot.id.clone()]),
            }
        }
        before = Some(shot);
    }
    runs
}

/// Returns the request for these shots, with the characters and places that are known.
fn params(args: &Args, project: &Project, text: String) -> StoryboardParams {
    let language = Some(&project.video.language).filter(|language| !language.is_empty());
    StoryboardParams {
        text: Some(text),
        language: args.language.clone().or(language.cloned()),
        characters: project
            .characters
            .iter()
            .map(|one| StoryCharacter { id: one.id.clone(), name: one.name.clone(), look: one.look.clone() })
            .collect(),
        places: project
            .places
            .iter()
            .map(|one| StoryPlace { id: one.id.clone(), look: one.look.clone() })
            .collect(),
        ..StoryboardParams::default()
    }
}
