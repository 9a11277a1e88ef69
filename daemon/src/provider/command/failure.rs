//! Describes why a program made nothing: the class of the failure, its message and its hint. Pure.

use std::time::Duration;

use reel_protocol::ErrorCode;

use super::{
    definition::CommandDefinition, placeholder::Placeholder, program::NotInstalled, template::FillError,
};
use crate::{
    budget::{Holder, OverBudget},
    domain::{Class, Failure},
    process::{Ended, Finished, StartError, escaped},
};

/// Bytes of a MiB, the unit of the configured limits.
const MIB: u64 = 1024 * 1024;
/// Largest part of a program's output that a message quotes, in bytes: several sentences, but no page. One longer line is quoted whole.
const MOST_WORDS: usize = 600;

/// Makes the failures of one provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures<'a> {
    /// The provider's name, as its section in the configuration has it.
    pub provider: &'a str,
    /// The definition of the program that was run.
    pub definition: &'a CommandDefinition,
}

impl Failures<'_> {
    /// The class of a failure after which nobody knows what the program did: a paid program may have charged.
    const fn unclear(&self) -> Class {
        if self.definition.is_paid { Class::Ambiguous } else { Class::Unknown }
    }

    /// The failure of a program that has no executable file.
    #[expect(clippy::unused_self, reason = "all failures are made in one way")]
    pub(super) fn not_installed(&self, error: &NotInstalled) -> Failure {
        let hint = format!("{}; then retry", error.hint());
        Failure::with_code(Class::Unknown, ErrorCode::ProviderUnavailable, error.to_string(), hint)
    }

    /// The failure of a request that does not fit the program's arguments.
    pub(super) fn unfilled(&self, error: &FillError) -> Failure {
        let Self { provider, definition } = self;
        let hint = match error {
            FillError::Missing(Placeholder::Model) => format!("set providers.{provider}.model"),
            FillError::Missing(missing) => format!("name a {}", missing.name()),
            FillError::Nul(_) => "remove the NUL character".to_owned(),
            FillError::OptionLike(_) => format!("reel providers voices {provider} lists the voices"),
            FillError::TooLong { .. } => {
                format!(
                    "send a shorter text, or set providers.{provider}.stdin = \"{{text}}\" so that the program reads it from there"
                )
            }
        };
        Failure::new(Class::Invalid, format!("{} cannot be run: {error}", definition.program), hint)
    }

    /// The failure of a program that was not executed.
    pub(super) fn not_started(&self, error: &StartError) -> Failure {
        match error {
            StartError::Program { reason, .. } => Failure::with_code(
                Class::Unknown,
                ErrorCode::ProviderUnavailable,
                format!("{} could not be executed: {reason}", self.definition.program),
                format!("run {} by hand to see what is wrong with it", self.definition.program),
            ),
            StartError::Launcher(source) => Failure::new(
                Class::Transient(None),
                format!("{} could not be started: {source}", self.definition.program),
                "the disk may be full, or too many processes may run; the task is tried again",
            ),
            StartError::Thread => Failure::with_code(
                Class::Unknown,
                ErrorCode::Internal,
                "the thread that starts programs failed",
                "please report it",
            ),
        }
    }

    /// The failure of a run for which the memory budget has no room.
    pub(super) fn over_budget(&self, over: &OverBudget) -> Failure {
        let needed_mib = over.asked_bytes.div_ceil(MIB);
        let (class, hint) = if over.may_fit_later() {
            let hint = "other work holds the memory; reel memory shows who, and the task is tried again";
            (Class::Transient(None), hint.to_owned())
        } else {
            let provider = self.provider;
            let limit_mib = Holder::Command.limit_mib_for(over.asked_bytes);
            let other = if self.definition.is_embedded {
                "ask for less, such as a smaller size".to_owned()
            } else {
                format!("providers.{provider}.memory_mb to less than {needed_mib}")
            };
            (Class::Unknown, format!("set memory.limit_mb to {limit_mib} or more, or {other}"))
        };
        let program = &self.definition.program;
        let message =
            format!("{program} may hold {needed_mib} MiB of memory, for which the memory budget has no room");
        Failure::with_code(class, ErrorCode::OverMemory, message, hint)
    }

    /// The failure of an executed program, by how it ended; `None` if it exited with 0.
    pub(super) fn of_end(&self, finished: &Finished) -> Option<Failure> {
        let Self { definition, .. } = self;
        let (program, limits) = (&definition.program, &definition.limits);
        let (class, message, hint) = match finished.ended {
            Ended::Exited(0) => return None,
            Ended::Exited(code) => {
                let class = definition.exit.get(&code).copied().unwrap_or(Class::Unknown);
                (
                    class,
                    format!("{program} exited with {code}"),
                    "run it by hand to see what is wrong".to_owned(),
                )
            }
            Ended::Signalled(signal) => (
                self.unclear(),
                format!("{program} was ended by signal {signal}"),
                "the system may have been out of memory, or the program crashed; run it by hand".to_owned(),
            ),
            Ended::FileTooLarge => (self.unclear(), self.too_large(), self.larger_files()),
            Ended::TimedOut => (
                self.unclear(),
                format!("{program} did not end within {} s and was stopped", limits.timeout.as_secs()),
                self.less_or("timeout_s"),
            ),
            Ended::OverMemory(held_bytes) => (
                self.unclear(),
                format!("{program} held {} MiB of memory and was stopped", held_bytes / MIB),
                self.less_or("memory_mb"),
            ),
            Ended::Cancelled => (self.unclear(), format!("{program} was stopped"), String::new()),
        };
        Some(Failure::new(class, with_words(message, finished), hint))
    }

    /// The failure of a program that did not list its voices within `limit`.
    pub(super) fn no_voice_list(&self, limit: Duration) -> Failure {
        let program = &self.definition.program;
        let message =
            format!("{program} did not list its voices within {} s and was stopped", limit.as_secs());
        let hint = "run it by hand with the arguments of voice_list to see what it waits for";
        Failure::new(Class::Transient(None), message, hint)
    }

    /// The failure of a program that exited with 0 without a usable result. `what` ends the sentence that begins "exited with 0 and".
    pub(super) fn bad_file(&self, what: &str, finished: &Finished) -> Failure {
        let message = format!("{} exited with 0 and {what}", self.definition.program);
        let hint = "run it by hand: its arguments may not fit its version";
        Failure::new(self.unclear(), with_words(message, finished), hint)
    }

    /// The failure of a program that was not stopped at the limit and wrote a larger file.
    pub(super) fn large_file(&self, finished: &Finished) -> Failure {
        Failure::new(self.unclear(), with_words(self.too_large(), finished), self.larger_files())
    }

    fn too_large(&self) -> String {
        let most_mib = self.definition.limits.file_bytes / MIB;
        format!("{} wrote a file of more than {most_mib} MiB", self.definition.program)
    }

    fn larger_files(&self) -> String {
        self.less_or("output_max_mb")
    }

    /// The hint for a run that reached a limit. It names the key to set, except for an embedded provider, which has no section to set it in.
    fn less_or(&self, key: &str) -> String {
        let less = "ask for less";
        let provider = self.provider;
        if self.definition.is_embedded {
            less.to_owned()
        } else {
            format!("{less}, or set providers.{provider}.{key} higher")
        }
    }
}

/// Appends the program's last lines to the message: those of standard error, or those of standard output if standard error is empty. The lines
/// are joined into one.
fn with_words(message: String, finished: &Finished) -> String {
    let words = [&finished.stderr, &finished.stdout].map(|bytes| escaped(bytes));
    let Some(words) = words.iter().find(|words| !words.trim().is_empty()) else { return message };
    let lines: Vec<_> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let lines = after_traceback(&lines);
    // Programs print the cause last.
    let mut room = MOST_WORDS;
    let fits = |line: &&&str| {
        room = room.saturating_sub(line.trim().len());
        room > 0
    };
    let count = lines.iter().rev().take_while(fits).count().max(1);
    let lines: Vec<_> = lines.iter().skip(lines.len() - count).map(|line| line.trim()).collect();
    format!("{message}: {}", lines.join(" / "))
}

/// Returns the lines after the last frame of a Python traceback: the exception and its text. Returns all lines if there is no traceback.
fn after_traceback<'a, 'b>(lines: &'b [&'a str]) -> &'b [&'a str] {
    let Some(frame) = lines.iter().rposition(|line| line.starts_with("  File \"")) else { return lines };
    let is_exception = |line: &&str| !line.starts_with(' ');
    let exception = lines.iter().skip(frame).position(is_exception);
    exception.and_then(|after| lines.get(frame + after..)).unwrap_or(lines)
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
