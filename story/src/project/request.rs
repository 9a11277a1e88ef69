//! What is requested from providers for a shot: the prompt and the size of its picture, and its voice.

use super::model::{Character, NARRATOR, Project, Shot};

/// Smallest and largest side of a draft, in pixels.
const DRAFT_SIDES: (u32, u32) = (64, 2048);
/// Fewest shots in which a character is seen for which a sheet is made. In a single shot it cannot differ from itself.
const SHEET_SHOTS: usize = 2;

impl Project {
    /// Returns the prompt of a shot's picture: the shot, the looks of its characters and its place, and the style if `names_style` is true. That is
    /// for providers that take the style only as words of the prompt.
    pub fn picture_prompt(&self, shot: &Shot, names_style: bool) -> String {
        let own =
            if shot.picture.trim().is_empty() { shot.text.replace('\n', " ") } else { shot.picture.clone() };
        let mut parts = vec![own];
        let present = self.characters.iter().filter(|character| shot.characters.contains(&character.id));
        parts.extend(present.filter(|character| !character.look.is_empty()).map(|character| {
            let name = if character.name.is_empty() { &character.id } else { &character.name };
            format!("{name}: {}", character.look)
        }));
        let scene = self.scenes.iter().find(|scene| scene.id == shot.scene);
        let place = scene.and_then(|scene| self.places.iter().find(|place| place.id == scene.place));
        parts.extend(place.filter(|place| !place.look.is_empty()).map(|place| place.look.clone()));
        let style = &self.video.style;
        if !style.is_empty() && names_style {
            parts.push(style.clone());
        }
        parts.retain(|part| !part.trim().is_empty());
        if parts.is_empty() {
            parts.push(format!("scene {}", shot.id));
        }
        parts.join(". ")
    }

    /// Returns the characters whose sheets are made: those with a look and without a sheet of their own that one of these shots shows, and that
    /// several shots of the project show in a picture that is made. So a picture is the same whichever of the shots a run is about.
    pub fn sheets<'a>(&'a self, shots: &[&Shot]) -> Vec<&'a Character> {
        if !self.video.sheets {
            return Vec::new();
        }
        let is_drawn = |shot: &&&Shot| shot.picture_file.is_empty() && shot.clip_file.is_empty();
        let shown = |shots: &[&Shot], id: &String| {
            shots.iter().filter(is_drawn).filter(|shot| shot.characters.contains(id)).count()
        };
        let all: Vec<&Shot> = self.shots.iter().collect();
        let characters =
            self.characters.iter().filter(|one| !one.look.trim().is_empty() && one.sheet.is_empty());
        characters.filter(|one| shown(shots, &one.id) > 0 && shown(&all, &one.id) >= SHEET_SHOTS).collect()
    }

    /// Returns the prompt of a character's sheet. It has the style if `names_style` is true.
    pub fn sheet_prompt(&self, character: &Character, names_style: bool) -> String {
        let name = if character.name.is_empty() { &character.id } else { &character.name };
        let style = if names_style && !self.video.style.is_empty() {
            format!(". {}", self.video.style)
        } else {
            String::new()
        };
        format!(
            "Character sheet of {name}: {}. One full figure, standing, facing the viewer, plain light background, no text{style}",
            character.look
        )
    }

    /// Returns the prompt of a shot's picture that is made from the sheets of these characters.
    pub fn prompt_with_sheets(prompt: &str, characters: &[&Character]) -> String {
        let names: Vec<&str> = characters
            .iter()
            .map(|one| if one.name.is_empty() { one.id.as_str() } else { one.name.as_str() })
            .collect();
        format!(
            "{prompt}. The reference pictures show: {}. Keep their faces, hair and clothes",
            names.join(", ")
        )
    }

    /// Returns the size of pictures in pixels. A draft is a fifth larger than the frame, up to the largest side of a draft, so that the camera has
    /// room to move. Models draw a few sizes well, so the one nearest to the film's proportions is requested and the rest is cropped.
    pub fn picture_size(&self, is_draft: bool) -> (u32, u32) {
        let size = self.video.size;
        if is_draft {
            let longest = u64::from(size.width.max(size.height)).max(1);
            let side = |side: u32| {
                let larger = u64::from(side) * (longest * 6 / 5).min(u64::from(DRAFT_SIDES.1)) / longest;
                (larger as u32).next_multiple_of(2).max(DRAFT_SIDES.0)
            };
            return (side(size.width), side(size.height));
        }
        match size.width.cmp(&size.height) {
            std::cmp::Ordering::Greater => (1536, 1024),
            std::cmp::Ordering::Less => (1024, 1536),
            std::cmp::Ordering::Equal => (1024, 1024),
        }
    }

    /// Returns the provider-specific fields of pictures, as JSON. Drafts have no caption, because the words of a film are spoken and subtitled.
    pub const fn picture_extra(is_draft: bool) -> Option<&'static str> {
        if is_draft { Some(r#"{"caption":false}"#) } else { None }
    }

    /// Returns the name of the provider's voice that speaks a shot; None if the provider chooses one.
    pub fn voice_name(&self, shot: &Shot) -> Option<&str> {
        let of_character = || {
            let character = self.characters.iter().find(|character| character.id == shot.speaker)?;
            Some(&character.voice)
        };
        let narrator = || self.voices.get(NARRATOR);
        let voice = self.voices.get(&shot.speaker).or_else(of_character).filter(|voice| !voice.is_empty());
        voice.or_else(narrator).filter(|voice| !voice.is_empty()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use crate::project::read_toml;

    const PROJECT: &str = "version = 1\n[video]\nstyle = \"ink\"\n[voices]\nnarrator = \"en\"\n\
        [[characters]]\nid = \"giant\"\nname = \"the Giant\"\nlook = \"a red beard\"\nvoice = \"low\"\n\
        [[characters]]\nid = \"girl\"\n\
        [[places]]\nid = \"garden\"\nlook = \"a walled garden\"\n[[scenes]]\nid = \"a\"\nplace = \"garden\"\n\
        [[shots]]\nid = \"a1\"\nscene = \"a\"\ntext = \"One.\"\npicture = \"A gate\"\ncharacters = [\"giant\", \"girl\"]\nspeaker = \"giant\"\n\
        [[shots]]\nid = \"s1\"\ntext = \"Two\\nlines.\"\nspeaker = \"girl\"\n[[shots]]\nid = \"s2\"\ntext = \"\"\n";

    #[test]
    fn a_prompt_has_the_looks_and_a_voice_is_found() {
        let project = read_toml(PROJECT).unwrap();
        let asked = |names_style| {
            let ask = |shot| (project.picture_prompt(shot, names_style), project.voice_name(shot));
            project.shots.iter().map(ask).collect::<Vec<_>>()
        };
        assert_eq!(
            asked(false),
            [
                ("A gate. the Giant: a red beard. a walled garden".to_owned(), Some("low")),
                ("Two lines.".to_owned(), Some("en")),
                ("scene s2".to_owned(), Some("en")),
            ]
        );
        assert_eq!(asked(true)[2].0, "ink");
    }

    #[test]
    fn sheets_are_made_of_characters_that_are_seen_again() {
        let mut project = read_toml(PROJECT).unwrap();
        let ids = |project: &crate::project::Project| {
            let shots: Vec<_> = project.shots.iter().collect();
            project.sheets(&shots).into_iter().map(|one| one.id.clone()).collect::<Vec<_>>()
        };
        assert!(ids(&project).is_empty(), "the giant is seen once, and the girl has no look");
        project.shots[1].characters = vec!["giant".to_owned()];
        assert_eq!(ids(&project), ["giant"]);
        project.shots[1].picture_file = "own.png".to_owned();
        assert!(ids(&project).is_empty());
        project.shots[1].picture_file.clear();
        project.video.sheets = false;
        assert!(ids(&project).is_empty());
        let giant = &project.characters[0];
        assert_eq!(
            project.sheet_prompt(giant, true),
            "Character sheet of the Giant: a red beard. One full figure, standing, facing the viewer, plain light background, no text. ink"
        );
    }

    #[test]
    fn drafts_have_the_films_proportions_and_sizes_that_can_be_drawn() {
        let mut project = read_toml(PROJECT).unwrap();
        for (size, draft, picture) in [
            ("320x180", (384, 216), (1536, 1024)),
            ("1920x1080", (2048, 1152), (1536, 1024)),
            ("1080x1920", (1152, 2048), (1024, 1536)),
            ("1080x1080", (1296, 1296), (1024, 1024)),
            ("4096x64", (2048, 64), (1536, 1024)),
        ] {
            project.video.size = size.parse().unwrap();
            assert_eq!((project.picture_size(true), project.picture_size(false)), (draft, picture), "{size}");
        }
    }
}
