//! `--english-prompts`: has a provider of texts translate the prompts of pictures into English, in the project file.

use std::collections::HashMap;

use reel_client::Session;
use reel_protocol::{
    Digest, ImageParams, JsonText, TaskId, TaskSpec, TaskState, TranslateParams,
    methods::{Empty, ProviderList},
};
use reel_story::{
    language,
    project::{Project, Shot},
};
use serde::Serialize;

use super::{Args, outline::count, state::State, storyboard::Storyboard};
use crate::{
    context::Context,
    dry_run::{self, Summary, price_words},
    exit::Exit,
    failure::Failure,
    signals::Interrupts,
    waiting::{Wait, unless_interrupted, wait},
};

/// Kinds of providers whose usual models read no other language: those of Stable Diffusion learned from English captions.
const READ_ENGLISH: [&str; 3] = ["comfyui", "a1111", "sdcpp"];

/// Has the prompts translated that are not English, if the option says so. A dry run adds the price.
pub async fn translate(
    context: &Context,
    args: &Args,
    storyboard: &mut Storyboard,
    state: &mut State,
    price: &mut Summary,
) -> Result<(), Failure> {
    if !args.english_prompts {
        return Ok(());
    }
    let shots = foreign(&storyboard.project);
    if shots.is_empty() {
        context.output.note("all prompts are English already");
        return Ok(());
    }
    let session = context.session().await?;
    let mut planned = Summary::default();
    for (_, prompt) in &shots {
        let plan = dry_run::ask(&session, &spec(prompt)?).await?;
        planned.add(&plan);
        price.add(&plan);
    }
    if args.dry_run {
        let what = count(shots.len(), "prompt");
        context.output.note(&format!("{what} would be translated into English; {}", price_words(&planned)));
        return Ok(());
    }
    check_budget(args, state, &planned)?;
    let mut interrupts = Interrupts::listen();
    let submitting = async {
        let mut tasks = HashMap::new();
        for (id, prompt) in &shots {
            tasks.insert(submit(&session, prompt).await?, id.clone());
        }
        Ok(tasks)
    };
    let tasks: HashMap<TaskId, String> = unless_interrupted(&mut interrupts, submitting).await?;
    let ids: Vec<TaskId> = tasks.keys().copied().collect();
    let titles = tasks.iter().map(|(task, shot)| (*task, format!("the prompt of {shot}"))).collect();
    let ended =
        wait(context.output, &session, &Wait { titles, ..Wait::for_all(&ids) }, &mut interrupts).await?;
    let mut english = Vec::new();
    for task in &ended.tasks {
        if let Some(failure) = Failure::of_task(task) {
            return Err(failure);
        }
        let (Some(shot), Some(output)) = (tasks.get(&task.id), task.outputs.first()) else { continue };
        let answer = one_line(&session.read_text(output).await?);
        let before = shots.iter().find(|(id, _)| id == shot).map(|(_, prompt)| prompt.as_str());
        match unusable(before.unwrap_or_default(), &answer) {
            None => english.push((shot.clone(), answer)),
            Some(why) => context
                .output
                .warn(&format!("the prompt of {shot} stays as it is, because its translation {why}")),
        }
        state.storyboard_usd += task.cost.as_ref().map_or(0.0, |cost| cost.amount);
    }
    let changed = storyboard.set_pictures(&english);
    for (shot, prompt) in &english {
        context.output.note(&format!("{shot}: {prompt}"));
    }
    context.output.note(&format!(
        "{} {} English now",
        count(changed, "prompt"),
        if changed == 1 { "is" } else { "are" }
    ));
    Ok(())
}

/// Says that the option exists, if the provider of pictures probably reads English only and prompts are in another language.
pub async fn suggest(context: &Context, project: &Project) -> Result<(), Failure> {
    let shots = foreign(project);
    if shots.is_empty() || project_language(project).is_none() {
        return Ok(());
    }
    let session = context.session().await?;
    let picture =
        task("image.generate", &ImageParams { width: 512, height: 512, ..ImageParams::new("a picture") })?;
    let Ok(plan) = dry_run::ask(&session, &picture).await else { return Ok(()) };
    let providers = session.call::<ProviderList>(&Empty {}).await?.providers;
    let provider = plan.provider.and_then(|name| providers.into_iter().find(|one| one.name == name));
    if let Some(provider) = provider.filter(|provider| READ_ENGLISH.contains(&provider.kind.as_str())) {
        context.output.note(&format!(
            "{} are not English, which most models of {} read best: --english-prompts has a provider of texts translate them in the project file",
            count(shots.len(), "prompt"),
            provider.name
        ));
    }
    Ok(())
}

/// Returns the shots whose prompts are probably not English, each with its prompt. Those of a model are English, whatever the language of the story.
fn foreign(project: &Project) -> Vec<(String, String)> {
    let of_project = project_language(project);
    let is_foreign = |shot: &&Shot| {
        let is_of_story = shot.picture.trim().is_empty() || shot.picture == shot.text.replace('\n', " ");
        let by_letters = language(prompt(shot)).is_some_and(|language| language != "en");
        by_letters || (is_of_story && of_project.is_some())
    };
    let makes_picture =
        |shot: &&Shot| shot.picture_file.is_empty() && shot.clip_file.is_empty() && !shot.locked;
    let shots = project.shots.iter().filter(makes_picture).filter(is_foreign);
    let prompts = shots.map(|shot| (shot.id.clone(), one_line(prompt(shot))));
    prompts.filter(|(_, prompt)| !prompt.is_empty()).collect()
}

/// Returns the language of the story if it is known and not English.
fn project_language(project: &Project) -> Option<String> {
    let own = Some(project.video.language.clone()).filter(|language| !language.is_empty());
    let text = || project.shots.iter().map(Shot::narration).collect::<Vec<_>>().join("\n");
    let language = own.or_else(|| language(&text()).map(str::to_owned))?;
    (language.split('-').next() != Some("en")).then_some(language)
}

fn prompt(shot: &Shot) -> &str {
    if shot.picture.trim().is_empty() { &shot.text } else { &shot.picture }
}

/// Returns why an answer cannot be the translation of a prompt; None if it may be one.
fn unusable(prompt: &str, answer: &str) -> Option<&'static str> {
    if answer.is_empty() {
        Some("is empty")
    } else if answer.chars().count() > 8 * prompt.chars().count() + 200 {
        Some("is much longer than the prompt")
    } else if language(answer).is_some_and(|language| language != "en") {
        Some("is not English either")
    } else {
        None
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Fails if the translations would cost more than the budget leaves.
fn check_budget(args: &Args, state: &State, planned: &Summary) -> Result<(), Failure> {
    let Some(budget) = args.budget else { return Ok(()) };
    let left = budget - state.storyboard_usd;
    let cost = planned.cost.as_ref().map_or(0.0, |cost| cost.amount);
    if planned.unknown_cost == 0 && cost <= left {
        return Ok(());
    }
    let message =
        format!("the translation of the prompts does not fit into the budget: {}", price_words(planned));
    Err(Failure::new(Exit::WorkFailed, "over_budget", message)
        .hint("raise --budget, or write the prompts yourself"))
}

/// Submits a translation. The same prompt finds the same task, unless that has failed.
async fn submit(session: &Session, prompt: &str) -> Result<TaskId, Failure> {
    let spec = spec(prompt)?;
    let digest = Digest::from_bytes(*blake3::hash(spec.params.as_str().as_bytes()).as_bytes());
    let with_id = TaskSpec { request_id: Some(format!("english prompt {digest}")), ..spec.clone() };
    let found = session.submit(&with_id).await?;
    if matches!(found.state, TaskState::Failed | TaskState::Cancelled) {
        return Ok(session.submit(&spec).await?.id);
    }
    Ok(found.id)
}

fn spec(prompt: &str) -> Result<TaskSpec, Failure> {
    task("translate.text", &TranslateParams::new(prompt, "en"))
}

fn task<P: Serialize>(kind: &str, params: &P) -> Result<TaskSpec, Failure> {
    let params = JsonText::from_value(params)
        .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
    Ok(TaskSpec { kind: kind.to_owned(), params, ..TaskSpec::default() })
}

#[cfg(test)]
mod tests {
    use reel_story::project::read_toml;

    use super::*;

    #[test]
    fn answers_that_are_no_translation_are_not_used() {
        for (answer, is_usable) in
            [("a calm sea", true), ("", false), ("海边的灯塔", false), (&"sea ".repeat(500), false)]
        {
            assert_eq!(unusable("la mer calme", answer).is_none(), is_usable, "{answer}");
        }
    }

    #[test]
    fn prompts_of_a_model_and_of_an_english_story_are_left_alone() {
        let shots = "[[shots]]\nid = \"a1\"\ntext = \"Il monte.\"\npicture = \"Il monte.\"\n[[shots]]\nid = \"a2\"\ntext = \"Elle dort.\"\n\
            [[shots]]\nid = \"a3\"\ntext = \"La mer.\"\npicture = \"a calm sea\"\n[[shots]]\nid = \"a4\"\ntext = \"La fin.\"\nlocked = true\n\
            [[shots]]\nid = \"a5\"\ntext = \"\"\npicture = \"海边的一座白色灯塔\"\n";
        for (language, expected) in
            [("fr", &["a1", "a2", "a5"][..]), ("en", &["a5"]), ("en-GB", &["a5"]), ("", &["a5"])]
        {
            let text = format!("version = 1\n[video]\nlanguage = \"{language}\"\n{shots}");
            let found = foreign(&read_toml(&text).unwrap());
            assert_eq!(found.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), expected, "{language:?}");
        }
    }
}
