//! The placeholders of a command's arguments, and their values for one request. Pure.

use std::collections::BTreeMap;

use crate::nearest::nearest;

/// Words per minute at speed 1: the default of espeak-ng. The defaults of other programs are close to it.
const WORDS_PER_MINUTE: f64 = 175.0;

/// A name that an argument may have in braces, and that is replaced by a value of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// The text that the program must speak.
    Text,
    /// The path of a file that holds the text or the prompt.
    TextFile,
    /// The prompt of a picture or a video, or the conversation that a language model answers.
    Prompt,
    /// The system prompt of a language model. It includes the JSON Schema of the answer, if the request has one.
    System,
    /// The sampling temperature of a language model.
    Temperature,
    /// Largest number of tokens of an answer.
    MaxTokens,
    /// What must not be in the picture.
    NegativePrompt,
    /// The voice, as the program names it.
    Voice,
    /// The language, as a BCP 47 tag.
    Language,
    /// The speed of speech, where 1 is the usual one.
    Speed,
    /// The speed of speech in words per minute.
    WordsPerMinute,
    /// The inverse of the speed of speech, as piper expects it.
    LengthScale,
    /// The change of the speed of speech as a signed percentage, as edge-tts expects it: `+20%`.
    RatePercent,
    /// The model that the request names, or else the configured one.
    Model,
    /// The width of the picture or the video, in pixels.
    Width,
    /// The height of the picture or the video, in pixels.
    Height,
    /// The seed of the request, or the one that the daemon chose. Each further picture of a request adds 1.
    Seed,
    /// The number of sampling steps.
    Steps,
    /// How closely the picture follows the prompt (the guidance scale).
    Guidance,
    /// How much an input picture is changed, from 0 to 1.
    Strength,
    /// The length of a video, in seconds.
    Duration,
    /// The frames per second of a video.
    Fps,
    /// The path of the input picture.
    InputImage,
    /// The path of the mask: a picture that says where the input picture may change.
    Mask,
    /// The path of the file that the program must write.
    Output,
    /// The program's working directory, which is removed after the run.
    Directory,
}

/// What a value may contain. It decides what happens to a leading minus sign, for which a program could take the value for an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Any text that a person writes. A leading minus sign gets a space in front, unless it follows `--`.
    Text,
    /// A name. A leading minus sign is refused.
    Word,
    /// A number or an absolute path. A leading minus sign is kept, as the number may be negative.
    Own,
}

impl Placeholder {
    /// All placeholders, with their names and shapes.
    pub const ALL: &[(Self, &'static str, Shape)] = &[
        (Self::Text, "text", Shape::Text),
        (Self::TextFile, "text_file", Shape::Own),
        (Self::Prompt, "prompt", Shape::Text),
        (Self::System, "system", Shape::Text),
        (Self::Temperature, "temperature", Shape::Own),
        (Self::MaxTokens, "max_tokens", Shape::Own),
        (Self::NegativePrompt, "negative_prompt", Shape::Text),
        (Self::Voice, "voice", Shape::Word),
        (Self::Language, "language", Shape::Word),
        (Self::Speed, "speed", Shape::Own),
        (Self::WordsPerMinute, "words_per_minute", Shape::Own),
        (Self::LengthScale, "length_scale", Shape::Own),
        (Self::RatePercent, "rate_percent", Shape::Own),
        (Self::Model, "model", Shape::Word),
        (Self::Width, "width", Shape::Own),
        (Self::Height, "height", Shape::Own),
        (Self::Seed, "seed", Shape::Own),
        (Self::Steps, "steps", Shape::Own),
        (Self::Guidance, "guidance", Shape::Own),
        (Self::Strength, "strength", Shape::Own),
        (Self::Duration, "duration", Shape::Own),
        (Self::Fps, "fps", Shape::Own),
        (Self::InputImage, "input_image", Shape::Own),
        (Self::Mask, "mask", Shape::Own),
        (Self::Output, "output", Shape::Own),
        (Self::Directory, "directory", Shape::Own),
    ];

    /// Returns the placeholder of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(placeholder, ..)| *placeholder)
    }

    /// Returns the name that an argument has in braces.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or("", |(_, name, _)| name)
    }

    /// Returns what the placeholder's value may contain.
    pub fn shape(self) -> Shape {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or(Shape::Word, |(.., shape)| *shape)
    }

    /// Returns the name of a placeholder that is most similar to a mistyped one; `None` if no name is similar enough.
    pub fn nearest(wrong: &str) -> Option<&'static str> {
        nearest(wrong, Self::ALL.iter().map(|(_, name, _)| *name))
    }
}

/// The values of one request. A placeholder without a value is absent from the request.
#[derive(Debug, Clone, Default)]
pub struct Values(BTreeMap<Placeholder, String>);

impl Values {
    /// Sets the value of a placeholder, and replaces an earlier one.
    #[must_use]
    pub fn with(mut self, placeholder: Placeholder, value: impl Into<String>) -> Self {
        self.set(placeholder, value);
        self
    }

    /// Sets the value of a placeholder, and replaces an earlier one.
    pub fn set(&mut self, placeholder: Placeholder, value: impl Into<String>) {
        self.0.insert(placeholder, value.into());
    }

    /// Sets all placeholders of the speed of speech. Speed 1 and impossible speeds set nothing, so that the program uses its own default.
    pub fn set_speed(&mut self, speed: f64) {
        if (speed - 1.0).abs() < 0.005 || !speed.is_finite() || speed <= 0.0 {
            return;
        }
        self.set(Placeholder::Speed, format!("{speed:.2}"));
        self.set(Placeholder::WordsPerMinute, format!("{:.0}", WORDS_PER_MINUTE * speed));
        self.set(Placeholder::LengthScale, format!("{:.3}", speed.recip()));
        self.set(Placeholder::RatePercent, format!("{:+.0}%", (speed - 1.0) * 100.0));
    }

    /// Returns a placeholder with a NUL character in its value, if there is one.
    pub(super) fn with_nul(&self) -> Option<Placeholder> {
        self.0.iter().find(|(_, value)| value.contains('\0')).map(|(placeholder, _)| *placeholder)
    }

    /// Returns the value of a placeholder; `None` if the request has none.
    pub fn get(&self, placeholder: Placeholder) -> Option<&str> {
        self.0.get(&placeholder).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_has_a_name_of_its_own_and_a_slip_finds_it() {
        for (placeholder, name, shape) in Placeholder::ALL {
            assert_eq!(Placeholder::named(name), Some(*placeholder));
            assert_eq!((placeholder.name(), placeholder.shape()), (*name, *shape));
        }
        assert_eq!(Placeholder::named("txt"), None);
        assert_eq!(Placeholder::nearest("txt"), Some("text"));
        assert_eq!(Placeholder::nearest("ouput"), Some("output"));
        assert_eq!(Placeholder::nearest("xyzzy"), None);
    }

    #[test]
    fn a_speed_is_told_as_each_program_counts_it_and_the_usual_one_is_not_told() {
        let told = |speed| {
            let mut values = Values::default();
            values.set_speed(speed);
            [
                Placeholder::Speed,
                Placeholder::WordsPerMinute,
                Placeholder::LengthScale,
                Placeholder::RatePercent,
            ]
            .map(|placeholder| values.get(placeholder).map(str::to_owned).unwrap_or_default())
        };
        for (speed, expected) in [
            (1.0, ["", "", "", ""]),
            (1.2, ["1.20", "210", "0.833", "+20%"]),
            (0.25, ["0.25", "44", "4.000", "-75%"]),
            (4.0, ["4.00", "700", "0.250", "+300%"]),
            (f64::NAN, ["", "", "", ""]),
            (-1.0, ["", "", "", ""]),
        ] {
            assert_eq!(told(speed), expected, "{speed}");
        }
    }
}
