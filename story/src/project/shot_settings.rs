//! Changes a field of one shot. Comments and order of the file are preserved.

use toml_edit::{Item, Table, Value, value};

use super::file::ProjectFile;

/// A field of one shot, with its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShotSetting<'a> {
    /// The prompt of the picture.
    Picture(&'a str),
    /// Whether a video is generated from the picture.
    Clip(bool),
    /// The number of the picture among those of the same prompt.
    Sample(u64),
}

impl ProjectFile {
    /// Changes a field of the shot with this id. Returns whether the file has changed: it has not if there is no such shot, or if the field had this
    /// value before. A field with its default value is removed, unless it has a comment.
    pub fn set_shot(&mut self, id: &str, setting: ShotSetting<'_>) -> bool {
        let Some(index) = self.project.shots.iter().position(|shot| shot.id == id) else { return false };
        let Some(shot) = self.project.shots.get_mut(index) else { return false };
        let (key, new, is_default) = match setting {
            ShotSetting::Picture(picture) => {
                if std::mem::replace(&mut shot.picture, picture.to_owned()) == picture {
                    return false;
                }
                ("picture", Value::from(picture), picture.is_empty())
            }
            ShotSetting::Clip(clip) => {
                if std::mem::replace(&mut shot.clip, clip) == clip {
                    return false;
                }
                ("clip", Value::from(clip), !clip)
            }
            ShotSetting::Sample(sample) => {
                if std::mem::replace(&mut shot.sample, sample) == sample {
                    return false;
                }
                // A number that TOML cannot hold is refused where the option is read.
                ("sample", Value::from(i64::try_from(sample).unwrap_or(i64::MAX)), sample == 0)
            }
        };
        let mut tables = self.take_shots();
        if let Some(table) = tables.get_mut(index) {
            write(table, key, new, is_default);
        }
        self.document.insert("shots", Item::ArrayOfTables(tables));
        true
    }
}

fn write(table: &mut Table, key: &str, mut new: Value, is_default: bool) {
    if is_default && !has_comment(table, key) {
        table.remove(key);
        return;
    }
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => drop(table.insert(key, value(new))),
    }
}

/// Whether there is a comment above a field or after its value.
fn has_comment(table: &Table, key: &str) -> bool {
    let Some((key, item)) = table.get_key_value(key) else { return false };
    let decors = [Some(key.leaf_decor()), item.as_value().map(Value::decor)];
    decors.into_iter().flatten().any(|decor| {
        let parts = [decor.prefix(), decor.suffix()];
        parts.into_iter().flatten().filter_map(|part| part.as_str()).any(|part| part.contains('#'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::read_toml;

    const FILE: &str = "version = 1\n\n# The first.\n[[shots]]\nid = \"a1\" # mine\ntext = \"One.\"\n\n\
        [[shots]]\nid = \"a2\"\ntext = \"Two.\"\nclip = true\n# Why.\nsample = 3\n\n\
        [[shots]]\nid = \"a3\"\ntext = \"Three.\"\nclip = true # moves\n";

    #[test]
    fn a_field_of_one_shot_changes_and_comments_stay() {
        let mut file = ProjectFile::parse(FILE).unwrap();
        for (id, setting, is_changed) in [
            ("a1", ShotSetting::Clip(true), true),
            ("a1", ShotSetting::Clip(true), false),
            ("a1", ShotSetting::Sample(0), false),
            ("a2", ShotSetting::Clip(false), true),
            ("a2", ShotSetting::Sample(0), true),
            ("a3", ShotSetting::Clip(false), true),
            ("a3", ShotSetting::Sample(2), true),
            ("a4", ShotSetting::Clip(true), false),
        ] {
            assert_eq!(file.set_shot(id, setting), is_changed, "{id} {setting:?}");
            assert_eq!(&read_toml(&file.to_string()).unwrap(), file.project(), "{id} {setting:?}");
        }
        let expected = FILE
            .replace("\"One.\"\n", "\"One.\"\nclip = true\n")
            .replace("\"Two.\"\nclip = true\n# Why.\nsample = 3\n", "\"Two.\"\n# Why.\nsample = 0\n")
            .replace("clip = true # moves\n", "clip = false # moves\nsample = 2\n");
        assert_eq!(file.to_string(), expected);
    }

    #[test]
    fn shots_in_one_line_can_be_changed_too() {
        let text = "version = 1\nshots = [{ id = \"a1\", text = \"One.\" }]\n";
        let mut file = ProjectFile::parse(text).unwrap();
        assert!(file.set_shot("a1", ShotSetting::Clip(true)));
        assert_eq!(&read_toml(&file.to_string()).unwrap(), file.project());
    }
}
