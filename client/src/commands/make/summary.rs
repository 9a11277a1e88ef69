//! Summarises a run: counts what was made, reused and supplied, names what was made again, and gives the cost. Pure.

use std::collections::BTreeMap;

use reel_protocol::{Cost, ShotReport, StepReport, StepState, StoryReport};
use reel_story::project::is_sheet_step;
use serde::Serialize;

use super::{
    outline::count,
    stale::{Stale, stages},
};
use crate::tasks;

/// The numbers of steps of a run, by their outcome.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Results that were made now, by kind and provider.
    pub made: BTreeMap<String, u64>,
    /// Results of an earlier run, by kind.
    pub cached: BTreeMap<String, u64>,
    /// Files that the project supplies, by kind.
    pub supplied: BTreeMap<String, u64>,
}

/// A shot of which stages were made again.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct StaleShot {
    /// The shot's id.
    pub shot: String,
    /// The stages with their reasons.
    pub stages: Vec<Stale>,
}

impl Counts {
    /// Counts the steps of a report.
    pub fn of(report: &StoryReport) -> Self {
        let mut counts = Self::default();
        for shot in &report.shots {
            for (_, word, step) in stages(shot) {
                counts.add(if word == "frames" { "shot rendered" } else { word }, step);
            }
        }
        for step in &report.steps {
            counts.add(if is_sheet_step(&step.step) { "sheet" } else { "part of the film" }, step);
        }
        counts
    }

    fn add(&mut self, what: &str, step: &StepReport) {
        let by = step.provider.as_ref().filter(|_| !what.contains(' '));
        match step.state {
            StepState::Made => {
                let key = by.map_or_else(|| what.to_owned(), |by| format!("{what} by {by}"));
                *self.made.entry(key).or_default() += 1;
            }
            StepState::Cached => *self.cached.entry(what.to_owned()).or_default() += 1,
            StepState::Supplied => *self.supplied.entry(what.to_owned()).or_default() += 1,
            _ => {}
        }
    }

    /// Returns up to three lines, such as `made now: 28 voices by espeak-ng, 28 pictures by draft` and `from before: 57 parts of the film`.
    pub fn lines(&self) -> Vec<String> {
        let line = |title: &str, counts: &BTreeMap<String, u64>| {
            let words: Vec<String> =
                ordered(counts).into_iter().map(|(what, number)| plural(what, number)).collect();
            (!words.is_empty()).then(|| format!("{title}: {}", words.join(", ")))
        };
        let lines = [
            line("made now", &self.made),
            line("from before", &self.cached),
            line("your own", &self.supplied),
        ];
        lines.into_iter().flatten().collect()
    }
}

/// Sorts the counts in the order of the work.
fn ordered(counts: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    const ORDER: [&str; 6] = ["voice", "sheet", "picture", "clip", "shot", "part"];
    let mut counts: Vec<(&str, u64)> = counts.iter().map(|(what, number)| (what.as_str(), *number)).collect();
    let rank = |what: &str| ORDER.iter().position(|first| what.starts_with(first));
    counts.sort_by_key(|(what, _)| rank(what));
    counts
}

/// Formats a count with its words, such as `2 voices by espeak-ng`. The first word gets the plural.
fn plural(what: &str, number: u64) -> String {
    let (noun, rest) =
        what.split_once(' ').map_or((what, String::new()), |(noun, rest)| (noun, format!(" {rest}")));
    format!("{}{rest}", count(number as usize, noun))
}

/// Describes the stages that were made again, such as `voice (text changed), frames`.
pub fn stale_words(stale: &[Stale]) -> String {
    let words: Vec<String> = stale
        .iter()
        .map(|stale| match &stale.why {
            Some(why) => format!("{} ({why})", stale.stage),
            None => stale.stage.to_owned(),
        })
        .collect();
    words.join(", ")
}

/// Most shots that are named for one reason. A change of the style, for example, affects all shots.
const NAMED: usize = 5;
const REASONS: usize = 12;

/// Lists shots, such as `a1, a2, a3, a4, a5 and 23 more`.
pub fn named(shots: &[&str]) -> String {
    let named = shots.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match shots.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Returns a line for each reason, with the shots that were made again for it.
pub fn stale_lines(stale: &[StaleShot]) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for StaleShot { shot, stages } in stale {
        let words = stale_words(stages);
        match reasons.iter_mut().find(|(known, _)| *known == words) {
            Some((_, shots)) => shots.push(shot),
            None => reasons.push((words, vec![shot])),
        }
    }
    let line = |(words, shots): &(String, Vec<&str>)| format!("{}: {words}", named(shots));
    let mut lines: Vec<String> = reasons.iter().take(REASONS).map(line).collect();
    let more: usize = reasons.iter().skip(REASONS).map(|(_, shots)| shots.len()).sum();
    if more > 0 {
        lines.push(format!("{} more for other reasons", count(more, "shot")));
    }
    lines
}

/// The shots of a film that lack something, by their ids.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replaced<'a> {
    /// Shots that show a card, because they have neither a picture nor a clip.
    pub cards: Vec<&'a str>,
    /// Shots that are silent, because their voice is missing.
    pub silent: Vec<&'a str>,
}

impl<'a> Replaced<'a> {
    /// Finds what is replaced in the film of this report.
    pub fn of(report: &'a StoryReport) -> Self {
        let has = |step: &Option<StepReport>| step.as_ref().is_some_and(|step| step.digest.is_some());
        let ids = |lacks: &dyn Fn(&ShotReport) -> bool| {
            report.shots.iter().filter(|shot| lacks(shot)).map(|shot| shot.id.as_str()).collect()
        };
        Self {
            cards: ids(&|shot| !has(&shot.picture) && !has(&shot.clip)),
            silent: ids(&|shot| shot.voice.is_some() && !has(&shot.voice)),
        }
    }

    /// Returns up to two lines, such as `2 of 4 shots show a card, as their pictures are missing: a2, b1`.
    pub fn lines(&self, shots: usize) -> Vec<String> {
        let line = |ids: &[&str], one: &str, many: &str| {
            let words = if ids.len() == 1 { one } else { many };
            (!ids.is_empty())
                .then(|| format!("{} of {} {words}: {}", ids.len(), count(shots, "shot"), named(ids)))
        };
        let cards = line(
            &self.cards,
            "shows a card, as its picture is missing",
            "show a card, as their pictures are missing",
        );
        let silent = line(
            &self.silent,
            "is silent, as its voice is missing",
            "are silent, as their voices are missing",
        );
        cards.into_iter().chain(silent).collect()
    }
}

/// Describes the cost of a run.
pub fn cost_words(cost: Option<&Cost>) -> String {
    match cost {
        Some(cost) if cost.amount > 0.0 => format!("cost: {}", tasks::cost(cost)),
        Some(_) => "cost: nothing".to_owned(),
        None => "cost: unknown, because a provider has no price in the configuration".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(state: StepState, provider: &str) -> StepReport {
        StepReport {
            step: "x".to_owned(),
            state,
            task: None,
            digest: None,
            media_type: None,
            path: None,
            provider: Some(provider.to_owned()),
            error: None,
            cost: None,
        }
    }

    #[test]
    fn steps_are_counted_by_what_became_of_them() {
        let mut counts = Counts::default();
        assert_eq!(counts.lines(), Vec::<String>::new());
        for (what, state, provider) in [
            ("voice", StepState::Made, "espeak-ng"),
            ("voice", StepState::Made, "espeak-ng"),
            ("picture", StepState::Made, "studio"),
            ("picture", StepState::Supplied, ""),
            ("picture", StepState::Failed, "studio"),
            ("shot rendered", StepState::Made, "render"),
            ("part of the film", StepState::Cached, "render"),
            ("part of the film", StepState::Cached, "render"),
        ] {
            counts.add(what, &step(state, provider));
        }
        assert_eq!(
            counts.lines(),
            [
                "made now: 2 voices by espeak-ng, 1 picture by studio, 1 shot rendered",
                "from before: 2 parts of the film",
                "your own: 1 picture",
            ]
        );
    }

    #[test]
    fn shots_with_one_reason_share_a_line() {
        let stale = |shot: usize, why: &str| StaleShot {
            shot: format!("a{shot}"),
            stages: vec![
                Stale { stage: "picture", why: Some(why.to_owned()) },
                Stale { stage: "frames", why: None },
            ],
        };
        let mut all: Vec<StaleShot> = (1..=8).map(|shot| stale(shot, "style changed")).collect();
        all.insert(2, stale(20, "prompt changed"));
        assert_eq!(
            stale_lines(&all),
            [
                "a1, a2, a3, a4, a5 and 3 more: picture (style changed), frames",
                "a20: picture (prompt changed), frames"
            ]
        );
        let all: Vec<StaleShot> = (1..=14).map(|shot| stale(shot, &format!("reason {shot}"))).collect();
        assert_eq!(stale_lines(&all).last().map(String::as_str), Some("2 shots more for other reasons"));
    }

    #[test]
    fn shots_that_lack_something_are_named() {
        let replaced = Replaced { cards: vec!["a2"], silent: vec!["a1", "a3"] };
        assert_eq!(
            replaced.lines(4),
            [
                "1 of 4 shots shows a card, as its picture is missing: a2",
                "2 of 4 shots are silent, as their voices are missing: a1, a3"
            ]
        );
        assert_eq!(Replaced::default().lines(4), Vec::<String>::new());
    }

    #[test]
    fn a_cost_is_told_as_it_is_known() {
        let cost = |amount| Cost { amount, currency: "USD".to_owned(), is_estimate: true };
        for (cost, words) in [
            (Some(cost(0.32)), "cost: about 0.32 USD"),
            (Some(cost(0.0)), "cost: nothing"),
            (None, "cost: unknown, because a provider has no price in the configuration"),
        ] {
            assert_eq!(cost_words(cost.as_ref()), words);
        }
    }
}
