//! A line of a batch that asks another service than that of pictures. It has a kind, unchecked params and a file name. Pure.

use serde_json::{Map, Value};

/// The kind of a line that names no kind.
pub const PICTURE: &str = "image.generate";

/// The params that hold a task's text, in the order in which they are tried as its title.
const WORDS: [&str; 2] = ["text", "prompt"];

/// A request to another service.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    /// The kind of the task, `service.method`, such as `voice.speak`.
    pub kind: String,
    /// The params. Their names and types are checked where the kind is known.
    pub params: Map<String, Value>,
}

impl Other {
    /// Takes `kind` and `name` out of a line's fields and returns the request. None if it asks for a picture.
    pub fn take(fields: &mut Map<String, Value>) -> Result<Option<Self>, String> {
        match fields.remove("kind") {
            None => Ok(None),
            Some(Value::String(kind)) if kind == PICTURE => Ok(None),
            Some(Value::String(kind)) => {
                fields.remove("name");
                Ok(Some(Self { kind, params: std::mem::take(fields) }))
            }
            Some(_) => Err("`kind` is not a string, such as \"voice.speak\"".to_owned()),
        }
    }

    /// Returns the title of the task: its text or prompt, otherwise its kind.
    pub fn title(&self) -> String {
        let words = WORDS.into_iter().find_map(|key| self.params.get(key)?.as_str());
        words.unwrap_or(&self.kind).to_owned()
    }

    /// Removes the extension from a name, if it fits the kind. For speech it also sets the param `format` from the extension, unless the line sets
    /// it.
    pub fn take_ending<'a>(&mut self, name: &'a str) -> &'a str {
        let split = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
        let Some((stem, ending)) = split.map(|(stem, ending)| (stem, ending.to_ascii_lowercase())) else {
            return name;
        };
        let fits = match self.kind.as_str() {
            "voice.speak" => ["wav", "mp3"].contains(&ending.as_str()),
            "video.generate" => ["mp4", "webm", "mov"].contains(&ending.as_str()),
            "text.chat" => ["txt", "json", "md"].contains(&ending.as_str()),
            _ => false,
        };
        if fits && self.kind == "voice.speak" && !self.params.contains_key("format") {
            self.params.insert("format".to_owned(), ending.into());
        }
        if fits { stem } else { name }
    }
}

/// Returns the most likely media type of a result of this kind.
pub fn media_type(kind: &str) -> &'static str {
    match kind.split('.').next() {
        Some("voice") => "audio/wav",
        Some("video") => "video/mp4",
        Some("text" | "translate") => "text/plain",
        _ => "image/png",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(json: &str) -> Result<Option<Other>, String> {
        Other::take(&mut serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_line_with_a_kind_is_of_that_service() {
        assert_eq!(take(r#"{"prompt":"a"}"#), Ok(None));
        assert_eq!(take(r#"{"kind":"image.generate","prompt":"a"}"#), Ok(None));
        assert!(take(r#"{"kind":7}"#).is_err());
        let mut line = take(r#"{"kind":"voice.speak","name":"x","text":"Hello."}"#).unwrap().unwrap();
        assert_eq!((line.title().as_str(), line.params.len()), ("Hello.", 1));
        assert_eq!(line.take_ending("one.two"), "one.two");
        assert_eq!(line.take_ending("line.MP3"), "line");
        assert_eq!(line.params["format"], "mp3");
        assert_eq!(take(r#"{"kind":"debug.sleep"}"#).unwrap().unwrap().title(), "debug.sleep");
    }
}
