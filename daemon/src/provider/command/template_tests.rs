//! Tables of templates and the arguments that they become.

use proptest::prelude::*;

use super::*;

fn template(items: &[&[&str]]) -> Template {
    let item = |texts: &&[&str]| match texts {
        [one] => TemplateItem::One((*one).to_owned()),
        group => TemplateItem::Group(group.iter().map(|text| (*text).to_owned()).collect()),
    };
    Template::parse(&items.iter().map(item).collect::<Vec<_>>()).unwrap()
}

fn values() -> Values {
    Values::default().with(Placeholder::Output, "/run/out.wav").with(Placeholder::Text, "hello; rm -rf $HOME")
}

#[test]
fn each_value_is_one_argument_and_no_shell_reads_it() {
    let template = template(&[&["-w"], &["{output}"], &["--"], &["{text}"]]);
    let filled = template.fill(&values()).unwrap();
    assert_eq!(filled, ["-w", "/run/out.wav", "--", "hello; rm -rf $HOME"]);
    let used: Vec<_> = template.placeholders().into_iter().collect();
    assert_eq!(used, [Placeholder::Text, Placeholder::Output]);
}

#[test]
fn an_optional_group_is_left_out_where_a_value_is_absent() {
    let template = template(&[&["-v", "{voice}"], &["-s", "{words_per_minute}", "{seed}"], &["{output}"]]);
    assert_eq!(template.fill(&values()).unwrap(), ["/run/out.wav"]);
    let with_voice = values().with(Placeholder::Voice, "en-us").with(Placeholder::Seed, "7");
    assert_eq!(template.fill(&with_voice).unwrap(), ["-v", "en-us", "/run/out.wav"]);
}

#[test]
fn a_text_that_begins_with_a_minus_sign_is_no_option() {
    let values = Values::default()
        .with(Placeholder::Text, "--help")
        .with(Placeholder::Prompt, "-1 degrees")
        .with(Placeholder::Seed, "-5")
        .with(Placeholder::Voice, "-w/etc/passwd");
    for (items, expected) in [
        (&[&["--"][..], &["{text}"]][..], Ok(vec!["--", "--help"])),
        (&[&["{text}"]], Ok(vec![" --help"])),
        (&[&["-p"], &["{prompt}"]], Ok(vec!["-p", " -1 degrees"])),
        (&[&["--text={text}"]], Ok(vec!["--text=--help"])),
        (&[&["--"], &["{text}"], &["{prompt}"]], Ok(vec!["--", "--help", "-1 degrees"])),
        (&[&["--seed"], &["{seed}"]], Ok(vec!["--seed", "-5"])),
        (&[&["-v"], &["{voice}"]], Err(FillError::OptionLike(Placeholder::Voice))),
    ] {
        let expected = expected.map(|texts| texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(template(items).fill(&values), expected, "{items:?}");
    }
}

#[test]
fn what_an_argument_cannot_hold_is_refused() {
    let fill = |text: &str| {
        template(&[&["{text}"]]).fill(&Values::default().with(Placeholder::Text, text)).map(|all| all.len())
    };
    assert_eq!(fill("a\0b"), Err(FillError::Nul(Placeholder::Text)));
    assert_eq!(fill(&"a".repeat(128 * 1024 - 1)), Ok(1));
    let too_long = FillError::TooLong { bytes: 128 * 1024, most_bytes: 128 * 1024 - 1 };
    assert_eq!(fill(&"a".repeat(128 * 1024)), Err(too_long));
    assert_eq!(template(&[&["{text}"]]).fill(&Values::default()), Err(FillError::Missing(Placeholder::Text)));
    let many = vec![&["{text}"][..]; 20];
    let values = Values::default().with(Placeholder::Text, "a".repeat(100_000));
    assert!(matches!(template(&many).fill(&values), Err(FillError::TooLong { .. })));
}

#[test]
fn a_wrong_template_is_refused_with_the_nearest_name() {
    for (text, message) in [
        ("{txt}", "unknown placeholder {txt}; did you mean {text}?"),
        ("{output_file}", "unknown placeholder {output_file}"),
        ("{}", "unknown placeholder {}"),
        ("a{text", "a { without its partner; {{ stands for the character itself"),
        ("text}", "a } without its partner; }} stands for the character itself"),
        ("a\0", "a NUL character"),
    ] {
        assert_eq!(Argument::parse(text).unwrap_err().to_string(), message, "{text:?}");
    }
    let braces = Argument::parse("{{\"t\": \"{text}\"}}").unwrap();
    assert_eq!(braces.fill(&values()).unwrap(), "{\"t\": \"hello; rm -rf $HOME\"}");
    assert_eq!(Argument::parse("").unwrap().fill(&values()).unwrap(), "");
}

proptest! {
    #[test]
    fn any_template_is_parsed_or_refused_and_any_text_arrives_as_it_is(template in ".{0,40}", text in "[^\0]{0,40}") {
        let values = values().with(Placeholder::Text, &text);
        if let Ok(argument) = Argument::parse(&template) {
            let _ = argument.fill(&values);
        }
        let whole = Argument::parse("{text}").unwrap().fill(&values).unwrap();
        prop_assert_eq!(whole, text);
    }
}
