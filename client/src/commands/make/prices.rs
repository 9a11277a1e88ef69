//! The prices of the steps of a story, which a dry run shows.

use reel_client::Session;
use reel_protocol::TaskSpec;
use reel_story::project::Shot;
use serde::Serialize;

use super::outline::count;
use crate::{
    dry_run::{self, Summary, price_words},
    exit::Exit,
    failure::Failure,
};

/// The summaries of the steps of a story, by what they make.
#[derive(Debug, Default, Serialize)]
pub struct Prices {
    /// The requests to a language model for the storyboard.
    pub storyboard: Summary,
    /// The voices of shots.
    pub voices: Summary,
    /// The pictures of shots.
    pub pictures: Summary,
    /// The sheets of characters and places.
    pub sheets: Summary,
    /// The clips. A clip depends on its picture, so it is unknown whether the cache has it before its picture is made.
    pub clips: Summary,
    /// Steps that no provider can carry out, such as `a3: picture: …`.
    pub refused: Vec<String>,
    /// Number of steps that this computer renders: the shots.
    pub rendered: usize,
}

impl Prices {
    /// Adds the price of a step. Returns whether the cache has its result.
    pub async fn add(
        &mut self,
        session: &Session,
        shot: &Shot,
        stage: &str,
        spec: &TaskSpec,
    ) -> Result<bool, Failure> {
        let summary = match stage {
            "voice" => &mut self.voices,
            "picture" => &mut self.pictures,
            _ => &mut self.clips,
        };
        match dry_run::ask(session, spec).await {
            Ok(result) => {
                summary.add(&result);
                Ok(result.is_cached)
            }
            Err(failure) if failure.exit == Exit::BadData || failure.exit == Exit::Config => {
                self.refused.push(format!("{}: {stage}: {}", shot.id, failure.error.message));
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Returns one line for each kind of step, such as `voices: 3 are in the cache, 25 to make by espeak-ng; cost: nothing`, and the total.
    pub fn lines(&self) -> Vec<String> {
        let named = [
            ("storyboard", &self.storyboard),
            ("voices", &self.voices),
            ("sheets of characters and places", &self.sheets),
            ("pictures", &self.pictures),
            ("clips", &self.clips),
        ];
        let mut lines: Vec<String> = named
            .iter()
            .filter(|(_, summary)| summary.requests > 0)
            .map(|(name, summary)| {
                let verb = if *name == "storyboard" { "to ask of" } else { "to make by" };
                format!("{name}: {}", summary.parts(verb))
            })
            .collect();
        if self.rendered > 0 {
            lines.push(format!("film: {} to render on this computer", count(self.rendered, "shot")));
        }
        lines.extend(self.refused.iter().map(|refused| format!("no provider can make {refused}")));
        let mut total = Summary::default();
        for (_, summary) in named {
            total.merge(summary);
        }
        lines.push(format!("cost of the run: {}", price_words(&total)));
        lines
    }
}
