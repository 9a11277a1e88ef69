//! The texts that are shown over shots without being spoken: the title of the film, the titles of its chapters, and the end card.

use super::model::{Project, Shot};

/// What is shown over a shot before its narration. At least one of the texts is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The title of the film; empty if the shot is not the first one.
    pub title: &'a str,
    /// The title of the chapter; empty if no chapter begins here.
    pub chapter: &'a str,
}

impl Opening<'_> {
    /// Returns its texts, each on a line of its own.
    pub fn lines(&self) -> String {
        [self.title, self.chapter].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }
}

impl Project {
    /// Returns what is shown over a shot before its narration. None if nothing is shown.
    pub fn opening(&self, index: usize) -> Option<Opening<'_>> {
        let title = if index == 0 { self.video.title.trim() } else { "" };
        let chapter = if self.video.chapter_titles { self.chapter(index).unwrap_or_default() } else { "" };
        // A story often begins with its own title as a heading.
        let chapter = if chapter.to_lowercase() == title.to_lowercase() { "" } else { chapter };
        (!title.is_empty() || !chapter.is_empty()).then_some(Opening { title, chapter })
    }

    /// Returns the title of the scene that begins with this shot.
    fn chapter(&self, index: usize) -> Option<&str> {
        let shot = self.shots.get(index)?;
        let is_of_scene = |other: &Shot| other.scene == shot.scene;
        if self.shots.iter().position(is_of_scene) != Some(index) {
            return None;
        }
        let scene = self.scenes.iter().find(|scene| scene.id == shot.scene)?;
        Some(scene.title.trim())
    }

    /// Returns what is shown over a shot after its narration. None if nothing is shown.
    pub fn end_card(&self, index: usize) -> Option<&str> {
        let text = self.video.end_card.trim();
        (index + 1 == self.shots.len() && !text.is_empty()).then_some(text)
    }

    /// Returns all texts that are shown over the shot, one after the other. Empty if there are none.
    pub fn titles(&self, index: usize) -> String {
        let opening = self.opening(index).map(|opening| opening.lines());
        let texts = opening.into_iter().chain(self.end_card(index).map(str::to_owned));
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Removes the title, the end card and the titles of chapters from the film.
    pub fn remove_titles(&mut self) {
        self.video.title.clear();
        self.video.end_card.clear();
        self.video.chapter_titles = false;
    }
}

#[cfg(test)]
mod tests {
    use crate::project::read_toml;

    const PROJECT: &str = "version = 1\n[video]\ntitle = \" The Lamp \"\nend_card = \"The End\"\nchapter_titles = true\n\
        [[scenes]]\nid = \"a\"\ntitle = \"I\"\n[[scenes]]\nid = \"b\"\n[[scenes]]\nid = \"c\"\ntitle = \"III\"\n\
        [[shots]]\nscene = \"a\"\ntext = \"\"\n[[shots]]\nscene = \"a\"\ntext = \"\"\n[[shots]]\nscene = \"b\"\ntext = \"\"\n\
        [[shots]]\nscene = \"c\"\ntext = \"\"\n[[shots]]\ntext = \"\"\n[[shots]]\nscene = \"a\"\ntext = \"\"\n";

    #[test]
    fn titles_are_shown_over_the_first_shots_and_the_last_one() {
        let mut project = read_toml(PROJECT).unwrap();
        let shown = |project: &crate::project::Project| {
            (0..6).map(|index| project.titles(index).replace('\n', "|")).collect::<Vec<_>>()
        };
        assert_eq!(shown(&project), ["The Lamp|I", "", "", "III", "", "The End"]);
        project.scenes[0].title = "the lamp".to_owned();
        assert_eq!(project.titles(0), "The Lamp", "the same title is shown once");
        project.video.chapter_titles = false;
        assert_eq!(shown(&project), ["The Lamp", "", "", "", "", "The End"]);
        project.shots.truncate(1);
        assert_eq!(project.titles(0), "The Lamp\nThe End");
        project.remove_titles();
        assert_eq!(project.titles(0), "");
    }
}
