//! Finds the model that a request names in the server's list, which calls it by several names. Pure.

use serde_json::Value;

use crate::nearest::nearest;

/// Most names that a message shows.
const SHOWN: usize = 12;
/// Shortest beginning of a hash that names a model.
const MIN_HASH_CHARS: usize = 6;

/// Returns the names of the models, as a request names them, sorted.
pub(super) fn names(list: &Value) -> Vec<String> {
    let name = |model: &Value| {
        let name = model.get("model_name").or_else(|| model.get("title")).and_then(Value::as_str);
        name.filter(|name| !name.is_empty()).map(str::to_owned)
    };
    let mut names: Vec<String> = list.as_array().into_iter().flatten().filter_map(name).collect();
    names.sort();
    names.dedup();
    names
}

/// Returns the title of the model that is called this: by its title, its name, its file with or without folders and extension, or a hash. The server
/// knows fewer of these names and silently uses the loaded model for the others, so it is sent the title, or the name where there is none.
pub(super) fn title(list: &Value, wanted: &str) -> Option<String> {
    let is_called = |model: &&Value| {
        let of = |field: &str| model.get(field).and_then(Value::as_str).unwrap_or_default();
        let title = of("title");
        let file = of("filename");
        let plain_title = title.split(" [").next().unwrap_or_default();
        let hash = wanted.to_lowercase();
        let is_hash = hash.len() >= MIN_HASH_CHARS
            && hash.chars().all(|c| c.is_ascii_hexdigit())
            && [of("sha256"), of("hash")].iter().any(|known| known.starts_with(&hash));
        let calls = [title, plain_title, of("model_name"), file, base(file)];
        is_hash
            || calls.iter().any(|name| !name.is_empty() && (*name == wanted || stem(name) == stem(wanted)))
    };
    let model = list.as_array().into_iter().flatten().find(is_called)?;
    let of = |field: &str| model.get(field).and_then(Value::as_str).filter(|name| !name.is_empty());
    Some(of("title").or_else(|| of("model_name")).unwrap_or(wanted).to_owned())
}

/// Says which names there are, and which one is probably meant.
pub(super) fn those_there(names: &[String], wanted: &str) -> String {
    let shown: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let near = nearest(stem(wanted), names.iter().map(String::as_str));
    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("{}{more}{near}", shown.join(", "))
}

/// Returns the name of a file without its folders.
fn base(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Returns a name without the extension of a file with weights.
fn stem(name: &str) -> &str {
    [".safetensors", ".ckpt", ".gguf"]
        .into_iter()
        .find_map(|extension| name.strip_suffix(extension))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_has_many_names() {
        let list = json!([{
            "title": "sdxl/base.safetensors [31e35c80fc]", "model_name": "sdxl_base", "hash": "31e35c80fc",
            "sha256": "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
            "filename": "/models/Stable-diffusion/sdxl/base.safetensors",
        }]);
        for (wanted, is_there) in [
            ("sdxl_base", true),
            ("sdxl/base.safetensors [31e35c80fc]", true),
            ("sdxl/base.safetensors", true),
            ("sdxl/base", true),
            ("base.safetensors", true),
            ("base", true),
            ("31e35c80fc", true),
            ("31E35C", true),
            ("31e", false),
            ("other", false),
            ("", false),
        ] {
            let title = title(&list, wanted);
            assert_eq!(
                title.as_deref(),
                is_there.then_some("sdxl/base.safetensors [31e35c80fc]"),
                "{wanted}"
            );
        }
        let names = names(&list);
        assert_eq!(those_there(&names, "sdxl_bsae"), "sdxl_base; did you mean sdxl_base?");
    }
}
