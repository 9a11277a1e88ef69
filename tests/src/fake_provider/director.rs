//! A language model that makes storyboards. The name of the model says how well: `director` follows the instructions, and the others have one fault
//! that real models have.

use serde_json::{Value, json};

/// The name of the good model. Those of the others begin with it.
pub(crate) const MODEL: &str = "director";

/// Returns the answer of the model to the messages of a chat.
pub(crate) fn answer(model: &str, messages: &Value) -> String {
    let texts: Vec<&str> =
        messages.as_array().into_iter().flatten().filter_map(|one| one["content"].as_str()).collect();
    let (system, request) =
        (texts.first().copied().unwrap_or_default(), texts.get(1).copied().unwrap_or_default());
    if system.starts_with("You write short stories") {
        return "The keeper lit the lamp in the tower. The sea was calm that night.\n\nA boat came home in the morning.".to_owned();
    }
    if system.starts_with("You prepare a short film") {
        let cast = json!({
            "characters": [{ "id": "keeper", "name": "the keeper", "aliases": ["he"], "gender": "male", "look": "an old man in a yellow coat" }],
            "places": [{ "id": "tower", "look": "a white tower above the sea" }],
        });
        return around(model, &cast.to_string());
    }
    let is_repair = texts.len() > 2;
    let sentences = listed(request);
    let mut shots: Vec<Value> =
        sentences.chunks(2).map(|pair| shot(&pair[0], &pair[pair.len() - 1])).collect();
    match model {
        "director-hole" => drop(shots.pop()),
        "director-hole-once" if !is_repair => drop(shots.pop()),
        "director-overlap" => shots.push(shots[0].clone()),
        "director-500" => shots = (0..500).map(|_| shots[0].clone()).collect(),
        "director-foreign" => shots.iter_mut().for_each(|shot| shot["picture"] = json!("海边的一座白色灯塔")),
        "director-stranger" => shots.iter_mut().for_each(|shot| {
            shot["speaker"] = json!("a dragon");
            shot["characters"] = json!(["a dragon", "keeper"]);
            shot["place"] = json!("moon");
            shot["camera"] = json!("spin");
        }),
        "director-long" => shots
            .iter_mut()
            .for_each(|shot| shot["picture"] = json!("a very long way to say sea ".repeat(80))),
        _ => {}
    }
    let answer =
        json!({ "shots": shots, "new_characters": [], "new_places": [], "carry": "it is night" }).to_string();
    match model {
        "director-empty" => String::new(),
        "director-half" if sentences.len() > 3 => answer[..answer.len() / 2].to_owned(),
        _ => around(model, &answer),
    }
}

/// Returns the JSON with what the model writes around it.
fn around(model: &str, json: &str) -> String {
    match model {
        "director-thinks" => format!("<think>The user wants {{shots}}. {{\"shots\": []}}</think>\n{json}"),
        "director-fences" => format!("```json\n{json}\n```"),
        "director-prose" => {
            format!("Sure, here is your storyboard:\n\n{json}\n\nLet me know if you need anything else!")
        }
        _ => json.to_owned(),
    }
}

fn listed(request: &str) -> Vec<(u64, String)> {
    let listing = request.rsplit_once("The sentences:\n").map_or("", |(_, listing)| listing);
    let lines = listing.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(number, text)| Some((number.parse().ok()?, text.to_owned()))).collect()
}

fn shot((from, text): &(u64, String), (to, _): &(u64, String)) -> Value {
    let head: Vec<&str> = text.split_whitespace().take(3).collect();
    json!({
        "from": from, "to": to, "head": head.join(" "), "speaker": text.starts_with('"').then_some("keeper"),
        "characters": ["keeper"], "place": "tower", "picture": format!("the keeper in picture {from}"), "size": "wide",
        "camera": "left", "motion": "the light turns", "transition": "dissolve",
    })
}
