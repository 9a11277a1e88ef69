//! Storyboards by models that answer well, badly, and at random.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Value, json};

use super::*;

const STORY: &str = "CHAPTER I\n\nThe keeper lit the lamp. The sea was calm that night. \"Who is there?\" cried the keeper. Nobody answered.\n\n\
    A gull landed on the rail. It looked at him for a long time. Then it flew away.\n\nCHAPTER II\n\nMorning broke over the bay. The boats came home.";

fn director(text: &str) -> Director {
    Director {
        source: Source::Text(text.to_owned()),
        language: None,
        shots: None,
        characters: Vec::new(),
        places: Vec::new(),
    }
}

/// Walks until the end. `model` answers each request.
fn walked(director: &Director, mut model: impl FnMut(&Request) -> Answer) -> (Next, usize) {
    let answers: RefCell<BTreeMap<String, Answer>> = RefCell::default();
    let mut requests = 0;
    loop {
        let next = director.next(&|name| answers.borrow().get(name).cloned());
        let Next::Request(request) = next else { return (next, requests) };
        requests += 1;
        assert!(requests < 5_000, "{}: it never ends", request.name);
        let answer = model(&request);
        assert!(
            answers.borrow_mut().insert(request.name.clone(), answer).is_none(),
            "{} is asked twice",
            request.name
        );
    }
}

fn board(next: Next) -> Storyboard {
    match next {
        Next::Done(storyboard) => *storyboard,
        other => panic!("{other:?}"),
    }
}

/// Returns the numbered sentences of a request.
fn sentences(request: &Request) -> Vec<(usize, String)> {
    let Some(Message::User(request)) = request.messages.first() else { panic!("{request:?}") };
    let listing = request.rsplit_once("The sentences:\n").map_or("", |(_, listing)| listing);
    listing
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(number, text)| Some((number.parse().ok()?, text.to_owned())))
        .collect()
}

/// Returns the answer of a model that makes a shot of every two sentences.
fn good(request: &Request) -> Value {
    if request.name.starts_with("cast") {
        return json!({
            "characters": [{ "id": "keeper", "name": "the keeper", "aliases": ["he"], "look": "an old man in a yellow coat" }],
            "places": [{ "id": "tower", "look": "a white tower" }],
        });
    }
    let sentences = sentences(request);
    let shots = sentences.chunks(2).map(|pair| {
        let (first, last) = (&pair[0], &pair[pair.len() - 1]);
        json!({
            "from": first.0, "to": last.0, "head": first.1.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            "speaker": first.1.starts_with('"').then_some("keeper"), "characters": ["keeper"], "place": "tower",
            "picture": format!("picture of {}", first.0), "size": "wide", "camera": "left", "motion": "the sea moves", "transition": "cut",
        })
    });
    json!({ "shots": shots.collect::<Vec<_>>(), "new_characters": [], "new_places": [], "carry": "night" })
}

fn text(value: &Value) -> Answer {
    Answer::Text(value.to_string())
}

/// Asserts that the shots have the story's characters, all and in order.
#[track_caller]
fn assert_whole(storyboard: &Storyboard, story: &str) {
    let whole = |text: &str| text.chars().filter(|one| !one.is_whitespace()).collect::<String>();
    let told: String = storyboard.project.shots.iter().map(|shot| whole(&shot.text)).collect();
    assert_eq!(told, whole(&split(story, None).unwrap().text));
    let value = serde_json::to_value(&storyboard.project).unwrap();
    assert_eq!(crate::project::read_json(&value).unwrap(), storyboard.project);
}

#[test]
fn a_good_model_is_asked_once_for_each_part() {
    let (next, requests) = walked(&director(STORY), |request| text(&good(request)));
    let storyboard = board(next);
    assert_whole(&storyboard, STORY);
    assert_eq!(requests, 2);
    let shots = &storyboard.project.shots;
    assert_eq!(
        shots.iter().map(|shot| shot.id.as_str()).collect::<Vec<_>>(),
        ["a1", "a2", "a3", "a4", "b1", "b2"][..shots.len()]
    );
    assert_eq!((shots[1].speaker.as_str(), shots[0].speaker.as_str()), ("keeper", "narrator"));
    assert_eq!(shots[0].picture, "Wide shot: picture of 1");
    assert_eq!(storyboard.project.scenes[0].place, "tower");
    assert_eq!(storyboard.project.scenes.last().unwrap().title, "CHAPTER II");
}

#[test]
fn what_models_write_around_their_json_does_no_harm() {
    for around in ["<think>{\"shots\":1}</think>@", "```json\n@\n```", "Sure! Here it is:\n@\nAnything else?"]
    {
        let (next, requests) =
            walked(&director(STORY), |request| Answer::Text(around.replace('@', &good(request).to_string())));
        assert_whole(&board(next), STORY);
        assert_eq!(requests, 2, "{around}");
    }
}

#[test]
fn errors_are_returned_to_the_model_and_a_mended_answer_counts() {
    let spoil = |value: &mut Value| value["shots"][1]["from"] = json!(5);
    let (next, requests) = walked(&director(STORY), |request| {
        let mut answer = good(request);
        if request.name == "shots/1" {
            spoil(&mut answer);
        } else if request.name == "shots/1/repair/1" {
            let Some(Message::User(request)) = request.messages.last() else { panic!("{request:?}") };
            assert!(request.contains("must begin with 3"), "{request}");
        }
        text(&answer)
    });
    let storyboard = board(next);
    assert_whole(&storyboard, STORY);
    assert_eq!(
        (requests, storyboard.report.chunks[0].requests, storyboard.report.chunks[0].is_by_rule),
        (3, 2, false)
    );
}

#[test]
fn a_useless_model_leaves_the_rules() {
    for useless in
        ["", "I am sorry.", "{\"shots\":[]}", "{\"shots\":[{\"from\":1,\"to\":1,\"head\":\"x\"}]}", "[1,2]"]
    {
        let (next, requests) = walked(&director(STORY), |_| Answer::Text(useless.to_owned()));
        let storyboard = board(next);
        assert_whole(&storyboard, STORY);
        assert_eq!((requests, storyboard.report.chunks[0].is_by_rule), (6, true), "{useless}");
    }
}

#[test]
fn a_cut_answer_is_asked_for_in_halves() {
    let story = "The wind blew hard. ".repeat(40);
    let (next, _) = walked(&director(&story), |request| {
        let answer = good(request).to_string();
        let is_long = sentences(request).len() > 15;
        Answer::Text(if is_long { answer[..answer.len() / 2].to_owned() } else { answer })
    });
    let storyboard = board(next);
    assert_whole(&storyboard, &story);
    assert!(storyboard.report.chunks.iter().all(|chunk| !chunk.is_by_rule));
    assert_eq!(storyboard.report.chunks.len(), 7, "one, its halves, and their halves");
}

#[test]
fn a_way_of_asking_that_is_refused_is_not_tried_again() {
    let names = RefCell::new(Vec::new());
    let (next, requests) = walked(&director(STORY), |request| {
        names.borrow_mut().push(request.name.clone());
        if request.schema.is_none() { text(&good(request)) } else { Answer::Refused("no".to_owned()) }
    });
    assert_whole(&board(next), STORY);
    assert_eq!(*names.borrow(), ["cast/1", "cast/1/words", "shots/1/words"]);
    assert_eq!(requests, 3);
    let (next, _) = walked(&director(STORY), |_| Answer::Refused("no".to_owned()));
    assert!(board(next).report.chunks[0].is_by_rule, "a refused story is divided by rule");
    // A request that is refused in words too was not refused for its schema.
    names.borrow_mut().clear();
    walked(&director(STORY), |request| {
        names.borrow_mut().push(request.name.clone());
        if request.name.starts_with("cast") {
            Answer::Refused("too long".to_owned())
        } else {
            text(&good(request))
        }
    });
    assert_eq!(*names.borrow(), ["cast/1", "cast/1/words", "shots/1"]);
}

#[test]
fn an_answer_is_quoted_without_its_thoughts_and_an_empty_one_is_not_quoted() {
    let mut quoted = Vec::new();
    let mut answers = ["<think>{hm}</think>no JSON", "", "{}"].into_iter();
    walked(&director(STORY), |request| {
        if request.name.starts_with("cast") {
            return text(&good(request));
        }
        quoted.push(request.messages.iter().skip(1).cloned().collect::<Vec<_>>());
        answers.next().map_or_else(|| text(&good(request)), |answer| Answer::Text(answer.to_owned()))
    });
    assert_eq!(quoted[1][0], Message::Assistant("no JSON".to_owned()));
    assert!(quoted[2].is_empty(), "{quoted:?}");
}

#[test]
fn a_failed_request_ends_the_work_and_a_theme_is_written_first() {
    let (next, _) = walked(&director(STORY), |request| {
        if request.name == "shots/1" { Answer::Failed } else { text(&good(request)) }
    });
    assert_eq!(next, Next::Failed("shots/1".to_owned()));
    let theme = Director { source: Source::Theme("a lighthouse".to_owned()), ..director("") };
    let (next, requests) = walked(&theme, |request| {
        if request.name == "story" { Answer::Text(STORY.to_owned()) } else { text(&good(request)) }
    });
    let storyboard = board(next);
    assert_whole(&storyboard, STORY);
    assert_eq!((requests, storyboard.story.as_deref()), (3, Some(STORY)));
    let (next, _) = walked(&theme, |_| Answer::Text("<think>hm".to_owned()));
    assert!(matches!(next, Next::NoStory(_)), "{next:?}");
}

#[test]
fn a_story_of_a_hundred_thousand_characters_is_asked_for_in_windows() {
    let story = (0..330).map(|number| format!("It was day {number} on the grey island. The keeper looked at the sea and counted the ships that passed. ").repeat(3)).collect::<Vec<_>>().join("\n\n");
    assert!(story.len() > 90_000);
    let (next, requests) = walked(&director(&story), |request| text(&good(request)));
    assert_whole(&board(next), &story);
    assert!(requests < 50, "{requests}");
    let planned = director(&story).planned_requests();
    assert_eq!((planned.len(), planned[0].name.as_str()), (requests, "cast/1"), "each is asked for once");
    assert!(planned.iter().all(|request| request.schema.is_some()));
    let theme = Director { source: Source::Theme("a lighthouse".to_owned()), ..director("") };
    assert_eq!(theme.planned_requests().len(), 1);
}

/// A generator of numbers, so that a failing seed fails again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Spoils an answer in one of many ways.
fn spoiled(answer: &Value, random: &mut Random) -> Answer {
    let mut value = answer.clone();
    let plain = answer.to_string();
    let field = ["from", "to", "head", "speaker", "characters", "place", "picture", "size", "camera"]
        [random.below(9) as usize];
    let shots = value["shots"].as_array().map_or(0, Vec::len) as u64;
    match random.below(12) {
        0 if random.below(2) == 0 => return Answer::Refused("no".to_owned()),
        0 => return Answer::Declined("no".to_owned()),
        1 => return Answer::Text(String::new()),
        2 => {
            let mut cut = random.below(plain.len() as u64) as usize;
            while !plain.is_char_boundary(cut) {
                cut -= 1;
            }
            return Answer::Text(plain[..cut].to_owned());
        }
        3 => return Answer::Text(format!("<think>{plain}</think>")),
        4 => return Answer::Text(plain.replace(',', ",,")),
        5 => value["shots"] = json!("none"),
        6 if shots > 0 => value["shots"].as_array_mut().unwrap().truncate(random.below(shots) as usize),
        7 if shots > 0 => {
            let shot = value["shots"][random.below(shots) as usize].clone();
            value["shots"].as_array_mut().unwrap().push(shot);
        }
        _ if shots > 0 => {
            let junk = [
                json!(null),
                json!(-1),
                json!(1e300),
                json!("Ωμέγα"),
                json!([[]]),
                json!({ "a": 1 }),
                json!("x".repeat(3_000)),
            ];
            value["shots"][random.below(shots) as usize][field] = junk[random.below(7) as usize].clone();
        }
        _ => {}
    }
    Answer::Text(value.to_string())
}

/// Returns the most requests that a story of this many sentences and characters can need.
const fn most_requests(sentences: usize, characters: usize) -> usize {
    // The story, a request whose schema is refused, and the windows. A window has at least one character in two of its size.
    let windows = 1 + characters / (WINDOW / 2);
    // A chunk is asked for three times, and so is each of its halves, quarters and eighths. A chunk has at least half of its sentences.
    let chunks = 1 + sentences / (CHUNK / 2);
    2 + windows * ATTEMPTS + chunks * 15 * ATTEMPTS
}

#[test]
fn whatever_a_model_answers_the_story_is_whole_and_the_requests_are_bounded() {
    let long = format!("{STORY}\n\n{}", "The wind blew over the bay, and nobody slept. ".repeat(90));
    for seed in 0..1_000 {
        let story = if seed % 10 == 0 { long.as_str() } else { STORY };
        let mut random = Random(seed);
        let badness = random.below(11);
        let (next, requests) = walked(&director(story), |request| {
            let answer = good(request);
            if random.below(10) < badness { spoiled(&answer, &mut random) } else { text(&answer) }
        });
        assert_whole(&board(next), story);
        let sentences = Numbered::of(&split(story, None).unwrap(), None).len();
        assert!(requests <= most_requests(sentences, story.chars().count()), "seed {seed}: {requests}");
    }
}
