//! The sheets of characters: pictures that are made once, and sent with each picture in which the character is seen, so that it stays the same.

use reel_protocol::{Digest, Downgrade, ImageParams, StepReport};
use reel_story::project::{Character, Project, Shot};

use super::Story;
use crate::workflows::{
    run::cache_mode,
    step::{Step, StepEnds},
};

/// Width and height of a sheet, in pixels. All providers make square pictures of this size.
const SIDE: u32 = 1024;

/// The reference pictures of a shot.
pub(super) enum References<'a> {
    /// A sheet is still being made.
    Pending,
    /// The sheets that there are, each with its character. Those that could not be made are left out.
    Known(Vec<(&'a Character, Digest)>),
}

impl Story {
    /// Returns the characters whose sheets are made by steps.
    pub(super) fn sheets(&self) -> Vec<&Character> {
        if self.abilities.max_references == 0 {
            return Vec::new();
        }
        let shots: Vec<&Shot> =
            self.spec.project.shots.iter().filter(|shot| self.is_selected(&shot.id)).collect();
        self.spec.project.sheets(&shots)
    }

    /// Returns the steps that make sheets.
    pub(super) fn sheet_steps(&self, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        let sheets = self.sheets().into_iter().map(|character| (name_of(character), character));
        sheets
            .filter(|(name, _)| !is_known(name))
            .map(|(name, character)| self.sheet_step(name, character))
            .collect()
    }

    fn sheet_step(&self, name: String, character: &Character) -> Step {
        let style = &self.spec.project.video.style;
        let has_known_style = self.abilities.has_known_style;
        let params = ImageParams {
            width: SIDE,
            height: SIDE,
            style: (has_known_style && !style.is_empty()).then(|| style.clone()),
            ..ImageParams::new(self.spec.project.sheet_prompt(character, !has_known_style))
        };
        let mut step = Step::new(name, "image.generate", &params);
        step.spec.cache = cache_mode(false);
        step
    }

    /// Returns the reference pictures of a shot, at most as many as the provider takes: those of its characters, in their order.
    pub(super) fn references(&self, shot: &Shot, ends: &StepEnds) -> References<'_> {
        let made = self.sheets();
        let mut found = Vec::new();
        if self.abilities.max_references > 0 && self.spec.project.video.sheets {
            for id in &shot.characters {
                let Some(character) = self.spec.project.characters.iter().find(|one| one.id == *id) else {
                    continue;
                };
                if let Some(own) = self.supplied(&character.sheet) {
                    found.push((character, own.digest));
                } else if made.iter().any(|one| one.id == character.id) {
                    let Some(end) = ends.get(&name_of(character)) else { return References::Pending };
                    found.extend(end.output.as_ref().map(|output| (character, output.digest)));
                }
            }
        }
        found.truncate(self.abilities.max_references);
        References::Known(found)
    }

    /// Returns the prompt and the input pictures of a shot's picture. None while a sheet is being made.
    pub(super) fn prompt_and_inputs(&self, shot: &Shot, ends: &StepEnds) -> Option<(String, Vec<Digest>)> {
        let References::Known(references) = self.references(shot, ends) else { return None };
        let prompt = self.prompt(shot);
        if references.is_empty() {
            return Some((prompt, Vec::new()));
        }
        let (characters, digests): (Vec<_>, Vec<_>) = references.into_iter().unzip();
        Some((Project::prompt_with_sheets(&prompt, &characters), digests))
    }

    /// Returns the downgrade if a sheet could not be made. The pictures of its character are made without it.
    pub(super) fn missing_sheets(&self, ends: &StepEnds) -> Option<Downgrade> {
        let failed =
            |character: &&Character| ends.get(&name_of(character)).is_some_and(|end| end.output.is_none());
        let names: Vec<&str> = self.sheets().into_iter().filter(failed).map(|one| one.id.as_str()).collect();
        (!names.is_empty()).then(|| Downgrade {
            code: "no_sheet".to_owned(),
            message: format!(
                "there is no sheet of {}, so the character may look different from shot to shot",
                names.join(", ")
            ),
        })
    }

    /// Returns the reports of the sheets.
    pub(super) fn sheet_reports(&self, ends: &StepEnds) -> Vec<StepReport> {
        let names = self.sheets().into_iter().map(name_of);
        names.filter_map(|name| Some(ends.get(&name)?.report(&name))).collect()
    }
}

fn name_of(character: &Character) -> String {
    format!("sheet/{}", character.id)
}
