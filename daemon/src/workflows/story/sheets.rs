//! The sheets of characters and places: pictures that are made once, and sent with each picture in which these are seen, so that they stay the same.

use reel_protocol::{Digest, Downgrade, ImageParams, StepReport, StepState};
use reel_story::project::{Project, SHEET_SIDE, Shot, Subject};

use super::Story;
use crate::workflows::step::{Step, StepEnd, StepEnds};

impl Story {
    /// Returns the characters and places whose sheets are made by steps.
    pub(super) fn made_sheets(&self) -> impl Iterator<Item = Subject<'_>> {
        self.spec.project.all_subjects().filter(|one| self.sheets.contains(&one.step()))
    }

    /// Returns the steps that make sheets.
    pub(super) fn sheet_steps(&self, is_known: &dyn Fn(&str) -> bool) -> Vec<Step> {
        self.made_sheets().filter(|one| !is_known(&one.step())).map(|one| self.sheet_step(one)).collect()
    }

    fn sheet_step(&self, subject: Subject<'_>) -> Step {
        let style = &self.spec.project.video.style;
        let has_known_style = self.abilities.has_known_style;
        let params = ImageParams {
            width: SHEET_SIDE,
            height: SHEET_SIDE,
            style: (has_known_style && !style.is_empty()).then(|| style.clone()),
            ..ImageParams::new(self.spec.project.sheet_prompt(subject, !has_known_style))
        };
        Step::new(subject.step(), "image.generate", &params)
    }

    /// Returns the reference pictures of a shot with what they show, at most as many as the provider takes. Sheets that could not be made are left out.
    /// None while a sheet is being made, or is held and must not be missing.
    fn references(&self, shot: &Shot, ends: &StepEnds) -> Option<Vec<(Subject<'_>, Digest)>> {
        if self.abilities.max_references == 0 {
            return Some(Vec::new());
        }
        let mut found = Vec::new();
        for subject in self.spec.project.subjects(shot) {
            if let Some(own) = self.supplied(subject.sheet()) {
                found.push((subject, own.digest));
            } else if self.sheets.contains(&subject.step()) {
                let end = ends.get(&subject.step()).filter(|end| !self.is_awaited(end))?;
                found.extend(end.output.as_ref().map(|output| (subject, output.digest)));
            }
        }
        found.truncate(self.abilities.max_references);
        Some(found)
    }

    /// Whether pictures wait for this sheet: it is held, and a person decides about it.
    fn is_awaited(&self, end: &StepEnd) -> bool {
        end.state == StepState::Held && !self.spec.params.allow_missing
    }

    /// Returns the sheet for which the picture of a shot waits because it is held, with the end of its step.
    pub(super) fn held_sheet<'a>(
        &'a self,
        shot: &Shot,
        ends: &'a StepEnds,
    ) -> Option<(Subject<'a>, &'a StepEnd)> {
        let subjects = self.spec.project.subjects(shot).into_iter();
        subjects
            .filter(|one| self.sheets.contains(&one.step()))
            .filter_map(|one| Some((one, ends.get(&one.step())?)))
            .find(|(_, end)| self.is_awaited(end))
    }

    /// Returns the prompt and the input pictures of a shot's picture. None while it waits for a sheet.
    pub(super) fn prompt_and_inputs(&self, shot: &Shot, ends: &StepEnds) -> Option<(String, Vec<Digest>)> {
        let (subjects, digests): (Vec<_>, Vec<_>) = self.references(shot, ends)?.into_iter().unzip();
        let prompt = self.prompt(shot);
        if subjects.is_empty() {
            return Some((prompt, Vec::new()));
        }
        Some((Project::prompt_with_sheets(&prompt, &subjects), digests))
    }

    /// Returns the downgrade if sheets could not be made. The pictures of what they show are made without them.
    pub(super) fn missing_sheets(&self, ends: &StepEnds) -> Option<Downgrade> {
        let is_missing = |one: &Subject<'_>| {
            ends.get(&one.step()).is_some_and(|end| end.output.is_none() && !self.is_awaited(end))
        };
        let names: Vec<&str> = self.made_sheets().filter(is_missing).map(Subject::id).collect();
        (!names.is_empty()).then(|| Downgrade {
            code: "no_sheet".to_owned(),
            message: format!(
                "there is no sheet of {}, which may look different from shot to shot",
                names.join(", ")
            ),
        })
    }

    /// Returns the reports of the sheets.
    pub(super) fn sheet_reports(&self, ends: &StepEnds) -> Vec<StepReport> {
        let names = self.made_sheets().map(Subject::step);
        names.filter_map(|name| Some(ends.get(&name)?.report(&name))).collect()
    }
}
