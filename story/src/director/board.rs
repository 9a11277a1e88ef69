//! The storyboard while it is made, and its result: a project, and a report of how it was made.

use std::{collections::BTreeMap, ops::Range};

use serde::Serialize;

use super::{
    cast::{Cast, Gender},
    check::Described,
    numbered::Numbered,
};
use crate::{
    camera::Camera,
    project::{NARRATOR, Project, Scene, Shot, ShotTransition, Video, camera_of, new_shot, scene_id},
};

/// A finished storyboard.
#[derive(Debug, Clone, PartialEq)]
pub struct Storyboard {
    /// The project. It names no story, and its settings are the usual ones.
    pub project: Project,
    /// The story that the model wrote about a theme; None if the story was given.
    pub story: Option<String>,
    /// How it was made.
    pub report: Report,
}

/// How a storyboard was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The parts of the story, in the order in which they were asked for. A part whose answer was cut is followed by its halves.
    pub chunks: Vec<ChunkReport>,
    /// Why characters and places of a part of the story are missing.
    pub cast_errors: Vec<String>,
    /// Whether the voice of a character is male or female, by the character's id, as far as the model said it.
    pub genders: BTreeMap<String, Gender>,
}

/// How the shots of a part of the story were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChunkReport {
    /// The number of the first sentence, from 1.
    pub from: usize,
    /// The number of the last sentence.
    pub to: usize,
    /// How many requests it took.
    pub requests: usize,
    /// Whether its shots were made by rule, because no answer was usable.
    pub is_by_rule: bool,
    /// What was wrong with the answers.
    pub errors: Vec<String>,
}

/// A shot with its text.
struct Placed {
    scene: usize,
    text: String,
    described: Option<Described>,
    /// Whether it is not the first part of what the model described as one shot.
    is_rest: bool,
}

/// A storyboard that is being made.
pub(super) struct Board {
    pub cast: Cast,
    /// What the model said about the next part.
    pub carry: String,
    pub report: Report,
    shots: Vec<Placed>,
    story: Option<String>,
}

impl Board {
    pub fn new(cast: Cast, story: Option<String>) -> Self {
        Self { cast, carry: String::new(), report: Report::default(), shots: Vec::new(), story }
    }

    /// Adds the shots that a model described. One that would be too long becomes several with the same picture.
    pub fn add(&mut self, numbered: &Numbered, shots: Vec<Described>) {
        for described in shots {
            let texts = numbered.texts(described.sentences.clone());
            for (position, (scene, text)) in texts.into_iter().enumerate() {
                self.shots.push(Placed {
                    scene,
                    text,
                    described: Some(described.clone()),
                    is_rest: position > 0,
                });
            }
        }
    }

    /// Adds sentences as shots by rule.
    pub fn add_by_rule(&mut self, numbered: &Numbered, sentences: Range<usize>) {
        let texts = numbered.texts_by_rule(sentences);
        self.shots.extend(texts.into_iter().map(|(scene, text)| Placed {
            scene,
            text,
            described: None,
            is_rest: false,
        }));
    }

    /// Returns the descriptions of the last pictures, the oldest first.
    pub fn last_pictures(&self, most: usize) -> Vec<String> {
        let described =
            self.shots.iter().filter(|shot| !shot.is_rest).filter_map(|shot| shot.described.as_ref());
        let pictures: Vec<String> =
            described.map(|shot| shot.picture.clone()).filter(|picture| !picture.is_empty()).collect();
        pictures.iter().skip(pictures.len().saturating_sub(most)).cloned().collect()
    }

    /// Returns the storyboard. A scene of the story in which the place changes becomes several scenes.
    pub fn finished(self, numbered: &Numbered) -> Storyboard {
        let (mut scenes, mut shots): (Vec<Scene>, Vec<Shot>) = (Vec::new(), Vec::new());
        let mut current: Option<usize> = None;
        let mut in_scene = 0;
        for placed in &self.shots {
            let place = placed.described.as_ref().and_then(|shot| shot.place.clone());
            let is_new = current != Some(placed.scene);
            let is_elsewhere = scenes.last().is_some_and(|scene| {
                !scene.place.is_empty() && place.as_ref().is_some_and(|place| *place != scene.place)
            });
            if is_new || is_elsewhere {
                let title = numbered.titles.get(placed.scene).cloned().flatten().filter(|_| is_new);
                scenes.push(Scene {
                    id: scene_id(scenes.len()),
                    title: title.unwrap_or_default(),
                    place: String::new(),
                });
                current = Some(placed.scene);
                in_scene = 0;
            }
            let number = shots.len();
            let Some(scene) = scenes.last_mut() else { continue };
            if let Some(place) = place.filter(|_| scene.place.is_empty()) {
                scene.place = place;
            }
            in_scene += 1;
            shots.push(shot(placed, format!("{}{in_scene}", scene.id), scene.id.clone(), camera_of(number)));
        }
        let project = Project {
            version: crate::project::VERSION,
            story: None,
            video: Video::default(),
            voices: BTreeMap::new(),
            characters: self.cast.characters,
            places: self.cast.places,
            scenes,
            shots,
        };
        let report = Report { genders: self.cast.genders, ..self.report };
        Storyboard { project, story: self.story, report }
    }
}

fn shot(placed: &Placed, id: String, scene: String, usual: Camera) -> Shot {
    let plain = new_shot(id, scene, &placed.text, usual);
    let Some(described) = &placed.described else { return plain };
    Shot {
        speaker: described.speaker.clone().unwrap_or_else(|| NARRATOR.to_owned()),
        characters: described.characters.clone(),
        picture: if described.picture.is_empty() { plain.picture.clone() } else { described.picture.clone() },
        camera: described.camera.filter(|_| !placed.is_rest).unwrap_or(plain.camera),
        motion: described.motion.clone(),
        // The parts of one shot show the same picture, so a dissolve between them would only blur it.
        transition: if placed.is_rest { ShotTransition::Cut } else { described.transition },
        ..plain
    }
}
