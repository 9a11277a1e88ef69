//! The placeholders of a command's arguments, and their values for one request. Pure.

use std::collections::BTreeMap;

use crate::nearest::nearest;

/// Words a minute at speed 1: the default of espeak-ng, which other programs share roughly.
const WORDS_PER_MINUTE: f64 = 175.0;

/// What may stand between braces in an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// The text that a program shall speak.
    Text,
    /// The path of a file that holds the text or the prompt.
    TextFile,
    /// The prompt of a picture or a clip, or the conversation that a model answers.
    Prompt,
    /// How a model shall answer.
    System,
    /// How much chance is in an answer.
    Temperature,
    /// Most tokens of an answer.
    MaxTokens,
    /// What shall not be in the picture.
    NegativePrompt,
    /// The voice, as the program names it.
    Voice,
    /// The language, as a BCP 47 tag.
    Language,
    /// The speed, where 1 is the usual one.
    Speed,
    /// The speed in words a minute.
    WordsPerMinute,
    /// The inverse of the speed, as piper counts.
    LengthScale,
    /// The speed as a signed percentage, as edge-tts counts: `+20%`.
    RatePercent,
    /// The model that the provider is configured with, or that the request names.
    Model,
    /// The width of the picture, in pixels.
    Width,
    /// The height of the picture, in pixels.
    Height,
    /// The seed of the request, or the one that is chosen for it.
    Seed,
    /// The number of steps that a sampler takes.
    Steps,
    /// How closely the prompt is followed.
    Guidance,
    /// How far an input picture is changed, from 0 to 1.
    Strength,
    /// The length of a clip, in seconds.
    Duration,
    /// Frames a second of a clip.
    Fps,
    /// The path of the input picture.
    InputImage,
    /// The path of the picture that says where the input picture may change.
    Mask,
    /// The path of the file that the program shall write.
    Output,
    /// The program's working directory, which is removed after the run.
    Directory,
}

/// What a value may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Anything that a person writes.
    Text,
    /// A name or a number, which never begins with a minus sign that a program could take for an option.
    Word,
    /// A number that may be negative, or a path that begins with a slash.
    Own,
}

impl Placeholder {
    /// All of them, with their names and shapes.
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

    /// The placeholder of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(placeholder, ..)| *placeholder)
    }

    /// Returns the name that stands between braces in an argument.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or("", |(_, name, _)| name)
    }

    /// What its value may hold.
    pub fn shape(self) -> Shape {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or(Shape::Word, |(.., shape)| *shape)
    }

    /// The name that is most like a mistyped one.
    pub fn nearest(wrong: &str) -> Option<&'static str> {
        nearest(wrong, Self::ALL.iter().map(|(_, name, _)| *name))
    }
}

/// What one request says. A placeholder without a value is absent from the request.
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

    /// Sets the speed in all of its forms. Speed 1 stays absent, so that the program's own default holds.
    pub fn set_speed(&mut self, speed: f64) {
        if (speed - 1.0).abs() < 0.005 || !speed.is_finite() || speed <= 0.0 {
            return;
        }
        self.set(Placeholder::Speed, format!("{speed:.2}"));
        self.set(Placeholder::WordsPerMinute, format!("{:.0}", WORDS_PER_MINUTE * speed));
        self.set(Placeholder::LengthScale, format!("{:.3}", speed.recip()));
        self.set(Placeholder::RatePercent, format!("{:+.0}%", (speed - 1.0) * 100.0));
    }

    /// A placeholder whose value holds a NUL character.
    pub(super) fn with_nul(&self) -> Option<Placeholder> {
        self.0.iter().find(|(_, value)| value.contains('\0')).map(|(placeholder, _)| *placeholder)
    }

    /// The value of a placeholder.
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
