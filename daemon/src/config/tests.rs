//! Tests with files that are valid, invalid, or contain secrets.

use proptest::prelude::*;

use super::*;

pub(super) const ADDRESS: &str = "https://api.openai.com/v1";

/// A kind that reads an address and a key, as most do.
#[derive(Debug)]
pub(super) struct Openai;

impl KindSection for Openai {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn keys(&self) -> &'static [&'static str] {
        &["base_url", "api_key"]
    }

    fn services(&self) -> &'static [&'static str] {
        &["image"]
    }

    fn is_paid(&self) -> bool {
        true
    }

    fn read(&self, section: &mut Section<'_>) -> Option<KindConfig> {
        section.remote(ADDRESS).map(KindConfig::from)
    }
}

fn error(text: &str) -> String {
    Config::parse(text, &[&Openai]).unwrap_err().to_string()
}

#[test]
fn a_file_changes_what_it_names_and_nothing_else() {
    let config = Config::parse(
        "tasks.max_concurrent = 3\nlog = { filter = 'warn,reeld=debug' }\n[memory]\nlimit_mb = 1_024\nlow = 0.5\ncritical = 1\n",
        &[&Openai],
    )
    .unwrap();
    assert_eq!(config.tasks, TasksConfig { max_concurrent: 3, ..TasksConfig::default() });
    assert_eq!(config.log.filter, "warn,reeld=debug");
    let memory = MemoryConfig { limit_mb: 1024, low: 0.5, critical: 1.0, ..MemoryConfig::default() };
    assert_eq!(config.memory, memory);
    assert_eq!(
        Config::default().changed(&config),
        ["tasks.max_concurrent", "memory.limit_mb", "memory.low", "memory.critical", "log.filter"]
    );
    assert_eq!(Config::parse("\u{feff}# nothing\r\n\r\n", &[&Openai]).unwrap(), Config::default());
}

#[test]
fn each_mistake_is_told_with_its_place() {
    let cases = [
        (
            "# c\n[tasks]\nmax_concurent = 3\n",
            "config.toml:3:1: unknown key tasks.max_concurent; did you mean max_concurrent?",
        ),
        ("[task]\n", "config.toml:1:2: unknown key task; did you mean tasks?"),
        (
            "\u{feff}max_concurrent = 3\n",
            "config.toml:1:1: unknown key max_concurrent; did you mean tasks.max_concurrent?",
        ),
        ("[memory]\nzzzzzz = 3\n", "config.toml:2:1: unknown key memory.zzzzzz"),
        (
            "[tasks]\nmax_concurrent = 0\n",
            "config.toml:2:18: tasks.max_concurrent must be a whole number from 1 to 1000, not 0",
        ),
        (
            "tasks = { max_concurrent = -1 }",
            "config.toml:1:28: tasks.max_concurrent must be a whole number from 1 to 1000, not -1",
        ),
        (
            "[tasks]\nhistory = 1e3\n",
            "config.toml:2:11: tasks.history must be a whole number from 0 to 10000000, not a fraction",
        ),
        (
            "[tasks.history]\na = 1\n",
            "config.toml:1:1: tasks.history must be a whole number from 0 to 10000000, not a section",
        ),
        ("[[tasks]]\na = 1\n", "config.toml:1:3: tasks must be a section, [tasks], not a list"),
        ("tasks = 3\n", "config.toml:1:1: tasks must be a section, [tasks], not a whole number"),
        ("[memory]\nhigh = nan\n", "config.toml:2:8: memory.high must be a number from 0.05 to 1, not nan"),
        (
            "[memory]\nhigh = 0.6\nlimit_mb = 512\n",
            "config.toml:2:1: memory.low < memory.high < memory.critical must hold, not 0.7 < 0.6 < 0.95",
        ),
        (
            "[memory]\nlow = 'x'\nhigh = 0.6\n",
            "config.toml:2:7: memory.low must be a number from 0.05 to 1, not a text",
        ),
        (
            "[log]\nfilter = 'inof'\n",
            "config.toml:2:10: log.filter must be a level (off, error, warn, info, debug, trace) or target=level parts with commas between",
        ),
        ("[budget]\nusd_per_day = 3\n", "config.toml:1:2: budget is not in this version"),
        ("[tasks]\n[tasks]\n", "config.toml:2:2: duplicate key"),
    ];
    for (text, wanted) in cases {
        assert_eq!(error(text), wanted, "{text:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "[tasks]\nzeta = 1\nhistory = 'x'\n[providers.studio]\napi_key = 'y'\n[cache]\nalpha = 1\n";
    assert_eq!(
        error(text).lines().map(|line| line.split(": ").next().unwrap()).collect::<Vec<_>>(),
        ["config.toml:2:1", "config.toml:3:11", "config.toml:4:12", "config.toml:7:1"]
    );
}

#[test]
fn a_secret_on_a_wrong_line_is_never_repeated() {
    const SECRET: &str = "sk-proj-4242424242SECRET4242424242424242424242";
    let files = [
        format!("[tasks]\nmax_concurent = \"{SECRET}\"\n"),
        format!("[tasks]\nmax_concurrent = \"{SECRET}\"\n"),
        format!("[tasks]\nmax_concurrent = [\"{SECRET}\"]\n"),
        format!("[tasks]\nmax_concurrent = {{ a = \"{SECRET}\" }}\n"),
        format!("[memory]\nhigh = \"{SECRET}\"\n"),
        format!("[log]\nfilter = \"{SECRET}\"\n"),
        format!("[log]\nfilter = \"{SECRET}=debug=x\"\n"),
        format!("[providers.studio]\napi_key = \"{SECRET}\"\nmodle = 1\n"),
        format!("api_key = \"{SECRET}\"\n"),
        format!("api_key = {SECRET}\n"),
        format!("api_key = \"{SECRET}\n"),
        format!("api_key = '''{SECRET}\n"),
        format!("api_key \"{SECRET}\"\n"),
        format!("api_key = \"{SECRET}\\q\"\n"),
        format!("api_key = \"{SECRET}\" trailing\n"),
        format!("api_key = {{ value = \"{SECRET}\"\n"),
        format!("[providers.{SECRET}]\n"),
        format!("{SECRET}\n"),
        format!("{SECRET} = 1\n"),
        format!("[tasks]\n{SECRET} = 1\n"),
        format!("[tasks]\n\"{SECRET}\" = 1\n\"{SECRET}\" = 2\n"),
        format!("[tasks]\nhistory = 4{}\n", "42".repeat(30)),
        format!("[tasks]\nhistory = 2026-13-45T{SECRET}\n"),
    ];
    for text in files {
        let error = Config::parse(&text, &[&Openai]).unwrap_err();
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("SECRET") && !shown.contains("424242"), "{text}\n{shown}");
        }
    }
}

#[test]
fn an_absent_file_means_the_defaults_and_a_wrong_one_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.toml");
    assert_eq!(Config::load(&path, &[&Openai]).unwrap(), Config::default());
    std::fs::write(&path, "[cache]\ndisk_mb = 1\n").unwrap();
    let error = Config::load(&path, &[&Openai]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2:11: cache.disk_mb must be", path.display())), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[\\[\\]a-z_=.'\"0-9\n é{}#,]{0,60}") {
        let _ = Config::parse(&text, &[&Openai]);
    }
}
