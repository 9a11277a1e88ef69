//! Programs that make results: real processes with limits, and their possible faults.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, where it stands"
)]

use std::{
    fs::{self, File},
    os::fd::AsFd as _,
    path::PathBuf,
    sync::Arc,
};

use reel_tests::{eventually, process::binary};
use reeld::{
    budget::Budget,
    process::{Ended, Finished, Launcher, Limits, ProcessSpec, RunDirectory, StartError},
    provider::command::{
        CommandDefinition, CommandError, CommandRunner, CommandSettings, Made, Placeholder, Values,
    },
};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;
use tokio::{sync::watch, time::Duration};

/// A temporary directory, and a runner whose run directories are in it.
struct Place {
    root: TempDir,
    runner: CommandRunner,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::Builder::new().prefix("reel-").tempdir().unwrap();
        let budget = Budget::new(4 << 30);
        let runner = CommandRunner::new(Launcher(binary("reeld")), &root.path().join("runs"), budget);
        Self { root, runner }
    }

    /// Returns the path of a file outside the run directories, in which a script can leave a note for the test.
    fn note(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn runs(&self) -> usize {
        fs::read_dir(self.root.path().join("runs")).map_or(0, Iterator::count)
    }

    async fn make(&self, definition: &CommandDefinition, text: &str) -> Result<Made, CommandError> {
        let (_caller, cancel) = watch::channel(false);
        let values = Values::default().with(Placeholder::Text, text);
        self.runner.make("line", definition, values, cancel).await
    }

    /// Runs a definition that must fail, and returns the code, message and hint of its error.
    async fn fails(&self, definition: &CommandDefinition, text: &str) -> (String, String, String) {
        let error = match self.make(definition, text).await {
            Err(CommandError::Failed(failure)) => failure.error,
            other => panic!("not a failure: {other:?}"),
        };
        assert_eq!(self.runs(), 0, "the run's directory is left");
        (error.code, error.message, error.hint.unwrap())
    }
}

/// Returns a definition that runs a script with the output path as `$1` and the text as `$2`.
fn script(script: &str, more: &str) -> CommandDefinition {
    let script = script.replace('{', "{{").replace('}', "}}");
    let text = format!(
        "services = ['voice']\nprogram = 'sh'\noutput = 'wav'\nargv = ['-c', '''{script}''', 'sh', '{{output}}', '{{text}}']"
    );
    let base = CommandSettings::parse(&text).unwrap();
    let over = CommandSettings::parse(more).unwrap();
    CommandDefinition::check(&over.over(base)).unwrap()
}

fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.trim())).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

fn ends(process: &str) {
    eventually("the process ends", || (!is_running(process)).then_some(()));
}

#[tokio::test]
async fn a_program_makes_its_file_and_no_shell_reads_the_text() {
    let place = Place::new();
    let made = place.make(&script("printf %s \"$2\" > \"$1\"", ""), "$(id); `id` \"'*").await.unwrap();
    assert_eq!(fs::read_to_string(&made.path).unwrap(), "$(id); `id` \"'*");
    assert_eq!(made.size_bytes, 15);
    assert_eq!(place.runs(), 1);
    drop(made);
    assert_eq!(place.runs(), 0, "the file goes with whoever held it");
}

#[tokio::test]
async fn an_exit_code_fails_with_what_the_program_said_and_its_class() {
    let place = Place::new();
    let failing = script("printf 'no \\033[31mvoice\\n' >&2; echo x > \"$1\"; exit 3", "");
    let (code, message, _) = place.fails(&failing, "").await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("provider_failed", "sh exited with 3: no \\u{1b}[31mvoice")
    );
    let mapped = script("echo full >&2; exit 3", "exit = { 3 = 'quota' }");
    assert_eq!(place.fails(&mapped, "").await.0, "quota_exceeded");
    let (_, message, _) = place.fails(&script("kill -SEGV $$", ""), "").await;
    assert_eq!(message, "sh was ended by signal 11");
}

#[tokio::test]
async fn success_without_a_file_is_a_failure() {
    let place = Place::new();
    for (body, expected) in [
        (":", "sh exited with 0 and wrote no file"),
        (": > \"$1\"; echo nothing to say >&2", "sh exited with 0 and wrote an empty file: nothing to say"),
        ("ln -s /etc/passwd \"$1\"", "sh exited with 0 and wrote something that is not a plain file"),
        ("mkdir \"$1\"", "sh exited with 0 and wrote something that is not a plain file"),
    ] {
        let (code, message, hint) = place.fails(&script(body, ""), "").await;
        assert_eq!((code.as_str(), message.as_str()), ("provider_failed", expected), "{body}");
        assert!(hint.contains("by hand"), "{hint}");
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_stops_the_program() {
    let place = Place::new();
    for body in [
        "exec head -c 10000000000 /dev/zero > \"$1\"",
        "head -c 10000000000 /dev/zero > \"$1\"",
        "exec truncate -s 10G \"$1\"",
        // This one ignores the signal, so its write fails instead.
        "trap '' XFSZ; head -c 10000000000 /dev/zero > \"$1\"",
    ] {
        let (code, message, hint) = place.fails(&script(body, "output_max_mb = 1"), "").await;
        assert_eq!(code, "provider_failed", "{body}");
        assert!(message.starts_with("sh wrote a file of more than 1 MiB"), "{body}: {message}");
        assert!(hint.contains("providers.line.output_max_mb"), "{hint}");
    }
}

#[tokio::test]
async fn a_program_that_never_ends_is_stopped_with_its_children() {
    let place = Place::new();
    let note = place.note("pids");
    let body = format!("sleep 6000 & echo $$ $! > {}; wait", note.display());
    let (code, message, hint) = place.fails(&script(&body, "timeout_s = 1"), "").await;
    assert_eq!(code, "provider_failed");
    assert_eq!(message, "sh did not end within 1 s and was stopped");
    assert!(hint.contains("providers.line.timeout_s"), "{hint}");
    fs::read_to_string(note).unwrap().split_whitespace().for_each(ends);
}

#[tokio::test]
async fn a_program_that_ignores_the_first_signal_is_killed() {
    let place = Place::new();
    let note = place.note("pid");
    let body = format!("trap '' TERM; echo $$ > {}; while :; do sleep 6000; done", note.display());
    let finished =
        run_sh(&place, &body, Limits { timeout: Duration::from_millis(1), ..limits() }).await.unwrap();
    assert!(matches!(finished.ended, Ended::TimedOut), "{finished:?}");
    let noted = run_sh(&place, &body, Limits { timeout: Duration::from_secs(1), ..limits() }).await.unwrap();
    assert_eq!(noted.ended, Ended::TimedOut);
    ends(&fs::read_to_string(note).unwrap());
}

#[tokio::test]
async fn a_child_that_a_program_leaves_behind_is_ended() {
    let place = Place::new();
    let made = place.make(&script("sleep 6000 & echo $! > \"$1\"", ""), "").await.unwrap();
    ends(&fs::read_to_string(&made.path).unwrap());
}

#[tokio::test]
async fn a_child_that_left_the_group_and_holds_the_pipes_keeps_nobody_waiting() {
    let place = Place::new();
    let body = "setsid sh -c 'echo $$ > \"$0\"; exec sleep 6000' \"$1\" & while [ ! -s \"$1\" ]; do :; done";
    let made = place.make(&script(body, ""), "").await.unwrap();
    // The child left the process group on purpose, like a server that a wrapper script starts, so it is not ended.
    let process = fs::read_to_string(&made.path).unwrap();
    assert!(is_running(&process));
    let pid = rustix::process::Pid::from_raw(process.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_cancelled_run_ends_the_whole_group() {
    let place = Place::new();
    let note = place.note("pids");
    let body = format!("sleep 6000 & echo $$ $! > {}.new; mv {0}.new {0}; wait", note.display());
    let (caller, cancel) = watch::channel(false);
    let definition = script(&body, "");
    let values = Values::default().with(Placeholder::Text, "");
    let making = place.runner.make("line", &definition, values, cancel);
    let cancelling = async {
        while !note.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        caller.send(true).unwrap();
    };
    let (made, ()) = tokio::join!(making, cancelling);
    assert!(matches!(made, Err(CommandError::Stopped)), "{made:?}");
    fs::read_to_string(note).unwrap().split_whitespace().for_each(ends);
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_no_process() {
    let place = Place::new();
    let note = place.note("pids");
    let body =
        format!("trap '' TERM; sleep 6000 & echo $$ $! > {}.new; mv {0}.new {0}; wait", note.display());
    let definition = script(&body, "");
    let written = async {
        while !note.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        made = place.make(&definition, "") => panic!("{made:?}"),
        () = written => {}
    }
    fs::read_to_string(note).unwrap().split_whitespace().for_each(ends);
}

#[tokio::test]
async fn a_program_that_takes_too_much_memory_is_stopped_with_its_children() {
    let place = Place::new();
    let note = place.note("pid");
    // `tail` holds all of the input, because `sleep` does not read what it writes.
    let body =
        format!("echo $$ > {}; head -c 100000000 /dev/zero | tail -c 100000000 | sleep 6000", note.display());
    let (code, message, hint) = place.fails(&script(&body, "memory_mb = 32"), "").await;
    assert_eq!(code, "provider_failed");
    assert!(
        message.starts_with("sh held ") && message.contains("MiB of memory and was stopped"),
        "{message}"
    );
    assert!(hint.contains("providers.line.memory_mb"), "{hint}");
    ends(&fs::read_to_string(note).unwrap());
}

#[tokio::test]
async fn memory_that_the_budget_never_has_is_refused_before_anything_runs() {
    let place = Place::new();
    let (code, message, hint) = place.fails(&script("touch \"$1\"", "memory_mb = 8192"), "").await;
    assert_eq!(code, "over_memory");
    assert!(message.contains("8192 MiB") && hint.contains("memory.limit_mb"), "{message}; {hint}");
}

#[tokio::test]
async fn a_mebibyte_of_text_arrives_by_standard_input_and_not_as_an_argument() {
    let place = Place::new();
    let text = "señor ".repeat(150_000);
    let by_stdin = script("cat > \"$1\"", "argv = ['-c', 'cat > \"$0\"', '{output}']\nstdin = '{text}'");
    let made = place.make(&by_stdin, &text).await.unwrap();
    assert_eq!(fs::read_to_string(&made.path).unwrap(), text);
    let by_file = script("", "argv = ['-c', 'cp \"$0\" \"$1\"', '{text_file}', '{output}']");
    let made_from_file = place.make(&by_file, &text).await.unwrap();
    assert_eq!(fs::read_to_string(&made_from_file.path).unwrap(), text);
    drop((made, made_from_file));
    let (code, message, hint) = place.fails(&script("cp \"$2\" \"$1\"", ""), &text).await;
    assert_eq!(code, "provider_refused");
    assert!(message.contains("an argument of 1050000 bytes is longer"), "{message}");
    assert!(hint.contains("providers.line.stdin"), "{hint}");
}

#[tokio::test]
async fn a_nul_in_the_text_is_refused_however_the_text_is_sent() {
    let place = Place::new();
    for definition in [
        script("", ""),
        script("", "argv = ['{output}']\nstdin = '{text}'"),
        script("", "argv = ['{output}', '{text_file}']"),
    ] {
        let (code, message, _) = place.fails(&definition, "a\0b").await;
        assert_eq!(code, "provider_refused");
        assert_eq!(message, "sh cannot be run: the text holds a NUL character");
    }
}

#[tokio::test]
async fn a_program_gets_few_variables_no_descriptors_and_no_terminal() {
    let place = Place::new();
    let stray = File::open("/etc/passwd").unwrap();
    fcntl_setfd(stray.as_fd(), FdFlags::empty()).unwrap();
    let body = "(env; ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0; cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$; pwd; umask) > \"$1\"";
    let made = place.make(&script(body, ""), "").await.unwrap();
    let said = fs::read_to_string(&made.path).unwrap();
    assert!(said.contains("PATH=") && said.contains("TMPDIR=") && said.contains("REEL_RUN="), "{said}");
    assert!(!said.contains("CARGO"), "the environment of the daemon is passed on: {said}");
    // Descriptor 3 belongs to the directory that `ls` reads.
    assert!(said.contains("\n0 1 2 3 /dev/null\n"), "{said}");
    let [group_and_session, process]: [&str; 2] = said
        .lines()
        .skip_while(|line| !line.ends_with("/dev/null"))
        .skip(1)
        .take(2)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(group_and_session, process, "it leads its own group and session");
    assert!(said.contains(&format!("\n{}\n0077\n", made.path.parent().unwrap().display())), "{said}");
}

#[tokio::test]
async fn a_program_may_say_as_much_as_it_likes_and_the_end_is_kept() {
    let place = Place::new();
    let body =
        "head -c 20000000 /dev/zero | tr '\\0' x >&2; head -c 20000000 /dev/zero; echo END >&2; exit 3";
    let finished = run_sh(&place, body, limits()).await.unwrap();
    assert_eq!(
        (finished.ended.clone(), finished.stderr.len(), finished.stdout.len()),
        (Ended::Exited(3), 4096, 100)
    );
    assert!(finished.stderr.ends_with(b"xxEND\n"));
}

#[tokio::test]
async fn a_program_that_is_not_installed_is_named_with_its_package() {
    let place = Place::new();
    let missing = script("", "program = 'reel-no-such-program'\ninstall = 'apt install nothing'");
    let (code, message, hint) = place.fails(&missing, "").await;
    assert_eq!(code, "provider_unavailable");
    assert!(message.starts_with("reel-no-such-program is not installed"), "{message}");
    assert!(hint.contains("apt install nothing"), "{hint}");
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_says_why() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let program = place.note("broken");
    fs::write(&program, "#!/nowhere/interpreter\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, message, _) =
        place.fails(&script("", &format!("program = '{}'", program.display())), "").await;
    assert_eq!(code, "provider_unavailable");
    assert!(message.contains("could not be executed: No such file"), "{message}");
    let launcher = Launcher(place.note("no-launcher"));
    let directory = Arc::new(RunDirectory::create(&place.note("runs")).unwrap());
    let (_caller, cancel) = watch::channel(false);
    let error = reeld::process::run(&launcher, spec(":", limits()), &directory, cancel).await.unwrap_err();
    assert!(matches!(error, StartError::Launcher(_)), "{error:?}");
}

fn limits() -> Limits {
    Limits {
        timeout: Duration::from_mins(10),
        memory_bytes: 1 << 30,
        file_bytes: 1 << 30,
        grace: Duration::from_millis(100),
    }
}

fn spec(script: &str, limits: Limits) -> ProcessSpec {
    ProcessSpec {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        environment: vec![("PATH".to_owned(), std::env::var("PATH").unwrap())],
        stdin: None,
        stdout_tail_bytes: 100,
        limits,
    }
}

async fn run_sh(place: &Place, script: &str, limits: Limits) -> Result<Finished, StartError> {
    let directory = Arc::new(RunDirectory::create(&place.note("runs")).unwrap());
    let (_caller, cancel) = watch::channel(false);
    reeld::process::run(&Launcher(binary("reeld")), spec(script, limits), &directory, cancel).await
}
