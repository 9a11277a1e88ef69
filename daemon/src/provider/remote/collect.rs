//! Collects the pictures of a response. They are in the response itself, or at URLs that it names.

use super::{
    Files, RemoteProvider,
    reading::{Text, picture},
    resume::Sinks,
};
use crate::{
    cache::NewArtifact,
    domain::{Class, Failure},
    provider::{
        inspect::{InspectError, Inspected},
        wire::Item,
    },
    secret::Secret,
};

impl RemoteProvider {
    /// Returns the files of these pictures, and why one is missing if one is. Returns the failure if none could be had.
    pub(super) async fn collect(
        &self,
        items: Vec<Item>,
        mut texts: Vec<Option<Text>>,
        key: Option<&Secret>,
        sinks: Sinks<'_>,
    ) -> Result<(Files, Option<String>), Failure> {
        let (mut had, mut urls) = (Vec::new(), Vec::new());
        for item in items {
            let (taken, at) = match item {
                Item::Inside { number, or_at } => (texts.get_mut(number).and_then(Option::take), or_at),
                Item::At(url) => (None, Some(url)),
            };
            let taken = taken.map(|(text, look)| Ok((self.read(Some(text))?, look)));
            had.push(match (taken, at) {
                (Some(Ok((file, look))), at) if file.size_bytes > 0 || at.is_none() => Some(Ok((file, look))),
                (_, Some(url)) => {
                    urls.push(url);
                    None
                }
                (Some(Err(failure)), None) => Some(Err(failure)),
                _ => Some(Err(self.bad_answer("the answer names a picture and does not hold it"))),
            });
        }
        // Unreferenced pictures hold memory of the call's reservation, so drop them before the others are fetched.
        drop(texts);
        let mut fetched = self.fetch_named(&urls, key, sinks).await.into_iter();
        let mut next_fetched = || {
            let fetched = fetched.next()?;
            Some(fetched.map(|file| (file, None)).map_err(|unfetched| self.unfetched(unfetched)))
        };
        let (mut files, mut failures) = (Vec::new(), Vec::new());
        for got in had {
            match got.or_else(&mut next_fetched) {
                Some(Ok(file)) => files.push(file),
                Some(Err(failure)) => failures.push(failure),
                None => {}
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
