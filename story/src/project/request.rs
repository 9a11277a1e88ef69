//! What is requested from providers for a shot: the prompt and the size of its picture, and its voice.

use super::{
    model::{NARRATOR, Place, Project, Shot},
    sheets::Subject,
};

/// The value of `last_picture` for the shot that follows.
const NEXT: &str = "next";
/// Smallest and largest side of a draft, in pixels.
const DRAFT_SIDES: (u32, u32) = (64, 2048);

impl Project {
    /// Returns the prompt of a shot's picture: the shot, the looks of its characters and its place, and the style if `names_style` is true. That is
    /// for providers that take the style only as words of the prompt.
    pub fn picture_prompt(&self, shot: &Shot, names_style: bool) -> String {
        let own =
            if shot.picture.trim().is_empty() { shot.text.replace('\n', " ") } else { shot.picture.clone() };
        let mut parts = vec![own];
        let characters = self.characters.iter().filter(|one| shot.characters.contains(&one.id));
        let subjects = characters.map(Subject::Character).chain(self.place(shot).map(Subject::Place));
        parts.extend(subjects.filter(|one| !one.look().is_empty()).map(|one| match one {
            Subject::Character(_) => format!("{}: {}", one.name(), one.look()),
            Subject::Place(_) => one.look().to_owned(),
        }));
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

    /// Returns the place at which a shot happens: that of its scene.
    pub fn place(&self, shot: &Shot) -> Option<&Place> {
        let scene = self.scenes.iter().find(|scene| scene.id == shot.scene)?;
        self.places.iter().find(|place| place.id == scene.place)
    }

    /// Returns the shot whose picture the video of a shot ends with. None if it ends as it likes, or if the field names no other shot.
    pub fn last_picture(&self, index: usize) -> Option<&Shot> {
        let shot = self.shots.get(index)?;
        match shot.last_picture.as_str() {
            "" => None,
            NEXT => self.shots.get(index + 1),
            id => self.shots.iter().find(|other| other.id == id && other.id != shot.id),
        }
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
    fn a_video_may_end_with_the_picture_of_another_shot() {
        let mut project = read_toml(PROJECT).unwrap();
        for (index, value, expected) in [
            (0, "", None),
            (0, "next", Some("s1")),
            (0, "s2", Some("s2")),
            (0, "a1", None),
            (0, "s9", None),
            (2, "next", None),
        ] {
            project.shots[index].last_picture = value.to_owned();
            let found = project.last_picture(index).map(|shot| shot.id.as_str());
            assert_eq!(found, expected, "{index} {value}");
        }
        let wrong = PROJECT.replace("id = \"s2\"", "id = \"s2\"\nlast_picture = \"next\"");
        assert!(read_toml(&wrong).unwrap_err().to_string().contains("which is no other shot"));
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
