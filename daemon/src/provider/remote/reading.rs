//! Reads and processes a response on one blocking thread. In the usual case that thread also inspects the pictures.

use std::{collections::HashSet, sync::Arc};

use reqwest::Url;

use super::{Look, MAX_PICTURE_BYTES};
use crate::{
    cache::{Body, NewArtifact, Preview, Spooled, Spools},
    domain::{Facts, ProgressSink},
    provider::{
        http::{Answer, BodyFault, BodyLimits, Chunks, Document, Node, read_answer},
        inspect::{Inspected, Inspector},
        wire::{Item, Wire},
    },
};

/// Pictures beyond the requested ones, such as previews, that may also stay in memory while they are small.
pub(super) const OTHER_PICTURES: usize = 4;
/// Most pictures of a response that are kept or fetched. It is four times the most that a request may ask for; the limit exists because each
/// picture holds an open file.
pub(super) const MAX_PICTURES: usize = 64;

/// Most previews of one response that are shown. Services send at most three.
const MAX_PREVIEWS: usize = 4;
/// Largest preview that is shown, in bytes.
const MAX_PREVIEW_BYTES: u64 = 32 * 1024 * 1024;

/// The inputs and tools of the reading thread.
pub(super) struct Reading {
    pub wire: Arc<dyn Wire>,
    /// The base of relative URLs in the response.
    pub base: Url,
    /// How many pictures were requested.
    pub count: usize,
    pub spools: Spools,
    pub inspector: Inspector,
    /// Receives the path of each preview.
    pub progress: ProgressSink,
    /// The provider's name, for messages about previews.
    pub name: String,
}

/// The file of a picture in a response, and the result of its inspection; None if it has not been inspected.
pub(super) type Text = (Result<Spooled, BodyFault>, Look);

/// The outcome of reading a response.
pub(super) enum Came {
    /// Every picture of the response was good.
    Whole {
        pictures: Vec<NewArtifact>,
        /// The result of the inspection of each picture.
        seen: Vec<Inspected>,
        /// Everything in the response besides its pictures.
        document: Document,
        /// How many pictures were dropped because there were too many.
        passed_over: usize,
    },
    /// Something remains to be done: pictures are to be fetched or inspected, or a fault is to be reported.
    Parts(Parts),
}

/// A response whose pictures are still to be fetched or inspected, or that has a fault.
pub(super) struct Parts {
    /// The pictures that the response contains or names by URL.
    pub items: Vec<Item>,
    /// The pictures that the response contains; an entry becomes None once its picture is taken.
    pub pictures: Vec<Option<Text>>,
    /// Everything in the response besides its pictures.
    pub document: Document,
    /// Why the response was cut, if it was.
    pub cut: Option<String>,
    /// How many pictures were dropped because there were too many.
    pub passed_over: usize,
    /// Whether the response is much larger than any valid one, and was not read to its end.
    pub is_too_large: bool,
}

impl Reading {
    /// Reads the body to its end. Blocks on the body and on the disk.
    pub fn read(self, chunks: Chunks) -> Came {
        let in_memory = self.count + OTHER_PICTURES;
        let limits = BodyLimits { in_memory, pictures: MAX_PICTURES, picture_bytes: MAX_PICTURE_BYTES };
        // The files of the previews are deleted when this function returns.
        let mut previews = Vec::new();
        let mut watch = |node: &Node, pictures: &[Result<Spooled, BodyFault>]| {
            let number = self.wire.preview(node).filter(|_| previews.len() < MAX_PREVIEWS);
            if let Some(Ok(spooled)) = number.and_then(|number| pictures.get(number)) {
                previews.extend(self.preview(spooled, previews.len()));
            }
        };
        let answer = read_answer(chunks, self.wire.picture_field(), &self.spools, limits, &mut watch);
        let Answer { document, pictures, passed_over, cut, is_too_large } = answer;
        let mut items = self.wire.items(&document, &self.base);
        let passed_over = passed_over + items.len().saturating_sub(MAX_PICTURES);
        items.truncate(MAX_PICTURES);
        let named: HashSet<_> = items.iter().filter_map(Item::number).collect();
        let look = |(number, text): (usize, Result<Spooled, BodyFault>)| {
            let spooled = text.as_ref().ok().filter(|_| named.contains(&number));
            let look = spooled.and_then(|spooled| self.inspector.inspect_now(spooled));
            Some((text, look))
        };
        let mut pictures: Vec<_> = pictures.into_iter().enumerate().map(look).collect();
        if let Some(numbers) = all_good(&items, &pictures) {
            let taken = numbers.into_iter().filter_map(|number| pictures.get_mut(number)?.take());
            let pictures: Vec<_> = taken.filter_map(|(text, look)| Some((text.ok()?, look?.ok()?))).collect();
            let seen = pictures.iter().map(|(_, inspected)| inspected.clone()).collect();
            let pictures = pictures.into_iter().map(|(spooled, inspected)| picture(spooled, &inspected));
            return Came::Whole { pictures: pictures.collect(), seen, document, passed_over };
        }
        Came::Parts(Parts { items, pictures, document, cut, passed_over, is_too_large })
    }

    /// Shows a preview to the user, if it decodes. Returns None if not; the result of the call never depends on a preview.
    fn preview(&self, spooled: &Spooled, number: usize) -> Option<Preview> {
        if spooled.size_bytes > MAX_PREVIEW_BYTES {
            return None;
        }
        let inspected = self.inspector.inspect_now(spooled)?.ok()?;
        let preview = self.spools.preview(spooled, inspected.extension);
        let preview =
            preview.inspect_err(|error| tracing::debug!(%error, "a preview was not written")).ok()?;
        let path = preview.path().to_path_buf();
        let fraction = 0.5 + 0.1 * (number + 1) as f64;
        let message = format!("preview {} of {}: {}", number + 1, self.name, path.display());
        self.progress.report(fraction, message);
        self.progress.preview(number as u64, path);
        Some(preview)
    }
}

/// Returns the numbers of the pictures in the response, if all named pictures are in it, passed the inspection, and are named once each.
fn all_good(items: &[Item], pictures: &[Option<Text>]) -> Option<Vec<usize>> {
    let number = |item: &Item| {
        let number = item.number()?;
        let is_good =
            matches!(pictures.get(number)?, Some((Ok(spooled), Some(Ok(_)))) if spooled.size_bytes > 0);
        is_good.then_some(number)
    };
    let numbers: Vec<_> = items.iter().map(number).collect::<Option<_>>()?;
    let is_each_once = numbers.iter().collect::<HashSet<_>>().len() == numbers.len();
    (is_each_once && !numbers.is_empty()).then_some(numbers)
}

/// Turns an inspected picture into a new artifact.
pub(super) fn picture(spooled: Spooled, inspected: &Inspected) -> NewArtifact {
    let facts = Facts::new(inspected.media_type, inspected.extension);
    let facts = match (inspected.width, inspected.height) {
        (Some(width), Some(height)) => facts.with_pixels(width, height),
        _ => facts,
    };
    NewArtifact { body: Body::Spooled(spooled), reservation: None, facts }
}
