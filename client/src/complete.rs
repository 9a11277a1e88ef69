//! Completes command lines for a shell: commands, options and files, the shots of a story, and from a running daemon the ids of tasks, providers, models,
//! voices and styles.
//! The scripts of `reel completions` call `reel` for this. A daemon is never started.

use std::{collections::BTreeMap, ffi::OsString, io, path::Path, sync::mpsc, time::Duration};

use clap::{Arg, Command};
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate, Shell, env::Shells};
use reel_client::{Client, ClientError, Holder};
use reel_protocol::{
    TaskState, TaskView,
    limits::LIST_ROWS,
    methods::{
        Empty, ProviderInfo, ProviderList, ProviderVoices, ProviderVoicesParams, ServiceStatus, TaskList,
        TaskListParams,
    },
};

use crate::{commands::make, context::Context, help, output::Output, table, tasks};

/// The environment variable by which a script asks for completions.
const VARIABLE: &str = "REEL_COMPLETE";

/// Longest wait for the daemon. A person who pressed Tab notices a longer one.
const LIMIT: Duration = Duration::from_millis(300);

/// Answers a script of `reel completions` and ends the process. Does nothing in any other run.
pub fn answer_shell() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// Returns the script that lets a shell complete the commands of `reel`.
pub fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string());
    let completer = completer.ok_or_else(|| io::Error::other(format!("no script for {shell}")))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "reel", "reel", "reel", &mut script)?;
    Ok(script)
}

/// Longest description of a value, in columns.
const HELP_WIDTH: usize = 60;

/// What the daemon is asked for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// The tasks that a command can do something with.
    Tasks(fn(&TaskView) -> bool),
    /// The shots of a story, each with these endings.
    Shots(&'static [&'static str]),
    Batches,
    Providers,
    Models,
    Voices,
    Styles,
    States,
}

/// Returns the command line with completions for the values that a daemon knows.
fn command() -> Command {
    let word = std::env::args_os().next_back().unwrap_or_default();
    let command = with_values(help::command(), "");
    if word.as_encoded_bytes().starts_with(b"-") { command } else { with_options_last(command) }
}

/// Hides the options. A hidden option is offered only if nothing else fits, so that a list of ids does not end with `--json`.
fn with_options_last(command: Command) -> Command {
    command.mut_subcommands(with_options_last).mut_args(|argument| {
        let is_option = !argument.is_positional();
        argument.hide(is_option)
    })
}

fn with_values(mut command: Command, path: &str) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|subcommand| subcommand.get_name().to_owned()).collect();
    for name in names {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(&name, |subcommand| with_values(subcommand, &path));
    }
    command.mut_args(|argument| match wanted(path, &argument) {
        Some(wanted) => argument.add(ArgValueCandidates::new(move || candidates(wanted))),
        None => argument,
    })
}

/// Returns which values an argument takes; None if the daemon does not know them.
fn wanted(path: &str, argument: &Arg) -> Option<Wanted> {
    Some(match argument.get_id().as_str() {
        "id" | "ids" => Wanted::Tasks(tasks_of(path)),
        "after" | "parent" => Wanted::Tasks(|_| true),
        "only" | "clips" if path == " make" => Wanted::Shots(&[""]),
        "redo" if path == " make" => Wanted::Shots(&[":picture", ":voice", ":clip", ":render"]),
        "takes" if path == " make" => Wanted::Shots(&["=2", "=3", "=4"]),
        "take" if path == " make" => Wanted::Shots(&["=0", "=1", "=2", "=3"]),
        "batch" => Wanted::Batches,
        "provider" => Wanted::Providers,
        "name" if path.starts_with(" providers") && !path.ends_with(" add") => Wanted::Providers,
        "model" if !path.starts_with(" providers") => Wanted::Models,
        "voice" => Wanted::Voices,
        "style" => Wanted::Styles,
        "state" => Wanted::States,
        _ => return None,
    })
}

/// Returns which tasks a command can do something with.
fn tasks_of(path: &str) -> fn(&TaskView) -> bool {
    match path {
        " retry" => |task| matches!(task.state, TaskState::Failed | TaskState::Cancelled),
        " cancel" | " wait" | " priority" | " hold" => |task| !task.state.is_finished(),
        " release" => |task| task.state == TaskState::Held,
        " rm" => |task| task.state.is_finished(),
        " fetch" => |task| task.state == TaskState::Succeeded,
        _ => |_| true,
    }
}

/// Returns the shots of the story in the command line, each with each ending, and with its text.
fn shots(endings: &[&str]) -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut after_make = words.iter().skip_while(|word| *word != "make").skip(1);
    let found = after_make.find_map(|word| make::shots_of(Path::new(word))).unwrap_or_default();
    let named = found.iter().flat_map(|(id, text)| {
        let text = table::cut(&table::one_line(text), HELP_WIDTH);
        endings.iter().map(move |ending| (format!("{id}{ending}"), text.clone()))
    });
    in_order(named.collect())
}

/// Asks the daemon. Returns nothing if none runs, or if it does not answer in time.
fn candidates(wanted: Wanted) -> Vec<CompletionCandidate> {
    if let Wanted::States = wanted {
        return TaskState::ALL.map(|state| CompletionCandidate::new(state.name())).into();
    }
    if let Wanted::Shots(endings) = wanted {
        return shots(endings);
    }
    let (found, answer) = mpsc::channel();
    // The thread is left alone after the limit. The process ends then.
    std::thread::spawn(move || found.send(ask(wanted)));
    in_order(answer.recv_timeout(LIMIT).ok().flatten().unwrap_or_default())
}

/// Makes candidates that a shell shows in this order.
fn in_order(values: Values) -> Vec<CompletionCandidate> {
    values
        .into_iter()
        .enumerate()
        .map(|(place, (value, help))| {
            let help = (!help.is_empty()).then(|| help.into());
            CompletionCandidate::new(value).help(help).display_order(Some(place))
        })
        .collect()
}

/// Values with their descriptions.
type Values = Vec<(String, String)>;

fn ask(wanted: Wanted) -> Option<Values> {
    let line: Vec<OsString> = std::env::args_os().collect();
    let socket = option_of(&line, "--socket");
    let context =
        Context::new(Output { is_json: false, is_quiet: true }, socket.as_deref().map(Path::new), false)
            .ok()?;
    // A connection alone could make a service manager start the daemon.
    Holder::find(context.locations())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let client = context.running().await.ok()?;
        values(&client, wanted, &line).await.ok()
    })
}

async fn values(client: &Client, wanted: Wanted, line: &[OsString]) -> Result<Values, ClientError> {
    Ok(match wanted {
        Wanted::Tasks(is_wanted) => ids(newest(client).await?.into_iter().filter(is_wanted).collect()),
        Wanted::Batches => batches(&newest(client).await?),
        Wanted::Providers => {
            let found = client.call::<ProviderList>(&Empty {}).await?.providers;
            found.into_iter().map(|provider| (provider.name, provider.services.join(", "))).collect()
        }
        Wanted::Models => {
            let found = client.call::<ProviderList>(&Empty {}).await?.providers;
            models(found, option_of(line, "--provider").as_deref())
        }
        Wanted::Voices => {
            let name = option_of(line, "--provider");
            let found = client.call::<ProviderVoices>(&ProviderVoicesParams { name }).await?;
            let voices = found.providers.into_iter().flat_map(|provider| provider.voices);
            voices.map(|voice| (voice.id, voice.name.or(voice.language).unwrap_or_default())).collect()
        }
        Wanted::Styles => {
            let status = client.call::<ServiceStatus>(&Empty {}).await?;
            let styles = status.services.get("image").map(|image| image.styles.clone()).unwrap_or_default();
            styles.into_iter().map(|style| (style.name, style.summary)).collect()
        }
        Wanted::States | Wanted::Shots(_) => Values::new(),
    })
}

async fn newest(client: &Client) -> Result<Vec<TaskView>, ClientError> {
    // Steps of a film are left out, because they are many and belong to their film.
    let params = TaskListParams { limit: Some(LIST_ROWS), steps: Some(false), ..TaskListParams::default() };
    Ok(client.call::<TaskList>(&params).await?.tasks)
}

/// Returns the ids of the tasks, those of unfinished tasks first.
fn ids(found: Vec<TaskView>) -> Values {
    let (mut first, done): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|task| !task.state.is_settled() || task.state == TaskState::Held);
    first.extend(done);
    let described = |task: &TaskView| format!("{} {}", task.state.name(), tasks::title(task));
    first.iter().map(|task| (task.id.to_string(), described(task).trim_end().to_owned())).collect()
}

fn batches(found: &[TaskView]) -> Values {
    // The oldest task of a batch comes last, so its title describes the batch.
    let mut batches: BTreeMap<u64, (usize, String)> = BTreeMap::new();
    for (batch, task) in found.iter().filter_map(|task| Some((task.batch?, task))) {
        let (count, title) = batches.entry(batch.0).or_default();
        (*count, *title) = (*count + 1, tasks::title(task));
    }
    let described = |count: usize, title: &str| {
        table::cut(&table::one_line(&format!("{count} tasks: {title}")), HELP_WIDTH)
    };
    batches
        .iter()
        .rev()
        .map(|(batch, (count, title))| (batch.to_string(), described(*count, title)))
        .collect()
}

/// Returns the configured models, each once, of one provider or of all.
fn models(found: Vec<ProviderInfo>, provider: Option<&str>) -> Values {
    let mut models = Values::new();
    for known in found.into_iter().filter(|known| provider.is_none_or(|name| name == known.name)) {
        for model in known.model.into_iter().chain(known.models.into_values()) {
            if !models.iter().any(|(name, _)| *name == model) {
                models.push((model, known.name.clone()));
            }
        }
    }
    models
}

/// Returns the value of an option in the command line that is completed.
fn option_of(line: &[OsString], option: &str) -> Option<String> {
    let words: Vec<&str> = line.iter().filter_map(|word| word.to_str()).collect();
    let pairs = words.iter().zip(words.iter().skip(1));
    let apart = pairs.filter(|(name, _)| **name == option).map(|(_, value)| (*value).to_owned()).next();
    let joined =
        words.iter().find_map(|word| word.strip_prefix(option)?.strip_prefix('=').map(str::to_owned));
    apart.or(joined).filter(|value| !value.is_empty())
}
