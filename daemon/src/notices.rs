//! Notices: conditions that a person must know of and can act on. `daemon.status` shows them in addition to the log.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use reel_protocol::methods::DaemonNotice;

use crate::{
    chain::chain,
    store::{Loss, Opened, StoreError},
};

/// The current notices. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<DaemonNotice>>>);

impl Notices {
    /// Adds a notice in place of an equal earlier one, and logs it.
    pub fn add(&self, notice: DaemonNotice) {
        tracing::error!(code = notice.code, hint = notice.hint, "{}", notice.message);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| *known != notice);
        all.push(notice);
    }

    /// Returns all notices, oldest first.
    pub fn all(&self) -> Vec<DaemonNotice> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Notices {
    /// Returns the notices about what was found when the journal at `path` was opened.
    pub fn of_journal(path: &Path, opened: &Opened) -> Self {
        let notices = Self::default();
        let path = path.display();
        if let Some((aside, error)) = &opened.set_aside {
            tracing::error!(kept = %aside.display(), error = chain(error), "the journal cannot be read, and a new one begins");
        }
        for aside in opened.kept_aside.iter().map(|aside| aside.display()) {
            notices.add(notice(
                "journal_set_aside",
                format!("a journal that could not be read is kept as {aside}: its tasks are not in this one"),
                &format!(
                    "`sqlite3 {aside} .recover` may save its rows; its pictures stay in artifacts/; move or remove the file to end this notice"
                ),
            ));
        }
        let what = match opened.loss {
            Some(Loss::Missing) if opened.set_aside.is_none() => {
                "was missing or empty, and a new one began: the tasks of before are not in it"
            }
            Some(Loss::Replaced) => "is not the one that this home had",
            Some(Loss::Older) => {
                "is older than the newest ids that were given out, as a copy is, or one whose log was lost: what was accepted since is not in it"
            }
            _ => return notices,
        };
        notices.add(notice(
            "journal_missing",
            format!("the journal {path} {what}"),
            "stop the daemon and put the file back, if there is a copy of it; earlier results stay in artifacts/, and new ids follow the earlier ones",
        ));
        notices
    }

    /// Adds a notice that the directory of the artifacts was deleted or replaced while the daemon ran.
    pub fn add_artifacts_lost(&self, directory: &Path) {
        self.add(notice(
            "artifacts_lost",
            format!("{} was deleted or replaced while the daemon ran", directory.display()),
            "put it back if there is a copy; a request for a picture that is gone makes it again, and may pay again",
        ));
    }

    /// Adds a notice that the journal was lost while the daemon ran.
    pub fn add_lost(&self, error: &StoreError) {
        self.add(notice("journal_lost", error.to_string(), error.hint().unwrap_or_default()));
    }
}

fn notice(code: &str, message: String, hint: &str) -> DaemonNotice {
    DaemonNotice { code: code.to_owned(), message, hint: Some(hint.to_owned()) }
}
