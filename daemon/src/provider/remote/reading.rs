//! What is done with an answer on the thread that reads it: all of it, where it goes well, as waking another thread costs as much as the work.

use std::{collections::HashSet, sync::Arc};

use reqwest::Url;

use super::{Look, MAX_PICTURE_BYTES};
use crate::{
    cache::{Body, Fresh, NewArtifact, Preview, Shelver, Spooled, Spools},
    domain::{Facts, ProgressSink},
    provider::{
        http::{Answer, BodyFault, BodyLimits, Chunks, Document, Node, read_answer},
        inspect::{Inspected, Inspector},
        wire::{Item, Wire},
    },
};

/// Pictures of an answer beside those that were asked for, such as a preview, that are in memory while they are small.
pub(super) const OTHER_PICTURES: usize = 4;
/// Pictures of an answer that are kept, or fetched from where it says that they are: four times what may be asked for, as each has a file open.
const MAX_PICTURES: usize = 64;

/// Previews of one answer that are shown: services send three at the most.
const MAX_PREVIEWS: usize = 4;
/// Largest preview that is shown, in bytes.
const MAX_PREVIEW_BYTES: u64 = 32 * 1024 * 1024;

/// What an answer is read with.
pub(super) struct Reading {
    pub wire: Arc<dyn Wire>,
    /// What the URLs in it are relative to.
    pub base: Url,
    /// Pictures that were asked for.
    pub count: usize,
    pub spools: Spools,
    pub inspector: Inspector,
    pub shelver: Shelver,
    /// Where the previews of a picture are told.
    pub progress: ProgressSink,
    /// The name of the provider, for what is told about a preview.
    pub name: String,
}

/// A picture of an answer, and what was seen of it if it was looked at.
pub(super) type Text = (Result<Spooled, BodyFault>, Look);

/// What an answer held once it was read.
pub(super) enum Came {
    /// All that it names, and that is kept or could not be.
    Whole {
        fresh: Fresh,
        /// What was seen of each picture.
        seen: Vec<Inspected>,
        /// What else the answer says.
        document: Document,
        /// Pictures that were not kept, as there were too many.
        passed_over: usize,
    },
    /// Something is still to be done, or wrong.
    Parts(Parts),
}

/// An answer of which something is still to be done, or wrong.
pub(super) struct Parts {
    /// The pictures that it holds or names.
    pub items: Vec<Item>,
    /// The pictures that the answer holds, each until it is taken.
    pub pictures: Vec<Option<Text>>,
    /// What the answer says besides its pictures.
    pub document: Document,
    /// Why it is not whole, if it is not.
    pub cut: Option<String>,
    /// Pictures that were not kept, as there were too many.
    pub passed_over: usize,
    /// Whether it holds far more than any answer does, and was not read to its end.
    pub is_too_large: bool,
}

impl Reading {
    /// Reads a body. Blocks on it and on the disk.
    pub fn read(self, chunks: Chunks) -> Came {
        let in_memory = self.count + OTHER_PICTURES;
        let limits = BodyLimits { in_memory, pictures: MAX_PICTURES, picture_bytes: MAX_PICTURE_BYTES };
        // Their files go when the answer is read.
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
            let fresh = self.shelver.shelve_now(pictures.collect());
            return Came::Whole { fresh, seen, document, passed_over };
        }
        Came::Parts(Parts { items, pictures, document, cut, passed_over, is_too_large })
    }

    /// Shows a picture that is not finished, where it is a picture that decodes. Nothing depends on it.
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

/// The numbers of the pictures that the answer holds, if all that it names are among them, came whole, and are named once.
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

/// A picture that was looked at.
pub(super) fn picture(spooled: Spooled, inspected: &Inspected) -> NewArtifact {
    let facts = Facts::new(inspected.media_type, inspected.extension);
    let facts = match (inspected.width, inspected.height) {
        (Some(width), Some(height)) => facts.with_pixels(width, height),
        _ => facts,
    };
    NewArtifact { body: Body::Spooled(spooled), reservation: None, facts }
}
