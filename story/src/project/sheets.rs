//! The sheets of characters and places: pictures that are made once and sent as references with the pictures of shots, so that what they show stays
//! the same from shot to shot.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Character, Place, Project, Shot};

/// Most reference pictures of one picture. With more, models mix up what they show.
pub const MAX_REFERENCES: usize = 4;
/// Width and height of a sheet, in pixels. All providers make square pictures of this size.
pub const SHEET_SIDE: u32 = 1024;
/// Fewest pictures that show a character or a place for which a sheet is made. In a single picture it cannot differ from itself.
const SHEET_SHOTS: usize = 2;

/// Whether a step with this name makes a sheet.
pub fn is_sheet_step(name: &str) -> bool {
    name.starts_with("sheet/") || name.starts_with("place/")
}

/// A character or a place, which a sheet can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The sheet shows one full figure on a plain ground.
    Character(&'a Character),
    /// The sheet shows the place in a wide view, without people.
    Place(&'a Place),
}

impl<'a> Subject<'a> {
    /// The id in the project file.
    pub fn id(self) -> &'a str {
        match self {
            Self::Character(character) => &character.id,
            Self::Place(place) => &place.id,
        }
    }

    /// The name in words: that of a character, or the id.
    pub fn name(self) -> &'a str {
        match self {
            Self::Character(character) if !character.name.is_empty() => &character.name,
            _ => self.id(),
        }
    }

    /// The appearance, as words of a prompt.
    pub fn look(self) -> &'a str {
        match self {
            Self::Character(character) => &character.look,
            Self::Place(place) => &place.look,
        }
    }

    /// The user's own picture of it: a path in a project file, and a digest in a task. Empty for none.
    pub fn sheet(self) -> &'a str {
        match self {
            Self::Character(character) => &character.sheet,
            Self::Place(place) => &place.sheet,
        }
    }

    /// The name of the step that makes its sheet, such as `sheet/giant` or `place/garden`.
    pub fn step(self) -> String {
        match self {
            Self::Character(character) => format!("sheet/{}", character.id),
            Self::Place(place) => format!("place/{}", place.id),
        }
    }

    /// Returns the prompt of its sheet, without the style.
    fn prompt(self) -> String {
        match self {
            Self::Character(_) => format!(
                "Character sheet of {}: {}. One full figure, standing, facing the viewer, plain light background, no text",
                self.name(),
                self.look()
            ),
            Self::Place(_) => {
                format!("{}. The place alone in a wide view, without people, no text", self.look())
            }
        }
    }
}

impl Project {
    /// Returns all characters, then all places.
    pub fn all_subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        self.characters.iter().map(Subject::Character).chain(self.places.iter().map(Subject::Place))
    }

    /// Returns the characters and the place that the picture of a shot shows: the characters in the order of the shot, then the place.
    pub fn subjects(&self, shot: &Shot) -> Vec<Subject<'_>> {
        let character = |id: &String| self.characters.iter().find(|one| one.id == *id);
        let characters = shot.characters.iter().filter_map(character).map(Subject::Character);
        characters.chain(self.place(shot).map(Subject::Place)).collect()
    }

    /// Returns the characters and places whose sheets are made: those with a look and without a sheet of their own that one of these shots shows, and
    /// that several pictures of the project show. So a picture is the same whichever of the shots a run is about.
    pub fn made_sheets(&self, shots: &[&Shot]) -> Vec<Subject<'_>> {
        if !self.video.sheets {
            return Vec::new();
        }
        let of_all: Vec<&Shot> = self.shots.iter().collect();
        let (in_all, in_shots) = (self.pictures_of(&of_all), self.pictures_of(shots));
        let is_made = |one: &Subject<'_>| {
            let step = one.step();
            !one.look().trim().is_empty()
                && one.sheet().is_empty()
                && in_shots.contains_key(&step)
                && in_all.get(&step).is_some_and(|pictures| *pictures >= SHEET_SHOTS)
        };
        self.all_subjects().filter(is_made).collect()
    }

    /// Returns how many pictures of these shots, of those that are made, show each character and place. The keys are the names of their steps.
    fn pictures_of(&self, shots: &[&Shot]) -> BTreeMap<String, usize> {
        let is_drawn = |shot: &&&Shot| shot.picture_file.is_empty() && shot.clip_file.is_empty();
        let mut counts = BTreeMap::new();
        for shot in shots.iter().filter(is_drawn) {
            let shown: BTreeSet<String> = self.subjects(shot).into_iter().map(Subject::step).collect();
            for step in shown {
                *counts.entry(step).or_default() += 1;
            }
        }
        counts
    }

    /// Returns the prompt of a sheet. It has the style if `names_style` is true.
    pub fn sheet_prompt(&self, subject: Subject<'_>, names_style: bool) -> String {
        let prompt = subject.prompt();
        match &self.video.style {
            style if names_style && !style.is_empty() => format!("{prompt}. {style}"),
            _ => prompt,
        }
    }

    /// Returns the prompt of a shot's picture that is made from the sheets of these characters and places.
    pub fn prompt_with_sheets(prompt: &str, subjects: &[Subject<'_>]) -> String {
        let words = |one: &Subject<'_>| match one {
            Subject::Character(_) => one.name().to_owned(),
            Subject::Place(_) => format!("the place ({})", one.name()),
        };
        let names: Vec<String> = subjects.iter().map(words).collect();
        let is_character = |one: &Subject<'_>| matches!(one, Subject::Character(_));
        let kept = match (subjects.iter().any(is_character), subjects.iter().all(is_character)) {
            (true, true) => "their faces, hair and clothes",
            (true, false) => "faces, hair, clothes and the look of the place",
            (false, _) => "the look of the place",
        };
        format!("{prompt}. The reference pictures show: {}. Keep {kept}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::read_toml;

    const PROJECT: &str = "version = 1\n[video]\nstyle = \"ink\"\n\
        [[characters]]\nid = \"giant\"\nname = \"the Giant\"\nlook = \"a red beard\"\n[[characters]]\nid = \"girl\"\n\
        [[places]]\nid = \"garden\"\nlook = \"a walled garden\"\n[[places]]\nid = \"giant\"\nlook = \"a peak\"\n\
        [[scenes]]\nid = \"a\"\nplace = \"garden\"\n[[scenes]]\nid = \"b\"\nplace = \"giant\"\n\
        [[shots]]\nid = \"a1\"\nscene = \"a\"\ntext = \"One.\"\ncharacters = [\"giant\", \"girl\"]\n\
        [[shots]]\nid = \"s1\"\ntext = \"Two.\"\n[[shots]]\nid = \"b1\"\nscene = \"b\"\ntext = \"Three.\"\n";

    fn steps(project: &Project) -> Vec<String> {
        let shots: Vec<_> = project.shots.iter().collect();
        project.made_sheets(&shots).into_iter().map(Subject::step).collect()
    }

    #[test]
    fn sheets_are_made_of_what_is_seen_again() {
        let mut project = read_toml(PROJECT).unwrap();
        assert!(steps(&project).is_empty(), "each is seen once, and the girl has no look");
        project.shots[1].characters = vec!["giant".to_owned()];
        project.shots[1].scene = "a".to_owned();
        assert_eq!(steps(&project), ["sheet/giant", "place/garden"]);
        let only_last = [&project.shots[2]];
        assert!(project.made_sheets(&only_last).is_empty());
        project.places[0].sheet = "own.png".to_owned();
        assert_eq!(steps(&project), ["sheet/giant"]);
        project.shots[1].picture_file = "own.png".to_owned();
        assert!(steps(&project).is_empty());
        project.shots[1].picture_file.clear();
        project.video.sheets = false;
        assert!(steps(&project).is_empty());
    }

    #[test]
    fn prompts_say_what_the_sheets_show() {
        let project = read_toml(PROJECT).unwrap();
        let subjects = project.subjects(&project.shots[0]);
        let asked = |names_style| {
            subjects.iter().map(|one| project.sheet_prompt(*one, names_style)).collect::<Vec<_>>()
        };
        assert_eq!(
            asked(true)[0],
            "Character sheet of the Giant: a red beard. One full figure, standing, facing the viewer, plain light background, no text. ink"
        );
        assert_eq!(
            asked(false)[2],
            "a walled garden. The place alone in a wide view, without people, no text"
        );
        for (shown, words) in [
            (&subjects[..1], "the Giant. Keep their faces, hair and clothes"),
            (
                &subjects[..],
                "the Giant, girl, the place (garden). Keep faces, hair, clothes and the look of the place",
            ),
            (&subjects[2..], "the place (garden). Keep the look of the place"),
        ] {
            assert_eq!(
                Project::prompt_with_sheets("A gate", shown),
                format!("A gate. The reference pictures show: {words}")
            );
        }
    }
}
