//! A table of how runs end, with the class, the message and the hint of each.

use super::*;
use crate::provider::command::shipped::shipped;

fn definition(is_paid: bool) -> CommandDefinition {
    let mut definition = CommandDefinition::check(&shipped("espeak-ng").unwrap()).unwrap();
    definition.is_paid = is_paid;
    definition
}

fn finished(ended: Ended, stderr: &str) -> Finished {
    Finished { ended, stderr: stderr.as_bytes().to_vec(), stdout: b"on stdout".to_vec() }
}

#[test]
fn each_end_has_its_class_its_words_and_a_next_step() {
    let (free, paid) = (definition(false), definition(true));
    let of = |definition, ended: Ended, stderr: &str| {
        let failures = Failures { provider: "line", definition };
        failures.of_end(&finished(ended, stderr)).map(|failure| {
            let hint = failure.error.hint.unwrap_or_default();
            (failure.class, failure.error.message, hint)
        })
    };
    assert!(of(&free, Ended::Exited(0), "a warning").is_none());
    for (ended, stderr, class, message, hint) in [
        (
            Ended::Exited(1),
            "Error: no voice\n",
            Class::Invalid,
            "espeak-ng exited with 1: Error: no voice",
            "by hand",
        ),
        (
            Ended::Exited(3),
            "a\n\n b\x1b[2J",
            Class::Unknown,
            "espeak-ng exited with 3: a / b\\u{1b}[2J",
            "by hand",
        ),
        (Ended::Exited(3), " \n", Class::Unknown, "espeak-ng exited with 3: on stdout", "by hand"),
        (Ended::Signalled(11), "x", Class::Unknown, "espeak-ng was ended by signal 11: x", "crashed"),
        (
            Ended::TimedOut,
            "x",
            Class::Unknown,
            "espeak-ng did not end within 300 s and was stopped: x",
            "timeout_s",
        ),
        (
            Ended::OverMemory(200 << 20),
            "x",
            Class::Unknown,
            "espeak-ng held 200 MiB of memory",
            "line.memory_mb",
        ),
        (
            Ended::FileTooLarge,
            "x",
            Class::Unknown,
            "espeak-ng wrote a file of more than 512 MiB",
            "output_max_mb",
        ),
    ] {
        let (got_class, got_message, got_hint) = of(&free, ended.clone(), stderr).unwrap();
        assert_eq!(got_class, class, "{ended:?}");
        assert!(got_message.starts_with(message), "{got_message}");
        assert!(got_hint.contains(hint), "{got_hint}");
    }
    for ended in [Ended::Signalled(9), Ended::TimedOut, Ended::OverMemory(1), Ended::FileTooLarge] {
        assert_eq!(of(&paid, ended.clone(), "").unwrap().0, Class::Ambiguous, "{ended:?}");
    }
    assert_eq!(
        of(&paid, Ended::Exited(1), "").unwrap().0,
        Class::Invalid,
        "the program itself says that it failed"
    );
}

#[test]
fn a_program_that_never_fits_the_budget_is_told_how_much_it_needs() {
    let definition = definition(false);
    let failures = Failures { provider: "line", definition: &definition };
    let over = |limit_bytes| OverBudget {
        asked_bytes: 1 << 30,
        reserved_bytes: 0,
        limit_bytes,
        holder: Holder::Command,
    };
    let never = failures.over_budget(&over(1 << 29));
    assert_eq!((never.class, never.error.code.as_str()), (Class::Unknown, "over_memory"));
    let hint = never.error.hint.unwrap();
    assert!(hint.starts_with("set memory.limit_mb to 1216 or more"), "{hint}");
    // No section of the configuration sets the limits of an embedded provider.
    let embedded = CommandDefinition { is_embedded: true, ..definition.clone() };
    let failures = Failures { provider: "ffmpeg", definition: &embedded };
    let late = failures.of_end(&finished(Ended::TimedOut, "")).unwrap();
    for failure in [failures.over_budget(&over(1 << 29)), late] {
        let hint = failure.error.hint.unwrap();
        assert!(!hint.contains("providers."), "{hint}");
    }
    assert_eq!(failures.over_budget(&over(1 << 31)).class, Class::Transient(None));
}

#[test]
fn a_request_that_does_not_fit_is_refused_with_a_next_step() {
    let definition = definition(false);
    let failures = Failures { provider: "line", definition: &definition };
    for (error, message, hint) in [
        (
            FillError::Missing(Placeholder::Model),
            "espeak-ng cannot be run: it needs a model",
            "set providers.line.model",
        ),
        (
            FillError::Nul(Placeholder::Text),
            "espeak-ng cannot be run: the text holds a NUL character",
            "remove the NUL",
        ),
        (
            FillError::TooLong { bytes: 200_000, most_bytes: 131_071 },
            "espeak-ng cannot be run: an argument of 200000 bytes",
            "stdin",
        ),
    ] {
        let failure = failures.unfilled(&error);
        assert_eq!(failure.class, Class::Invalid);
        assert!(failure.error.message.starts_with(message), "{}", failure.error.message);
        assert!(failure.error.hint.as_ref().unwrap().contains(hint), "{:?}", failure.error.hint);
    }
}

#[test]
fn of_a_traceback_the_exception_is_shown_and_of_much_output_its_end() {
    let free = definition(false);
    let failures = Failures { provider: "line", definition: &free };
    let message = |stderr: &str| failures.of_end(&finished(Ended::Exited(1), stderr)).unwrap().error.message;
    let traceback = "Traceback (most recent call last):\n  File \"/usr/bin/edge-tts\", line 8, in <module>\n    sys.exit(main())\n             ^^^^\n\
                     aiohttp.ClientConnectorError: Cannot connect to host example.com:443\n";
    assert_eq!(
        message(traceback),
        "espeak-ng exited with 1: aiohttp.ClientConnectorError: Cannot connect to host example.com:443"
    );
    // Of chained exceptions only the last is shown, as the first one alone does not explain the failure.
    let chained = format!(
        "OSError: no\n\nDuring handling of the above exception, another exception occurred:\n\n{traceback}"
    );
    assert_eq!(message(&chained), message(traceback));
    assert_eq!(message("  File \"cut"), "espeak-ng exited with 1: File \"cut");
    let long = message(&"a line of some words\n".repeat(1_000));
    assert!(long.len() < 800 && long.ends_with("a line of some words"), "{}", long.len());
    assert!(message(&"x".repeat(5_000)).len() > 5_000, "a single line is shown whole");
}
