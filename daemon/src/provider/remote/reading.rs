//! What is done with an answer on the thread that reads it: all of it, where it goes well, as waking another thread costs as much as the work.

use std::{collections::HashSet, sync::Arc};

use reqwest::Url;

use super::{Look, MAX_PICTURE_BYTES};
use crate::{
    cache::{Body, Fresh, Shelver, Spooled, Spools},
    provider::{
        Picture,
        http::{Answer, BodyFault, BodyLimits, Chunks, mend, read_answer},
        inspect::{Inspected, Inspector},
        wire::{Item, Refusal, Wire},
    },
    store::Coming,
};

/// Texts that an answer may hold beside the pictures that were asked for, such as a preview, and that are told apart when it is whole.
pub(super) const OTHER_TEXTS: usize = 4;

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
    /// What the journal is to have of them.
    pub coming: Coming,
}

/// A text that was taken out of an answer, and what was seen of it if it was looked at.
pub(super) type Text = (Result<Spooled, BodyFault>, Look);

/// What came.
pub(super) enum Came {
    /// All that it names, and that is kept or could not be.
    Whole(Fresh),
    /// Something is still to be done, or wrong.
    Parts {
        items: Result<Vec<Item>, Refusal>,
        texts: Vec<Option<Text>>,
        /// Why the answer is not whole, if it is not.
        cut: Option<String>,
    },
}

impl Reading {
    /// Reads a body. Blocks on it and on the disk.
    pub fn read(self, chunks: Chunks) -> Result<Came, BodyFault> {
        let limits = BodyLimits { texts: self.count + OTHER_TEXTS, picture_bytes: MAX_PICTURE_BYTES };
        let answer = read_answer(chunks, self.wire.picture_field(), &self.spools, limits)?;
        let Answer { document, texts, cut } = answer;
        let items = match (self.wire.items(&document, &self.base), &cut) {
            // Of what was cut, whatever is whole.
            (Err(_), Some(_)) => self.wire.items(&mend(&document), &self.base),
            (items, _) => items,
        };
        let items = items.map(|items| items.into_iter().take(self.count).collect::<Vec<_>>());
        let look = |(number, text): (usize, Result<Spooled, BodyFault>)| {
            let spooled = text.as_ref().ok().filter(|_| number < self.count);
            let look = spooled.and_then(|spooled| self.inspector.inspect_now(spooled));
            Some((text, look))
        };
        let mut texts: Vec<_> = texts.into_iter().enumerate().map(look).collect();
        if let Ok(items) = &items
            && let Some(numbers) = all_good(items, &texts)
        {
            let taken = numbers.into_iter().filter_map(|number| texts.get_mut(number)?.take());
            let pictures: Vec<_> = taken.filter_map(|(text, look)| Some((text.ok()?, look?.ok()?))).collect();
            let pictures = pictures.into_iter().map(|(spooled, inspected)| picture(spooled, inspected));
            return Ok(Came::Whole(self.shelver.shelve_now(pictures.collect(), self.coming)));
        }
        Ok(Came::Parts { items, texts, cut })
    }
}

/// The numbers of the items' texts, if each item is a picture that came whole.
fn all_good(items: &[Item], texts: &[Option<Text>]) -> Option<Vec<usize>> {
    let number = |item: &Item| {
        let Item::Taken { text, .. } = item else { return None };
        let is_good = matches!(texts.get(*text)?, Some((Ok(spooled), Some(Ok(_)))) if spooled.size_bytes > 0);
        is_good.then_some(*text)
    };
    let numbers: Vec<_> = items.iter().map(number).collect::<Option<_>>()?;
    let is_each_once = numbers.iter().collect::<HashSet<_>>().len() == numbers.len();
    (is_each_once && !numbers.is_empty()).then_some(numbers)
}

/// A picture that was looked at.
pub(super) const fn picture(spooled: Spooled, inspected: Inspected) -> Picture {
    let Inspected { media_type, extension, width, height } = inspected;
    Picture { body: Body::Spooled(spooled), reservation: None, media_type, extension, width, height }
}
