//! What a tool asks for: a prompt or a text, and options. The params that are not named here are those of the protocol; a [`crate::Session`] submits
//! any task.

use reel_protocol::{
    CacheMode, ChatParams, Digest, ImageParams, JsonText, SpeechFormat, SpeechParams, TaskSpec,
};
use serde::Serialize;

use crate::ClientError;

/// A request for one picture. A text is such a request too: the prompt, with the defaults for everything else.
pub type ImageRequest = Request<ImageParams>;

/// A request for speech. A text is such a request too: what to say, with the defaults for everything else.
pub type SpeechRequest = Request<SpeechParams>;

/// A request for the answer of a language model. A text is such a request too: the prompt, with the defaults for everything else.
pub type ChatRequest = Request<ChatParams>;

/// A request to one service. The methods set options and return the request, so that calls can be chained.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<P> {
    params: P,
    spec: TaskSpec,
}

impl<P> Request<P> {
    fn of_kind(kind: &str, params: P) -> Self {
        Self { params, spec: TaskSpec { kind: kind.to_owned(), ..TaskSpec::default() } }
    }

    /// Sets the provider, one of `reel providers`. If none is set, the daemon chooses.
    #[must_use]
    pub fn provider(mut self, name: impl Into<String>) -> Self {
        self.spec.provider = Some(name.into());
        self
    }

    /// Makes a new result, even if an equal request is in the cache.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.spec.cache = CacheMode::Fresh;
        self
    }

    /// Sets the priority, -100 to 100. Tasks with a higher one start first.
    #[must_use]
    pub fn priority(mut self, priority: i8) -> Self {
        self.spec.priority = priority;
        self
    }

    /// Sets the label of the task, which `reel ls` shows.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.spec.name = Some(label.into());
        self
    }

    /// Sets the id of this request. A request with the same id and the same options is the same task, also after the tool was restarted. Use the name
    /// of what is made, such as `shot-12`. The entries of a batch cannot have one.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.spec.request_id = Some(id.into());
        self
    }

    fn set(mut self, change: impl FnOnce(&mut P)) -> Self {
        change(&mut self.params);
        self
    }

    /// Whether the daemon chooses the provider.
    pub(crate) fn names_no_provider(&self) -> bool {
        self.spec.provider.is_none()
    }
}

impl<P: Serialize> Request<P> {
    /// Returns the task that is submitted for this request.
    pub fn into_spec(self) -> Result<TaskSpec, ClientError> {
        let params = JsonText::from_value(&self.params).map_err(ClientError::protocol)?;
        Ok(TaskSpec { params, ..self.spec })
    }
}

impl ImageRequest {
    /// Asks for a picture of what the prompt says.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self::of_kind("image.generate", ImageParams::new(prompt))
    }

    /// Sets the width and the height in pixels; 1024x1024 if not set.
    #[must_use]
    pub fn size(self, width: u32, height: u32) -> Self {
        self.set(|params| (params.width, params.height) = (width, height))
    }

    /// Sets the style, one of `reel styles`.
    #[must_use]
    pub fn style(self, style: impl Into<String>) -> Self {
        self.set(|params| params.style = Some(style.into()))
    }

    /// Sets what the picture shall not show.
    #[must_use]
    pub fn negative_prompt(self, prompt: impl Into<String>) -> Self {
        self.set(|params| params.negative_prompt = Some(prompt.into()))
    }

    /// Sets the seed. A provider that would ignore it is not chosen.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.set(|params| params.seed = Some(seed))
    }

    /// Tells this request apart from an equal one that shall have a different picture.
    #[must_use]
    pub fn sample(self, sample: u32) -> Self {
        self.set(|params| params.sample = sample)
    }

    /// Sets the provider's model.
    #[must_use]
    pub fn model(self, model: impl Into<String>) -> Self {
        self.set(|params| params.model = Some(model.into()))
    }

    /// Adds a picture to start from: [`crate::Artifact::digest`] of an earlier result, or what [`crate::Reel::put`] returned for a file.
    #[must_use]
    pub fn input_image(self, picture: Digest) -> Self {
        self.set(|params| params.input_images.push(picture))
    }

    /// Sets a mask of the first input picture's size. Only the pixels that are transparent in the mask may change.
    #[must_use]
    pub fn mask(self, mask: Digest) -> Self {
        self.set(|params| params.mask = Some(mask))
    }

    /// Sets how far the picture may depart from the input pictures, 0 to 1.
    #[must_use]
    pub fn strength(self, strength: f64) -> Self {
        self.set(|params| params.strength = Some(strength))
    }
}

impl SpeechRequest {
    /// Asks for speech of the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self::of_kind("voice.speak", SpeechParams::new(text))
    }

    /// Sets the voice, one of `reel providers voices`.
    #[must_use]
    pub fn voice(self, voice: impl Into<String>) -> Self {
        self.set(|params| params.voice = Some(voice.into()))
    }

    /// Sets the language of the text as a BCP 47 tag, such as `en` or `zh-TW`.
    #[must_use]
    pub fn language(self, language: impl Into<String>) -> Self {
        self.set(|params| params.language = Some(language.into()))
    }

    /// Sets the speed, 0.25 to 4; 1 if not set.
    #[must_use]
    pub fn speed(self, speed: f64) -> Self {
        self.set(|params| params.speed = speed)
    }

    /// Sets the format of the file; the provider's own if not set.
    #[must_use]
    pub fn format(self, format: SpeechFormat) -> Self {
        self.set(|params| params.format = Some(format))
    }

    /// Sets the provider's model.
    #[must_use]
    pub fn model(self, model: impl Into<String>) -> Self {
        self.set(|params| params.model = Some(model.into()))
    }
}

impl ChatRequest {
    /// Asks a language model.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self::of_kind("text.chat", ChatParams::new(prompt))
    }

    /// Sets the instructions on how to answer.
    #[must_use]
    pub fn system(self, instructions: impl Into<String>) -> Self {
        self.set(|params| params.system = Some(instructions.into()))
    }

    /// Sets a JSON Schema that the answer must fit. The answer is then JSON.
    #[must_use]
    pub fn schema(self, schema: JsonText) -> Self {
        self.set(|params| params.schema = Some(schema))
    }

    /// Sets the sampling temperature, 0 to 2; the provider's own if not set.
    #[must_use]
    pub fn temperature(self, temperature: f64) -> Self {
        self.set(|params| params.temperature = Some(temperature))
    }

    /// Sets the most tokens of the answer; the provider's own limit if not set.
    #[must_use]
    pub fn max_tokens(self, tokens: u32) -> Self {
        self.set(|params| params.max_tokens = Some(tokens))
    }

    /// Sets the provider's model.
    #[must_use]
    pub fn model(self, model: impl Into<String>) -> Self {
        self.set(|params| params.model = Some(model.into()))
    }
}

macro_rules! from_text {
    ($($request:ty),+) => { $(
        impl From<&str> for $request {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $request {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl From<&String> for $request {
            fn from(text: &String) -> Self {
                Self::new(text)
            }
        }
    )+ };
}

from_text!(ImageRequest, SpeechRequest, ChatRequest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_request_with_defaults_and_each_option_reaches_the_task() {
        let plain = ImageRequest::from("a pier").into_spec().unwrap();
        assert_eq!(plain.kind, "image.generate");
        assert_eq!(plain.params.decode::<ImageParams>().unwrap(), ImageParams::new("a pier"));
        assert_eq!(plain, ImageRequest::from(&"a pier".to_owned()).into_spec().unwrap());

        let full = ImageRequest::new("a pier").size(640, 360).style("ink").seed(7).sample(2);
        let full = full.negative_prompt("people").model("m").strength(0.5);
        let picture = Digest::from_bytes([1; 32]);
        let full = full.input_image(picture).mask(picture).provider("studio").fresh().priority(5);
        let spec = full.label("shot 1").request_id("shot-1").into_spec().unwrap();
        assert_eq!(
            (spec.provider.as_deref(), spec.cache, spec.priority, spec.name.as_deref()),
            (Some("studio"), CacheMode::Fresh, 5, Some("shot 1"))
        );
        assert_eq!(spec.request_id.as_deref(), Some("shot-1"));
        let expected = ImageParams {
            width: 640,
            height: 360,
            style: Some("ink".to_owned()),
            seed: Some(7),
            sample: 2,
            negative_prompt: Some("people".to_owned()),
            model: Some("m".to_owned()),
            strength: Some(0.5),
            input_images: vec![picture],
            mask: Some(picture),
            ..ImageParams::new("a pier")
        };
        assert_eq!(spec.params.decode::<ImageParams>().unwrap(), expected);
    }

    #[test]
    fn speech_and_chat_have_their_own_options() {
        let speech = SpeechRequest::new("Hello.").voice("v").language("en").speed(0.5).model("m");
        let speech = speech.format(SpeechFormat::Mp3).into_spec().unwrap();
        assert_eq!(speech.kind, "voice.speak");
        let expected = SpeechParams {
            voice: Some("v".to_owned()),
            language: Some("en".to_owned()),
            speed: 0.5,
            model: Some("m".to_owned()),
            format: Some(SpeechFormat::Mp3),
            ..SpeechParams::new("Hello.")
        };
        assert_eq!(speech.params.decode::<SpeechParams>().unwrap(), expected);

        let schema = JsonText::parse("{}".to_owned()).unwrap();
        let chat = ChatRequest::new("Why?").system("Be short.").schema(schema.clone()).temperature(0.2);
        let chat = chat.max_tokens(9).model("m").into_spec().unwrap();
        assert_eq!(chat.kind, "text.chat");
        let expected = ChatParams {
            system: Some("Be short.".to_owned()),
            schema: Some(schema),
            temperature: Some(0.2),
            max_tokens: Some(9),
            model: Some("m".to_owned()),
            ..ChatParams::new("Why?")
        };
        assert_eq!(chat.params.decode::<ChatParams>().unwrap(), expected);
    }
}
