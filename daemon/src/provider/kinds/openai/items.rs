//! Where the pictures of an answer are: in the fields that the API documents, in those that other servers use for the same, or wherever one
//! came. Pure.

use reqwest::Url;

use crate::provider::{
    http::{Document, Node},
    wire::Item,
};

/// How the types of events end that show a picture before it is finished.
const PARTIAL: &str = "partial_image";
/// Fields of an object for its picture, the best first: others hold a smaller copy of it at some servers.
const PICTURES: &[&str] = &["b64_json", "url", "image", "image_url", "b64", "base64", "image_base64", "data"];
/// Fields that lists of pictures have, beside the `data` of the API.
const LISTS: &[&str] = &[
    "data",
    "images",
    "image",
    "output",
    "outputs",
    "artifacts",
    "predictions",
    "results",
    "result",
    "response",
    "choices",
    "message",
    "image_url",
    "inline_data",
    "inlineData",
    "content",
    "parts",
    "candidates",
];

/// The picture of an event that shows a picture before it is finished (`image_generation.partial_image`, `image_edit.partial_image`).
pub(super) fn preview(root: &Node) -> Option<usize> {
    let mut kinds = root.all("type").filter_map(Node::text);
    let is_preview = kinds.any(|kind| kind.ends_with(PARTIAL));
    let number = |node: &Node| if let Node::Picture(number) = node { Some(*number) } else { None };
    root.inside().find_map(number).filter(|_| is_preview)
}

/// The pictures of an answer, in their order. A picture that is not finished is none of them.
pub(super) fn items(document: &Document, base: &Url) -> Vec<Item> {
    let directory = directory(base);
    let previews: Vec<_> = document.roots.iter().filter_map(preview).collect();
    let roots: Vec<_> = document.roots.iter().filter(|root| preview(root).is_none()).collect();
    let of_data =
        |root: &Node| root.all("data").flat_map(|data| of_value(data, &directory)).collect::<Vec<_>>();
    let found: Vec<_> = roots.iter().flat_map(|root| of_data(root)).collect();
    if !found.is_empty() {
        return found;
    }
    let found: Vec<_> = roots.iter().flat_map(|root| of_value(root, &directory)).collect();
    if !found.is_empty() {
        return found;
    }
    // It came and was paid for, wherever in the answer it is.
    let others = (0..document.pictures).filter(|number| !previews.contains(number));
    others.map(|number| Item::Inside { number, or_at: None }).collect()
}

/// What addresses are relative to: the directory of the API, or its host where they begin with a slash.
fn directory(base: &Url) -> Url {
    let mut directory = base.clone();
    directory.set_path(&format!("{}/", base.path().trim_end_matches('/')));
    directory
}

/// The pictures of one value, each object's once.
fn of_value(node: &Node, directory: &Url) -> Vec<Item> {
    match node {
        Node::Picture(number) => vec![Item::Inside { number: *number, or_at: None }],
        Node::Text(_) => absolute(node).map(Item::At).into_iter().collect(),
        Node::List(items) => items.iter().flat_map(|item| of_value(item, directory)).collect(),
        Node::Map(_) => {
            if let Some(item) = of_object(node, directory) {
                return vec![item];
            }
            let inner = LISTS.iter().flat_map(|name| node.all(name));
            let inner = inner.filter(|inner| inner.inside().next().is_some());
            inner.flat_map(|inner| of_value(inner, directory)).collect()
        }
        _ => Vec::new(),
    }
}

/// The picture that an object has in a field of its own.
fn of_object(node: &Node, directory: &Url) -> Option<Item> {
    let number = |node: &Node| if let Node::Picture(number) = node { Some(*number) } else { None };
    let named = PICTURES.iter().find_map(|name| node.all(name).find_map(number));
    let at = node.all("url").find_map(Node::text).and_then(|url| directory.join(url).ok());
    let at = at.or_else(|| {
        let mut others = ["b64_json", "image", "image_url", "output", "result"]
            .into_iter()
            .flat_map(|name| node.all(name));
        others.find_map(absolute)
    });
    match named.or_else(|| node.inside().find_map(number)) {
        Some(number) => Some(Item::Inside { number, or_at: at }),
        None => at.map(Item::At),
    }
}

fn absolute(node: &Node) -> Option<Url> {
    let url = Url::parse(node.text()?).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}
