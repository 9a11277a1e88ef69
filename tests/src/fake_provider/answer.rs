//! The responses of OpenAI's images API, speech API and chat API, good and bad, with the service's own wording.

use std::{
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder},
};
use serde_json::{Value, json};

use super::{
    Delivery,
    chat::Chat,
    edit::{self, FormPart},
    fault::{Fault, RetryAfter},
    http::{Body, Request, Response},
    picture::{Gallery, Picture, declaring_too_much, seed_of},
};

/// Most pictures that one request may ask for.
const MAX_N: u64 = 10;
/// Largest width or height, in pixels.
const MAX_SIDE: u32 = 8192;

/// The speech of every response, whatever the text.
const WAV: &[u8] = include_bytes!("../../../daemon/src/media/samples/speech.wav");
const MP3: &[u8] = include_bytes!("../../../daemon/src/media/samples/speech.mp3");

/// What a request asks for, and how this server shall respond.
#[derive(Debug, Default)]
pub(super) struct ParsedRequest {
    pub(super) prompt: String,
    pub(super) pictures: Vec<Picture>,
    /// The media type and the bytes of the sound file, if the request is for speech.
    pub(super) speech: Option<(&'static str, &'static [u8])>,
    /// The conversation, if the request is for a chat.
    pub(super) chat: Option<Chat>,
    pub(super) delivery: Delivery,
    /// The stream of events, if the request asks for one.
    pub(super) stream: Option<PictureStream>,
    /// This server's origin, without a slash at the end.
    pub(super) origin: String,
}

/// A picture that is sent as a stream of events: first previews, then the finished picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureStream {
    /// The prefix of the event types, such as `image_generation`.
    api: &'static str,
    previews: u64,
}

impl ParsedRequest {
    /// Parses a request. If it is invalid, the error is the response that says why.
    pub(super) fn read(request: &Request) -> Result<Self, Response> {
        let body = if request.path.ends_with("/images/edits") {
            let parts = edit::parts(request);
            let heads: [&[u8]; 3] = [b"\x89PNG", b"\xff\xd8", b"RIFF"];
            let is_picture = |part: &&FormPart| heads.iter().any(|head| part.bytes.starts_with(head));
            let pictures =
                parts.iter().filter(|part| part.name.starts_with("image")).filter(is_picture).count();
            if pictures == 0 {
                return Err(invalid("image", "Missing required parameter: 'image'."));
            }
            edit::fields(&parts)
        } else {
            request.json()
        };
        if request.path.ends_with("/audio/speech") {
            return Self::read_speech(&body);
        }
        if request.path.ends_with("/chat/completions") {
            return Self::read_chat(&body);
        }
        let prompt = body["prompt"].as_str().filter(|prompt| !prompt.is_empty());
        let prompt = prompt.ok_or_else(|| invalid("prompt", "Missing required parameter: 'prompt'."))?;
        let n = if body["n"].is_null() { Some(1) } else { body["n"].as_u64() };
        let n = n.filter(|n| (1..=MAX_N).contains(n));
        let n = n.ok_or_else(|| invalid("n", "Invalid 'n': integer between 1 and 10 expected."))?;
        let (width, height) = match body["size"].as_str() {
            None | Some("auto") => (1024, 1024),
            Some(size) => read_size(size).ok_or_else(|| invalid("size", "Invalid size."))?,
        };
        let picture = |index| {
            let seed = seed_of(prompt) ^ index;
            Picture { width, height, noise_bytes: 0, seed }
        };
        let delivery =
            if body["response_format"] == "url" { Delivery::AbsoluteUrl } else { Delivery::Base64 };
        let pictures = (0..n).map(picture).collect();
        let previews = body["partial_images"].as_u64();
        let is_stream = body["stream"] == true || body["stream"] == "true";
        if n > 1 && is_stream {
            return Err(invalid("stream", "Streaming is only supported for n=1."));
        }
        let api = if request.path.ends_with("/images/edits") { "image_edit" } else { "image_generation" };
        let stream = is_stream.then(|| PictureStream { api, previews: previews.unwrap_or_default() });
        Ok(Self { prompt: prompt.to_owned(), pictures, delivery, stream, ..Self::default() })
    }

    fn read_speech(body: &Value) -> Result<Self, Response> {
        let field = |name: &str| {
            let text = body[name].as_str().filter(|text| !text.is_empty());
            text.ok_or_else(|| invalid(name, &format!("Missing required parameter: '{name}'.")))
        };
        field("model")?;
        field("voice")?;
        let prompt = field("input")?.to_owned();
        let speech = match body["response_format"].as_str() {
            None | Some("mp3") => ("audio/mpeg", MP3),
            Some("wav") => ("audio/wav", WAV),
            Some(_) => return Err(invalid("response_format", "Invalid response_format.")),
        };
        Ok(Self { prompt, speech: Some(speech), ..Self::default() })
    }

    fn read_chat(body: &Value) -> Result<Self, Response> {
        let chat = Chat::read(body).ok_or_else(|| invalid("messages", "Invalid 'messages' or 'model'."))?;
        if body["model"] == "director-strict" && !body["response_format"].is_null() {
            return Err(invalid("response_format", "This response_format type is unavailable now"));
        }
        Ok(Self { prompt: chat.prompt.clone(), chat: Some(chat), ..Self::default() })
    }

    /// Returns the response without any fault.
    pub(super) fn good(&self, gallery: &Gallery) -> Response {
        if let Some((media_type, bytes)) = self.speech {
            return Response::new(200, media_type, bytes.to_vec());
        }
        if let Some(chat) = &self.chat {
            return chat.good();
        }
        if let Some((stream, picture)) = self.stream.zip(self.pictures.first()) {
            return self.picture_events(gallery, stream, picture);
        }
        let mut body = Body::default();
        body.push(format!("{{\"created\":{},\"data\":[", now().as_secs()));
        for (index, picture) in self.pictures.iter().enumerate() {
            body.push(if index == 0 { "" } else { "," });
            self.push_picture(&mut body, gallery, picture);
        }
        body.push(format!("],\"usage\":{}}}", self.usage()));
        Response::new(200, "application/json", body)
    }

    /// Returns one event for each preview and one for the finished picture (openai-openapi, `ImageGenPartialImageEvent`, `ImageGenCompletedEvent`).
    fn picture_events(&self, gallery: &Gallery, stream: PictureStream, picture: &Picture) -> Response {
        let PictureStream { api, previews } = stream;
        let mut body = Body::default();
        let mut push = |kind: &str, picture: &Picture, more: String| {
            let (beginning, rest) = gallery.base64(picture);
            body.push(format!(
                "event: {api}.{kind}\ndata: {{\"type\":\"{api}.{kind}\",\"b64_json\":\"{beginning}"
            ));
            body.push_shared(rest);
            body.push(format!("\",\"output_format\":\"png\",{more}}}\n\n"));
        };
        for number in 0..previews {
            let unfinished = Picture { seed: picture.seed ^ ((number + 1) << 32), ..*picture };
            push("partial_image", &unfinished, format!("\"partial_image_index\":{number}"));
        }
        push("completed", picture, format!("\"usage\":{}", self.usage()));
        Response::new(200, "text/event-stream", body)
    }

    fn push_picture(&self, body: &mut Body, gallery: &Gallery, picture: &Picture) {
        let origin = match self.delivery {
            Delivery::Base64 => {
                let (beginning, rest) = gallery.base64(picture);
                body.push(format!("{{\"b64_json\":\"{beginning}"));
                body.push_shared(rest);
                body.push("\"}");
                return;
            }
            Delivery::AbsoluteUrl => self.origin.as_str(),
            Delivery::RelativeUrl => "",
        };
        body.push(json!({ "url": format!("{origin}/files/{}", picture.file_name()) }).to_string());
    }

    /// Returns the token counts: one per word of the prompt, and one per 1,000 pixels.
    fn usage(&self) -> Value {
        let words = self.prompt.split_whitespace().count();
        let pixels: u64 = self.pictures.iter().map(|p| u64::from(p.width) * u64::from(p.height)).sum();
        let output = pixels / 1000;
        json!({
            "total_tokens": words as u64 + output, "input_tokens": words, "output_tokens": output,
            "input_tokens_details": { "text_tokens": words, "image_tokens": 0 },
        })
    }
}

fn read_size(size: &str) -> Option<(u32, u32)> {
    let (width, height) = size.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
    Some((side(width)?, side(height)?))
}

fn error(status: u16, kind: &str, code: &str, message: &str) -> Response {
    let error = json!({ "message": message, "type": kind, "param": null, "code": code });
    Response::json(status, &json!({ "error": error }))
}

fn invalid(param: &str, message: &str) -> Response {
    let error = json!({ "message": message, "type": "invalid_request_error", "param": param, "code": "invalid_value" });
    Response::json(400, &json!({ "error": error }))
}

pub(super) fn unauthorized() -> Response {
    error(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
}

pub(super) fn no_such_path(path: &str) -> Response {
    error(404, "invalid_request_error", "unknown_url", &format!("Unknown request URL: {path}."))
}

pub(super) fn models() -> Response {
    let model =
        |id: &str| json!({ "id": id, "object": "model", "created": 1_687_882_411, "owned_by": "fake" });
    Response::json(200, &json!({ "object": "list", "data": [model("fake-image-1"), model("fake-image-2")] }))
}

/// Returns the picture whose file name is the last segment of the path.
pub(super) fn file(gallery: &Gallery, name: &str) -> Response {
    let Some(picture) = Picture::of_file_name(name) else { return no_such_path(name) };
    let (beginning, rest) = gallery.bytes(&picture);
    let mut body = Body::from(beginning);
    body.push_shared(rest);
    Response::new(200, "image/png", body)
}

/// Returns the response of a fault that is a complete HTTP response; None for faults that misuse the connection.
pub(super) fn faulty(fault: &Fault, parsed: &ParsedRequest) -> Option<Response> {
    let picture = |value: Value| Response::json(200, &json!({ "created": now().as_secs(), "data": [value] }));
    let encoded = |bytes: &[u8]| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        picture(json!({ "b64_json": STANDARD.encode(bytes) }))
    };
    let request = "invalid_request_error";
    Some(match fault {
        Fault::RateLimited { retry_after } => retry_after.add_to(rate_limited()),
        Fault::InsufficientQuota => {
            error(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota.")
        }
        Fault::ServerError => error(500, "server_error", "server_error", "The server had an error."),
        Fault::Unavailable => error(503, "server_error", "overloaded", "The engine is overloaded."),
        Fault::Unauthorized => unauthorized(),
        Fault::Forbidden => error(403, request, "model_not_allowed", "Your organization must be verified."),
        Fault::Moderated => error(
            400,
            "image_generation_user_error",
            "moderation_blocked",
            "Your request was rejected by the safety system. safety_violations=[violence].",
        ),
        Fault::Invalid => invalid("size", "Invalid value for 'size'."),
        Fault::ModelNotFound => error(404, request, "model_not_found", "The model does not exist."),
        Fault::NoPicture => Response::json(200, &json!({ "created": now().as_secs(), "data": [] })),
        Fault::ErrorInside => error(200, "server_error", "server_error", "The server had an error."),
        Fault::Html => Response::new(200, "text/html", b"<!doctype html><title>Log in</title>".to_vec()),
        Fault::OtherJson => Response::json(200, &json!({ "status": "ok" })),
        Fault::BadBase64 => picture(json!({ "b64_json": "iVBORw0K*not base64*" })),
        Fault::NotAPicture => encoded(b"this is a text, whatever the field says"),
        Fault::HugePicture => encoded(&declaring_too_much()),
        Fault::Answered { status, media_type, headers, body } => {
            let response = Response::new(*status, media_type, body.clone());
            let with =
                |response: Response, (name, value): &(&'static str, String)| response.header(name, value);
            headers.iter().fold(response, with)
        }
        Fault::PictureAt(url) => picture(json!({ "url": url })),
        Fault::PictureGone => picture(json!({ "url": format!("{}/files/gone", parsed.origin) })),
        Fault::Redirect { status, location } => {
            Response::new(*status, "text/plain", Vec::new()).header("location", location)
        }
        _ => return None,
    })
}

fn rate_limited() -> Response {
    error(429, "requests", "rate_limit_exceeded", "Rate limit reached for images per minute.")
        .header("x-ratelimit-remaining-requests", "0")
        .header("x-ratelimit-reset-requests", "1s")
}

impl RetryAfter {
    fn add_to(self, response: Response) -> Response {
        let date = |time| httpdate::fmt_http_date(time);
        match self {
            Self::Seconds(seconds) => response.header("retry-after", seconds.to_string()),
            Self::Float(seconds) => response.header("retry-after", seconds.to_string()),
            Self::Milliseconds(milliseconds) => response.header("retry-after-ms", milliseconds.to_string()),
            Self::DateIn(time) => response.header("retry-after", date(SystemTime::now() + time)),
            Self::DatePast => response.header("retry-after", date(UNIX_EPOCH)),
            Self::Nonsense => response.header("retry-after", "soon"),
            Self::Absent => response,
        }
    }
}

/// Compresses a response as `gzip`.
pub(super) fn gzipped(mut response: Response) -> Response {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&response.body.flat()).unwrap();
    response.body = encoder.finish().unwrap().into();
    response.header("content-encoding", "gzip")
}

/// Compresses a response as `deflate`, without the zlib header.
pub(super) fn deflated(mut response: Response) -> Response {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&response.body.flat()).unwrap();
    response.body = encoder.finish().unwrap().into();
    response.header("content-encoding", "deflate")
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
