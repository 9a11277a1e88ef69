//! Collects the pictures of a response. They are in the response itself, or at URLs that it names.

use reqwest::Url;

use super::{
    Files, Look, RemoteProvider,
    reading::{Text, picture},
    resume::Sinks,
};
use crate::{
    cache::{NewArtifact, Spooled},
    domain::{Class, Failure},
    provider::{
        inspect::{InspectError, Inspected},
        wire::Item,
    },
    secret::Secret,
};

/// A picture that a response contains or names.
enum Slot {
    /// The response contains the picture.
    Inside(Spooled, Look),
    /// The picture must be fetched from this URL.
    Fetch(Url),
    /// The picture cannot be had.
    Missing(Failure),
}

impl RemoteProvider {
    /// Returns the files of these pictures, and why one is missing if one is. Returns the failure if none could be had.
    pub(super) async fn collect(
        &self,
        items: Vec<Item>,
        mut texts: Vec<Option<Text>>,
        key: Option<&Secret>,
        sinks: Sinks<'_>,
    ) -> Result<(Files, Option<String>), Failure> {
        let slots: Vec<_> = items.into_iter().map(|item| self.slot(item, &mut texts)).collect();
        // Unreferenced pictures hold memory of the call's reservation, so drop them before the others are fetched.
        drop(texts);
        let url = |slot: &Slot| if let Slot::Fetch(url) = slot { Some(url.clone()) } else { None };
        let urls: Vec<_> = slots.iter().filter_map(url).collect();
        // There is one result for each slot that is fetched, in the same order.
        let mut fetched = self.fetch_named(&urls, key, sinks).await.into_iter();
        let (mut files, mut failures) = (Vec::new(), Vec::new());
        for slot in slots {
            match slot {
                Slot::Inside(file, look) => files.push((file, look)),
                Slot::Missing(failure) => failures.push(failure),
                Slot::Fetch(_) => match fetched.next() {
                    Some(Ok(file)) => files.push((file, None)),
                    Some(Err(unfetched)) => failures.push(self.unfetched(unfetched)),
                    None => {}
                },
            }
        }
        let count = files.len() + failures.len();
        // A failure that leaves the result fetchable takes precedence: the task is then held and does not fail.
        failures.sort_by_key(|failure| failure.class != Class::Ambiguous);
        match failures.into_iter().next() {
            Some(failure) if files.is_empty() => Err(failure),
            Some(failure) => {
                self.warn_of_missing(files.len(), count, &failure.error.message);
                Ok((files, Some(failure.error.message)))
            }
            None => Ok((files, None)),
        }
    }

    /// Returns where the picture of an item is, and takes it from `texts` if the response contains it. If that text is empty or damaged, the picture is
    /// fetched from the URL that the item names too.
    fn slot(&self, item: Item, texts: &mut [Option<Text>]) -> Slot {
        let (number, url) = match item {
            Item::At(url) => return Slot::Fetch(url),
            Item::Inside { number, or_at } => (number, or_at),
        };
        let Some((text, look)) = texts.get_mut(number).and_then(Option::take) else {
            let missing = || self.bad_answer("the answer names a picture and does not hold it");
            return url.map_or_else(|| Slot::Missing(missing()), Slot::Fetch);
        };
        match (self.read(Some(text)), url) {
            (Ok(file), Some(url)) if file.size_bytes == 0 => Slot::Fetch(url),
            (Ok(file), _) => Slot::Inside(file, look),
            (Err(_), Some(url)) => Slot::Fetch(url),
            (Err(failure), None) => Slot::Missing(failure),
        }
    }

    /// Inspects the files that are not inspected yet. Returns the pictures, what was found for each, and why one was left out if one was. Returns a
    /// failure if none is a picture.
    pub(in crate::provider) async fn inspect(
        &self,
        files: Files,
    ) -> Result<(Vec<NewArtifact>, Vec<Inspected>, Option<String>), Failure> {
        let (mut pictures, mut seen) = (Vec::new(), Vec::new());
        let mut fault = None;
        for (file, look) in files {
            let inspected = match look {
                Some(inspected) => inspected.map(|inspected| (file, inspected)),
                None => self.equipment.inspector.inspect(file).await,
            };
            match inspected {
                Ok((spooled, inspected)) => {
                    pictures.push(picture(spooled, &inspected));
                    seen.push(inspected);
                }
                Err(error) => fault = Some(error),
            }
        }
        match fault {
            None if !pictures.is_empty() => Ok((pictures, seen, None)),
            // The good pictures were paid together with the bad one, so they are kept.
            Some(error) if !pictures.is_empty() => {
                tracing::warn!(provider = %self.config.name, %error, "one of several pictures was left out");
                Ok((pictures, seen, Some(error.to_string())))
            }
            Some(error @ InspectError::OverMemory(_)) => Err(self.lost(&error.to_string())),
            Some(error) => Err(self.bad_answer(&error.to_string())),
            None => Err(self.bad_answer("answered without a picture")),
        }
    }
}
