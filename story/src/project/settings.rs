//! Changes the settings that all shots share. Comments and order of the file are preserved.

use toml_edit::{Array, Item, Table, Value};

use super::{
    file::ProjectFile,
    model::{FrameSize, Subtitles},
};
use crate::timeline::Transition;

/// A setting of the whole film, with its new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// The size of the film.
    Size(FrameSize),
    /// The style of the pictures.
    Style(String),
    /// The transition between shots that do not set their own.
    Transition(Transition),
    /// The forms in which subtitles are made.
    Subtitles(Vec<Subtitles>),
    /// The file with background music; empty for none.
    Music(String),
    /// The language of the text, as a BCP 47 tag; empty to detect it.
    Language(String),
    /// The film's title; empty for none.
    Title(String),
    /// The text at the end of the film; empty for none.
    EndCard(String),
    /// Whether the titles of scenes are shown.
    ChapterTitles(bool),
    /// The voice of a speaker.
    Voice {
        /// The speaker, which is a key of `voices`.
        speaker: String,
        /// The name of a provider's voice.
        voice: String,
    },
}

/// A setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// The field, such as `video.size`.
    pub field: String,
    /// The value before, as TOML; empty if the file did not have the field.
    pub before: String,
    /// The new value, as TOML.
    pub after: String,
}

impl Setting {
    fn value(&self) -> Value {
        match self {
            Self::Size(size) => size.to_string().into(),
            Self::Style(text)
            | Self::Music(text)
            | Self::Language(text)
            | Self::Title(text)
            | Self::EndCard(text)
            | Self::Voice { voice: text, .. } => text.into(),
            Self::ChapterTitles(are_shown) => (*are_shown).into(),
            Self::Transition(Transition::Cut) => "cut".into(),
            Self::Transition(Transition::Dissolve) => "dissolve".into(),
            Self::Subtitles(forms) => {
                let names = forms.iter().map(|form| match form {
                    Subtitles::Burn => "burn",
                    Subtitles::Track => "track",
                    Subtitles::Srt => "srt",
                });
                Value::Array(names.collect::<Array>())
            }
        }
    }

    fn field(&self) -> (&'static str, &str) {
        match self {
            Self::Size(_) => ("video", "size"),
            Self::Style(_) => ("video", "style"),
            Self::Transition(_) => ("video", "transition"),
            Self::Subtitles(_) => ("video", "subtitles"),
            Self::Music(_) => ("video", "music"),
            Self::Language(_) => ("video", "language"),
            Self::Title(_) => ("video", "title"),
            Self::EndCard(_) => ("video", "end_card"),
            Self::ChapterTitles(_) => ("video", "chapter_titles"),
            Self::Voice { speaker, .. } => ("voices", speaker),
        }
    }
}

impl ProjectFile {
    /// Changes a setting and returns the change. None if the project had this value before; the file then stays unchanged.
    pub fn set(&mut self, setting: &Setting) -> Option<SettingChange> {
        let former = (self.project.video.clone(), self.project.voices.clone());
        self.reflect(setting);
        if former == (self.project.video.clone(), self.project.voices.clone()) {
            return None;
        }
        let (table, key) = setting.field();
        let mut value = setting.value();
        let after = value.to_string();
        let section = self.document.entry(table).or_insert_with(|| Item::Table(Table::new()));
        let before = if let Some(old) = section.get_mut(key).and_then(Item::as_value_mut) {
            let before = old.clone().decorated("", "").to_string();
            *value.decor_mut() = old.decor().clone();
            *old = value;
            before
        } else {
            section.as_table_like_mut()?.insert(key, Item::Value(value));
            String::new()
        };
        Some(SettingChange { field: format!("{table}.{key}"), before, after })
    }

    /// Sets the value in the parsed project too.
    fn reflect(&mut self, setting: &Setting) {
        let video = &mut self.project.video;
        match setting.clone() {
            Setting::Size(size) => video.size = size,
            Setting::Style(style) => video.style = style,
            Setting::Transition(change) => video.transition = change,
            Setting::Subtitles(forms) => video.subtitles = forms,
            Setting::Music(file) => video.music = file,
            Setting::Language(language) => video.language = language,
            Setting::Title(text) => video.title = text,
            Setting::EndCard(text) => video.end_card = text,
            Setting::ChapterTitles(are_shown) => video.chapter_titles = are_shown,
            Setting::Voice { speaker, voice } => drop(self.project.voices.insert(speaker, voice)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::read_toml;

    const FILE: &str = "# Mine.\nversion = 1\nvideo = { size = \"640x360\", style = \"ink\" } # one line\n\n\
        [voices]\n# Who speaks.\nnarrator = 'old' # the narrator\n\n[[shots]]\nid = \"a1\"\ntext = \"One.\"\n";

    #[test]
    fn settings_change_their_value_and_nothing_else() {
        let mut file = ProjectFile::parse(FILE).unwrap();
        let voice = |speaker: &str, voice: &str| Setting::Voice {
            speaker: speaker.to_owned(),
            voice: voice.to_owned(),
        };
        for (setting, expected) in [
            (Setting::Size("9:16".parse().unwrap()), Some(("video.size", "\"640x360\"", "\"1080x1920\""))),
            (Setting::Size("9:16".parse().unwrap()), None),
            (Setting::Style("ink".to_owned()), None),
            (Setting::Transition(Transition::Dissolve), None),
            (Setting::Transition(Transition::Cut), Some(("video.transition", "", "\"cut\""))),
            (
                Setting::Subtitles(vec![Subtitles::Track, Subtitles::Srt]),
                Some(("video.subtitles", "", "[\"track\", \"srt\"]")),
            ),
            (Setting::Subtitles(Vec::new()), Some(("video.subtitles", "[\"track\", \"srt\"]", "[]"))),
            (Setting::Music("it's.mp3".to_owned()), Some(("video.music", "", "\"it's.mp3\""))),
            (Setting::Language("zh".to_owned()), Some(("video.language", "", "\"zh\""))),
            (Setting::Title("A \"b\"".to_owned()), Some(("video.title", "", "'A \"b\"'"))),
            (Setting::EndCard(String::new()), None),
            (Setting::EndCard("End".to_owned()), Some(("video.end_card", "", "\"End\""))),
            (Setting::ChapterTitles(true), Some(("video.chapter_titles", "", "true"))),
            (voice("narrator", "new"), Some(("voices.narrator", "'old'", "\"new\""))),
            (voice("the giant", "low"), Some(("voices.the giant", "", "\"low\""))),
        ] {
            let changed = file.set(&setting);
            let changed = changed
                .as_ref()
                .map(|change| (change.field.as_str(), change.before.as_str(), change.after.as_str()));
            assert_eq!(changed, expected, "{setting:?}");
        }
        let text = file.to_string();
        assert_eq!(&read_toml(&text).unwrap(), file.project(), "{text}");
        for kept in ["# Mine.", "# one line", "# Who speaks.\nnarrator = \"new\" # the narrator\n"] {
            assert!(text.contains(kept), "{text}");
        }
    }
}
