//! Finds the pictures of a response: in the fields that the API documents, in the fields that other servers use instead, or anywhere in the
//! response. Pure.

use reqwest::Url;

use crate::provider::{
    http::{Document, Node},
    wire::Item,
};

/// Suffix of the type of an event that shows an unfinished picture.
const PARTIAL: &str = "partial_image";
/// Fields in which an object has its picture, best first: some servers put a smaller copy of it into the later ones.
const PICTURES: &[&str] = &["b64_json", "url", "image", "image_url", "b64", "base64", "image_base64", "data"];
/// Fields that contain lists of pictures. The API itself uses `data`.
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

/// Returns the number of the picture in an event that shows an unfinished picture (`image_generation.partial_image`, `image_edit.partial_image`).
/// None for any other value.
pub(super) fn preview(root: &Node) -> Option<usize> {
    let mut kinds = root.all("type").filter_map(Node::text);
    let is_preview = kinds.any(|kind| kind.ends_with(PARTIAL));
    let number = |node: &Node| if let Node::Picture(number) = node { Some(*number) } else { None };
    root.inside().find_map(number).filter(|_| is_preview)
}

/// Returns the pictures of a response in their order, without previews.
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
    // No known field has a picture. Take every picture in the response, as it was paid for.
    let others = (0..document.pictures).filter(|number| !previews.contains(number));
    others.map(|number| Item::Inside { number, or_at: None }).collect()
}

/// The base of relative URLs: the directory of the API. A URL that begins with a slash is relative to the host.
fn directory(base: &Url) -> Url {
    let mut directory = base.clone();
    directory.set_path(&format!("{}/", base.path().trim_end_matches('/')));
    directory
}

/// Returns the pictures of one value, at most one for each object that has one in a field of its own.
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

/// Returns the picture that an object has in a field of its own, or its URL.
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
