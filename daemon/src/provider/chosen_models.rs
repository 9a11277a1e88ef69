//! The file that says which model was chosen for a server whose section names none. Results are cached without the name of that model, so the choice must
//! stay the same while the server gets other models.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::disk::{read_small, replace};

/// Most bytes of the file that are read.
const MAX_BYTES: u64 = 256 * 1024;

/// The file `chosen_models.json` of a home. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ChosenModels(Arc<Mutex<PathBuf>>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// The models by the address of the server.
    chosen: BTreeMap<String, String>,
}

impl ChosenModels {
    /// Returns the file of this home. Does no I/O.
    pub fn of_home(home: &Path) -> Self {
        Self(Arc::new(Mutex::new(home.join("chosen_models.json"))))
    }

    /// Returns the model that was chosen for the server at this address, if any.
    pub async fn get(&self, address: &str) -> io::Result<Option<String>> {
        let address = address.to_owned();
        self.with_file(move |path| Ok(read(path)?.chosen.remove(&address))).await
    }

    /// Returns the model that was chosen for the server at this address. If none was, `model` is chosen, and written before this returns.
    pub async fn choose(&self, address: &str, model: &str) -> io::Result<String> {
        let (address, model) = (address.to_owned(), model.to_owned());
        self.with_file(move |path| {
            let mut content = read(path)?;
            if let Some(chosen) = content.chosen.remove(&address) {
                return Ok(chosen);
            }
            content.chosen.insert(address, model.clone());
            write(path, &content)?;
            Ok(model)
        })
        .await
    }

    /// Does this with the file on another thread. Nobody else reads or writes it meanwhile.
    async fn with_file<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = Arc::clone(&self.0);
        let acting = spawn_blocking(move || {
            let path = file.lock().unwrap_or_else(PoisonError::into_inner);
            act(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        });
        acting.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Reads the file. One that is damaged is an error: another choice would have its results mixed with those of the former one.
fn read(path: &Path) -> io::Result<Content> {
    let Some(text) = read_small(path, MAX_BYTES)? else { return Ok(Content::default()) };
    Ok(serde_json::from_slice(&text)?)
}

fn write(path: &Path, content: &Content) -> io::Result<()> {
    replace(path, &serde_json::to_vec(content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_choice_stays_and_a_damaged_file_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let chosen = ChosenModels::of_home(home.path());
        assert_eq!(chosen.get("http://a/").await.unwrap(), None);
        for (address, model, expected) in
            [("http://a/", "dream", "dream"), ("http://a/", "art", "dream"), ("http://b/", "art", "art")]
        {
            assert_eq!(chosen.choose(address, model).await.unwrap(), expected, "{address} {model}");
        }
        let later = ChosenModels::of_home(home.path());
        assert_eq!(later.get("http://a/").await.unwrap().as_deref(), Some("dream"));
        for text in ["", "[", "{\"chosen\":7}"] {
            std::fs::write(home.path().join("chosen_models.json"), text).unwrap();
            let error = later.choose("http://a/", "art").await.unwrap_err();
            assert!(error.to_string().contains("chosen_models.json"), "{text}: {error}");
        }
    }
}
