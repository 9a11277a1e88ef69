//! What the capabilities of a server say: its model, and whether it can make what the section says. Pure.

use crate::provider::http::{Document, Node};

/// The modes of the server with the services that they serve.
const MODES: [(&str, &str, &str); 2] = [("image", "img_gen", "pictures"), ("video", "vid_gen", "videos")];
/// The container of the videos that are asked for.
const CONTAINER: &str = "webm";

/// Returns the words about the model of the server. The error says why the server cannot serve all of these services.
pub(super) fn described(document: &Document, services: &[String]) -> Result<Option<String>, String> {
    let all = |name: &'static str| document.roots.iter().flat_map(move |root| root.all(name));
    let mut modes = all("supported_modes").peekable();
    if modes.peek().is_none() {
        return Err(
            "is no sd-server with the native API: base_url is probably wrong, or the server is too old"
                .to_owned(),
        );
    }
    let modes: Vec<_> = modes.flat_map(Node::inside).filter_map(Node::text).collect();
    let model = all("model").flat_map(|model| model.all("stem")).find_map(Node::text);
    let named = model.map_or_else(|| "its model".to_owned(), |model| format!("its model {model}"));
    for (service, mode, what) in MODES {
        if services.iter().any(|name| name == service) && !modes.contains(&mode) {
            return Err(format!(
                "{named} makes no {what}: start it with one that does, or take \"{service}\" out of services"
            ));
        }
    }
    let formats: Vec<_> = all("output_formats_by_mode")
        .flat_map(|modes| modes.all("vid_gen"))
        .flat_map(Node::inside)
        .filter_map(Node::text)
        .collect();
    // Servers that do not list their formats are not judged.
    let is_video = services.iter().any(|name| name == "video");
    if is_video && !formats.is_empty() && !formats.contains(&CONTAINER) {
        return Err("was built without WebM, the only container in which its videos are accepted: build it with SD_WEBM=ON".to_owned());
    }
    Ok(model.map(|model| format!("its model is {model}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_capabilities_say_what_the_server_cannot_make() {
        let of = |modes: Value, formats: Value| json!({ "model": { "name": "wan.gguf", "stem": "wan" }, "supported_modes": modes, "output_formats_by_mode": { "vid_gen": formats } });
        let said = |capabilities: Value, services: &[&str]| {
            let services: Vec<_> = services.iter().map(|name| (*name).to_owned()).collect();
            described(&Document::of_error(capabilities.to_string().as_bytes()), &services)
        };
        let both = json!(["img_gen", "vid_gen"]);
        let fine = Ok(Some("its model is wan".to_owned()));
        assert_eq!(said(of(both.clone(), json!(["webm", "avi"])), &["image", "video"]), fine);
        assert_eq!(said(of(both.clone(), json!([])), &["video"]), fine);
        assert_eq!(said(of(json!(["img_gen"]), json!([])), &["image"]), fine);
        for (capabilities, services, words) in [
            (of(json!(["img_gen"]), json!([])), ["image", "video"], "its model wan makes no videos"),
            (of(json!(["vid_gen"]), json!(["webm"])), ["image", "video"], "its model wan makes no pictures"),
            (of(both, json!(["webp", "avi"])), ["image", "video"], "built without WebM"),
            (json!({ "status": "ok" }), ["image", "video"], "is no sd-server"),
        ] {
            let why = said(capabilities, &services).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
