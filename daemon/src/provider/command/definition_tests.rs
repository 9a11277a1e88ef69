//! The shipped definitions are valid, and wrong settings are reported with their keys.

use super::*;
use crate::provider::command::shipped::{names, shipped};

fn settings(text: &str) -> CommandSettings {
    toml::from_str(text).unwrap()
}

fn own() -> CommandSettings {
    settings("services = ['voice']\nprogram = 'say'\nargv = ['{output}', '{text}']\noutput = 'wav'")
}

#[track_caller]
fn complaints(more: &str) -> String {
    let problems = CommandDefinition::check(&settings(more).over(own())).unwrap_err();
    let lines: Vec<_> =
        problems.into_iter().map(|problem| format!("{} {}", problem.key, problem.message)).collect();
    lines.join("\n")
}

#[test]
fn every_shipped_definition_holds_and_says_where_it_is_from() {
    for name in names() {
        let definition = CommandDefinition::check(&shipped(name).unwrap()).unwrap();
        assert!(!definition.is_paid, "{name}");
        assert!(definition.source.unwrap().starts_with("https://"), "{name}");
        assert_eq!(definition.checked_on.unwrap().len(), "2026-11-27".len(), "{name}");
        assert!(definition.install.is_some() && definition.about.is_some(), "{name}");
        let run = matches!(name, "espeak-ng" | "piper");
        assert_eq!(definition.verified == Verified::Run, run, "{name}");
    }
    let wrong = shipped("espeak").unwrap_err().to_string();
    assert!(wrong.contains("espeak-ng") && wrong.contains("sd.cpp"), "{wrong}");
}

#[test]
fn a_request_becomes_the_arguments_of_each_shipped_program() {
    let mut values = Values::default()
        .with(Placeholder::Text, "-hello")
        .with(Placeholder::TextFile, "/r/text")
        .with(Placeholder::Prompt, "-a fox")
        .with(Placeholder::Voice, "3")
        .with(Placeholder::Model, "/m")
        .with(Placeholder::Width, "64")
        .with(Placeholder::Height, "32")
        .with(Placeholder::Seed, "7")
        .with(Placeholder::Output, "/r/o");
    values.set_speed(0.8);
    for (name, arguments, stdin) in [
        ("espeak-ng", "-b 1 -v 3 -s 140 -w /r/o --stdin", Some("-hello")),
        (
            "piper",
            "-m /m -s 3 --length-scale 1.250 --noise-scale 0 --noise-w-scale 0 -f /r/o",
            Some("-hello\n"),
        ),
        ("edge-tts", "--voice 3 --rate=-20% --file /r/text --write-media /r/o", None),
        ("sd.cpp", "-m /m -p  -a fox -W 64 -H 32 -s 7 -o /r/o", None),
    ] {
        let definition = CommandDefinition::check(&shipped(name).unwrap()).unwrap();
        let (filled, input) = definition.fill(&values).unwrap();
        assert_eq!(filled.join(" "), arguments, "{name}");
        assert_eq!(input, stdin.map(|text| text.as_bytes().to_vec()), "{name}");
    }
}

#[test]
fn languages_need_a_list_of_voices() {
    let piper = CommandSettings { voice_list: None, ..shipped("espeak-ng").unwrap() };
    let problems = CommandDefinition::check(&piper).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.key, "languages");
}

#[test]
fn a_section_overrides_a_definition_key_by_key() {
    let over = settings(
        "timeout_s = 5\nvoice = 'de'\nlanguages = { en = 'en-gb', tlh = 'x' }\nprogram = '/opt/espeak'",
    );
    let definition = CommandDefinition::check(&over.over(shipped("espeak-ng").unwrap())).unwrap();
    assert_eq!(definition.program, "/opt/espeak");
    assert_eq!(definition.limits.timeout, Duration::from_secs(5));
    assert_eq!(definition.voice.as_deref(), Some("de"));
    let language = |tag: &str| definition.languages.get(tag).map(String::as_str);
    assert_eq!(
        [language("en"), language("tlh"), language("zh")],
        [Some("en-gb"), Some("x"), Some("cmn-latn-pinyin")]
    );
    assert_eq!(definition.verified, Verified::Run);
    let own_arguments = settings("argv = ['--text', '{text}', '{output}']");
    let definition = CommandDefinition::check(&own_arguments.over(shipped("espeak-ng").unwrap())).unwrap();
    assert_eq!((definition.verified, definition.stdin, definition.source), (Verified::Own, None, None));
}

#[test]
fn what_is_wrong_is_told_with_its_key_and_the_nearest_name() {
    for (more, complaint) in [
        ("argv = ['{output}', '{txt}']", "argv has unknown placeholder {txt}; did you mean {text}?"),
        ("argv = ['{output}', ['{text}', '{oops']]", "argv has a { without its partner"),
        ("argv = ['{text}']", "argv must have {output}"),
        ("argv = ['{output}']", "argv or stdin must have {text} or {text_file}"),
        ("stdin = '{texts}'", "stdin has unknown placeholder {texts}; did you mean {text}?"),
        ("services = ['voise']", "services has an unknown service; did you mean voice?"),
        ("services = []", "services must name what the program makes"),
        ("program = 'bin/say'", "program must be a name on the PATH or an absolute path"),
        ("program = ''", "program must be set"),
        ("output = '../x'", "output must be the extension"),
        ("exit = { 3 = 'transiant' }", "exit has an unknown class; did you mean transient?"),
        ("exit = { 0 = 'invalid' }", "exit must have exit codes from 1 to 255"),
        ("exit = { 300 = 'invalid' }", "exit must have exit codes from 1 to 255"),
        ("timeout_s = 0", "timeout_s must be a whole number from 1 to 86400"),
        ("memory_mb = 9999999999", "memory_mb must be a whole number"),
        ("voice = '-x'", "voice must be a name that does not begin with a minus sign"),
        ("billing = 'cheap'", "billing must be free or paid"),
        ("environment = ['A=B']", "environment must be a list of names of variables"),
        ("voice_list = ['--voices']", "voice_format must say how the list of voices reads"),
        ("verified = 'yes'", "verified must be run or documented"),
    ] {
        let complaints = complaints(more);
        assert!(complaints.contains(complaint), "{more}: {complaints}");
    }
    let nothing = CommandDefinition::check(&CommandSettings::default()).unwrap_err();
    let keys: Vec<_> = nothing.iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["services", "argv", "program", "output"]);
}

#[test]
fn a_definition_tells_what_it_honours() {
    let definition = CommandDefinition::check(&own()).unwrap();
    let honoured =
        [Placeholder::Text, Placeholder::Voice, Placeholder::Speed].map(|one| definition.honours(one));
    assert_eq!(honoured, [true, false, false]);
    let defaults = (
        definition.limits.timeout.as_secs(),
        definition.limits.memory_bytes >> 20,
        definition.limits.file_bytes >> 20,
    );
    assert_eq!(defaults, (600, 2048, 512));
    assert!(!definition.is_memory_set);
}

#[test]
fn the_keys_that_the_configuration_offers_are_those_that_are_read() {
    let error = toml::from_str::<CommandSettings>("nonsense = 1").unwrap_err().to_string();
    for key in CommandSettings::KEYS {
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
    }
    assert_eq!(error.matches('`').count(), 2 * (CommandSettings::KEYS.len() + 1), "{error}");
}
