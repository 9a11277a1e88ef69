//! Has a language model make the storyboard of a new story, and write the story if only its theme is given.

use std::{io::Write as _, path::Path};

use reel_client::{Session, new_request_id};
use reel_protocol::{
    ChatParams, Digest, JsonText, Output as TaskOutput, StoryboardParams, StoryboardReport, TaskSpec,
    TaskState, TaskView,
};
use reel_story::{
    decode,
    director::{Director, Message, Source},
    project::{Project, read_json},
};

use super::{
    Args,
    args::Split,
    cast_voices,
    outline::count,
    read_file::{missing, read_bytes},
    story_paths::{StoryPaths, is_stdin},
};
use crate::{
    context::Context,
    dry_run::{self, Summary, price_words},
    exit::Exit,
    failure::Failure,
    output::Output,
    save::{self, Existing},
    signals::Interrupts,
    table, tasks,
    waiting::{SingleTaskWait, unless_interrupted, wait_for_one},
};

/// The result of looking whether a model makes the storyboard.
#[derive(Debug)]
pub enum Directed {
    /// The shots are made by rule, or there is a project file.
    ByRule,
    /// A model made the project.
    ByModel {
        /// The project that it made.
        project: Box<Project>,
        /// The cost in US dollars, as far as it is known.
        cost_usd: f64,
    },
    /// A dry run: a model would make the storyboard for this price, and the shots are made by rule.
    Planned(Summary),
    /// A dry run of a theme, for which there is no story yet.
    Nothing,
}

/// Has a model make the storyboard if the options or the configuration say so and there is no project file.
pub async fn direct(context: &Context, args: &Args, paths: &StoryPaths) -> Result<Directed, Failure> {
    let is_new = !save::is_taken(&paths.project);
    check(args, paths, is_new)?;
    let directed = direct_new(context, args, paths, is_new).await?;
    if args.shots.is_some() && is_new && matches!(directed, Directed::ByRule) && !args.dry_run {
        context
            .output
            .warn("--shots is for a language model, and none is configured: the shots are made by rule");
    }
    Ok(directed)
}

async fn direct_new(
    context: &Context,
    args: &Args,
    paths: &StoryPaths,
    is_new: bool,
) -> Result<Directed, Failure> {
    let is_wanted = args.split == Some(Split::Llm) || args.theme.is_some();
    if !is_new || args.split == Some(Split::Rules) || (!is_wanted && is_stdin(&args.story)) {
        return Ok(Directed::ByRule);
    }
    // Without a configuration nobody answers, and the rules need no daemon.
    if !is_wanted && !save::is_taken(&context.locations().config) {
        return Ok(Directed::ByRule);
    }
    let session = match context.session().await {
        Ok(session) => session,
        Err(_) if !is_wanted => return Ok(Directed::ByRule),
        Err(failure) => return Err(failure),
    };
    if !is_wanted && who_answers(&session).await.is_err() {
        return Ok(Directed::ByRule);
    }
    let params = params(args, paths)?;
    if args.dry_run {
        let mut price = Summary::default();
        say_dry_run(context, &session, ("the storyboard", &params), &mut price).await?;
        if args.theme.is_some() {
            return Ok(Directed::Nothing);
        }
        context.output.note("the shots below are those of the rules; the model makes others");
        return Ok(Directed::Planned(price));
    }
    let mut interrupts = Interrupts::listen();
    let task = task(context.output, &session, &params, &mut interrupts).await?;
    let (mut project, report, story) = read(&session, &task).await?;
    let voices = cast_voices::choose(&session, args, &mut project, &report.genders).await?;
    if let Some(story) = story {
        write_story(&args.story, &story)?;
        context.output.note(&format!("wrote {}", table::path(&args.story)));
    }
    say(context.output, &project, &report);
    say_voices(context.output, &voices);
    let cost_usd = report.cost.as_ref().map_or(0.0, |cost| cost.amount);
    Ok(Directed::ByModel { project: Box::new(project), cost_usd })
}

/// Fails if the options contradict each other or the files that exist.
fn check(args: &Args, paths: &StoryPaths, is_new: bool) -> Result<(), Failure> {
    if args.shots.is_some() && is_new && args.split == Some(Split::Rules) {
        return Err(Failure::usage("--shots is for a language model, and --split rules asks none"));
    }
    if args.theme.is_none() {
        return Ok(());
    }
    let Some(story) = &paths.story else {
        return Err(Failure::usage("--theme needs the name of a file for the story, such as story.txt"));
    };
    for (path, what) in [(story, "story"), (&paths.project, "project file")] {
        if save::is_taken(path) {
            let message = format!("{} exists, and --theme writes a new {what}", table::path(path));
            return Err(Failure::new(Exit::CannotCreate, "output_exists", message).hint(if is_new {
                "name another file, or leave --theme out to make a film of that story"
            } else {
                "leave --theme out to continue it"
            }));
        }
    }
    if args.split == Some(Split::Rules) {
        return Err(Failure::usage("--theme needs a language model, and --split rules asks none"));
    }
    Ok(())
}

/// Returns the provider that would answer; a failure with a hint if there is none.
pub(super) async fn who_answers(session: &Session) -> Result<String, Failure> {
    let params = ChatParams::new("a storyboard");
    let result = dry_run::ask(session, &chat(&params)?).await?;
    Ok(result.provider.unwrap_or_default())
}

fn chat(params: &ChatParams) -> Result<TaskSpec, Failure> {
    Ok(TaskSpec { kind: "text.chat".to_owned(), params: json(params)?, ..TaskSpec::default() })
}

fn json<T: serde::Serialize>(value: &T) -> Result<JsonText, Failure> {
    JsonText::from_value(value).map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))
}

fn params(args: &Args, paths: &StoryPaths) -> Result<StoryboardParams, Failure> {
    let text = match (&args.theme, &paths.story) {
        (Some(_), _) => None,
        (None, story) => Some(read_story(args, story.as_deref())?),
    };
    Ok(StoryboardParams {
        text,
        theme: args.theme.clone(),
        language: args.language.clone(),
        shots: args.shots,
        style: args.style.clone(),
        budget_usd: args.budget,
        ..StoryboardParams::default()
    })
}

fn read_story(args: &Args, story: Option<&Path>) -> Result<String, Failure> {
    let most = reel_story::MAX_BYTES as u64;
    let bytes = match story {
        Some(path) => read_bytes(path, most)?,
        None if is_stdin(&args.story) => {
            return Err(Failure::usage(
                "a language model cannot read a story from standard input: write it to a file, or use --split rules",
            ));
        }
        None => return Err(missing(&args.story, &rustix::io::Errno::NOENT.into())),
    };
    let text = decode(&bytes).map_err(|error| {
        Failure::new(Exit::BadData, "bad_data", format!("{}: {error}", table::path(&args.story)))
    })?;
    if tasks::is_blank(text) {
        let message = format!("{}: the story is empty", table::path(&args.story));
        return Err(Failure::new(Exit::BadData, "bad_data", message)
            .hint("write the story into it, or have one written with --theme and the name of a new file"));
    }
    Ok(text.to_owned())
}

/// Submits the task and waits for its end. The same command finds the same task, unless that has failed.
pub(super) async fn task(
    output: Output,
    session: &Session,
    params: &StoryboardParams,
    interrupts: &mut Option<Interrupts>,
) -> Result<TaskView, Failure> {
    let json = json(params)?;
    let digest = Digest::from_bytes(*blake3::hash(json.as_str().as_bytes()).as_bytes());
    let spec = |request_id: String| TaskSpec {
        kind: "story.storyboard".to_owned(),
        params: json.clone(),
        request_id: Some(request_id),
        name: Some("storyboard".to_owned()),
        ..TaskSpec::default()
    };
    let submit = async {
        let found = session.submit(&spec(format!("storyboard {digest}"))).await?;
        if matches!(found.state, TaskState::Failed | TaskState::Cancelled) {
            return Ok(session.submit(&spec(new_request_id())).await?);
        }
        Ok(found)
    };
    let submitted = unless_interrupted(interrupts, submit).await?;
    let one = SingleTaskWait { title: "storyboard", timeout: None, fetch: None, text: None };
    let task = wait_for_one(output, session, submitted.id, one, interrupts).await?;
    match Failure::of_task(&task) {
        Some(failure) => Err(failure),
        None => Ok(task),
    }
}

pub(super) async fn read(
    session: &Session,
    task: &TaskView,
) -> Result<(Project, StoryboardReport, Option<String>), Failure> {
    let bad = |why: String| {
        let message = format!("the storyboard of task {} cannot be understood: {why}", task.id);
        Failure::new(Exit::Protocol, "protocol_mismatch", message)
            .hint("reel daemon restart starts the daemon of this version")
    };
    let read = async |output: Option<&TaskOutput>| {
        let output = output.ok_or_else(|| bad("an output is missing".to_owned()))?;
        Ok::<_, Failure>(session.read_text(output).await?)
    };
    let mut outputs = task.outputs.iter();
    let project = read(outputs.next()).await?;
    let project = serde_json::from_str(&project).map_err(|error| bad(error.to_string()))?;
    let project = read_json(&project).map_err(|error| bad(error.to_string()))?;
    let report = read(outputs.next()).await?;
    let report = serde_json::from_str(&report).map_err(|error| bad(error.to_string()))?;
    let story = match outputs.next() {
        Some(output) => Some(read(Some(output)).await?),
        None => None,
    };
    Ok((project, report, story))
}

fn write_story(path: &Path, story: &str) -> Result<(), Failure> {
    let mut temporary = save::temporary_beside(path)?;
    let written = temporary.write_all(story.as_bytes()).and_then(|()| temporary.write_all(b"\n"));
    written.map_err(|error| save::cannot_write(path, &error))?;
    save::place(temporary, path, Existing::Keep)
}

/// Prints who made the storyboard, and which parts of it were made by rule after all.
pub(super) fn say(output: Output, project: &Project, report: &StoryboardReport) {
    let cost = report.cost.as_ref().map(|cost| format!("; cost: {}", tasks::cost(cost))).unwrap_or_default();
    output.note(&format!(
        "storyboard by {}: {}, {}, {}{cost}",
        report.provider.as_deref().unwrap_or("a language model"),
        count(project.shots.len(), "shot"),
        count(project.characters.len(), "character"),
        count(project.places.len(), "place"),
    ));
    for error in &report.cast_errors {
        output.warn(&format!("characters and places of a part of the story are missing: {error}"));
    }
    for chunk in report.chunks.iter().filter(|chunk| chunk.is_by_rule) {
        let why = chunk.errors.last().map(|error| format!(": {error}")).unwrap_or_default();
        output.warn(&format!(
            "the sentences {} to {} were divided by rule, because no answer of the model was usable{why}",
            chunk.from, chunk.to
        ));
    }
}

/// Prints which voices were chosen.
pub(super) fn say_voices(output: Output, voices: &[(String, String)]) {
    if voices.is_empty() {
        return;
    }
    let words: Vec<String> = voices.iter().map(|(id, voice)| format!("{id} has {voice}")).collect();
    output.note(&format!("voices: {} (reel providers voices lists others)", words.join(", ")));
}

/// Prints what the model would be asked. `what` says for what. Adds the price, as far as it can be known.
pub(super) async fn say_dry_run(
    context: &Context,
    session: &Session,
    (what, params): (&str, &StoryboardParams),
    total: &mut Summary,
) -> Result<(), Failure> {
    let source = match (&params.text, &params.theme) {
        (Some(text), _) => Source::Text(text.clone()),
        (None, theme) => Source::Theme(theme.clone().unwrap_or_default()),
    };
    let director = Director {
        source,
        language: params.language.clone(),
        shots: params.shots,
        characters: Vec::new(),
        places: Vec::new(),
    };
    let mut price = Summary::default();
    for request in director.planned_requests() {
        let texts: Vec<&str> = request.messages.iter().map(Message::text).collect();
        let chat =
            chat(&ChatParams { system: Some(request.system.clone()), ..ChatParams::new(texts.join("\n")) })?;
        let planned = dry_run::ask(session, &chat).await?;
        price.add(&planned);
        total.add(&planned);
    }
    context.output.note(&format!(
        "{what} would be made by {}, with about {}; {}{}",
        who_answers(session).await?,
        count(director.expected_requests(), "request"),
        price_words(&price),
        if params.theme.is_some() { " for the story, and more for its shots" } else { "" },
    ));
    Ok(())
}
