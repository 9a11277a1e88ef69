//! Manages the output directory of a batch: decides which files answer which lines, and renames the files of lines that moved.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    path::Path,
};

use reel_protocol::Digest;

use super::{
    Item, Record, Step,
    plan::{Present, step},
    record::Entry,
};
use crate::{failure::Failure, save, table};

/// The output directory. It caches the digests of the files that were read.
#[derive(Debug)]
pub struct Directory<'a> {
    path: &'a Path,
    digests: HashMap<String, Option<Digest>>,
}

/// The rename of a file of an earlier run to the name of the line that asks for it now.
struct Move {
    from: String,
    to: String,
    entry: Entry,
}

impl<'a> Directory<'a> {
    /// Starts without reading any file.
    pub fn new(path: &'a Path) -> Self {
        Self { path, digests: HashMap::new() }
    }

    /// Decides what to do for an item.
    pub fn step(
        &mut self,
        item: &Item,
        record: &Record,
        is_forced: bool,
        is_fresh: bool,
    ) -> Result<Step, Failure> {
        let present = self.present(item)?;
        let present: Vec<_> = present
            .iter()
            .map(|(file, digest)| Present {
                file,
                entry: digest.and_then(|digest| record.entry(file, digest)),
            })
            .collect();
        Ok(step(item, &present, is_forced, is_fresh))
    }

    /// Renames files of earlier runs whose line has another number now. Otherwise each line after an inserted one would get a second copy of its
    /// picture. A file that was changed, or whose new name is taken, keeps its name. Returns the number of renamed files.
    pub fn follow_lines(
        &mut self,
        items: &[Item],
        record: &mut Record,
        lines: &str,
    ) -> Result<usize, Failure> {
        let moves = self.moves(items, record, lines)?;
        if moves.is_empty() {
            return Ok(0);
        }
        record.begin_moves(moves.iter().map(|file| file.entry.clone()).collect())?;
        let renamed = carry_out(moves, |file| self.rename(file, record));
        record.end_moves()?;
        Ok(renamed)
    }

    /// Returns the stems of the files that [`Self::follow_lines`] would rename files of earlier runs to. Renames nothing.
    pub fn would_follow_lines(
        &mut self,
        items: &[Item],
        record: &Record,
        lines: &str,
    ) -> Result<HashSet<String>, Failure> {
        let moves = self.moves(items, record, lines)?;
        let mut stems = HashSet::new();
        // The names that renames would take and free.
        let mut is_taken: HashMap<String, bool> = HashMap::new();
        carry_out(moves, |file| {
            let is_free =
                !is_taken.get(&file.to).copied().unwrap_or_else(|| save::is_taken(&self.path.join(&file.to)));
            if is_free {
                is_taken.extend([(file.from.clone(), false), (file.to.clone(), true)]);
                stems.extend(file.to.rsplit_once('.').map(|(stem, _)| stem.to_owned()));
            }
            is_free
        });
        Ok(stems)
    }

    /// Finds the files of earlier runs whose line has another number now.
    fn moves(&mut self, items: &[Item], record: &Record, lines: &str) -> Result<Vec<Move>, Failure> {
        let mut missing = Vec::new();
        let mut kept = HashSet::new();
        for item in items {
            match self.step(item, record, false, false)? {
                Step::Keep(file) => drop(kept.insert(file)),
                Step::Make | Step::Replace(_) => missing.push(item),
                Step::Refuse(_) => {}
            }
        }
        let mut movable: HashMap<Digest, Vec<(String, Entry)>> = HashMap::new();
        for (file, entry) in record.files() {
            if entry.lines.as_deref() == Some(lines) && !kept.contains(file) {
                movable.entry(entry.request).or_default().push((file.to_owned(), entry.clone()));
            }
        }
        let mut moves = Vec::new();
        for item in missing {
            let Some((from, entry)) = movable.get_mut(&item.request).and_then(Vec::pop) else { continue };
            let Some((_, ending)) = from.rsplit_once('.').filter(|(_, ending)| item.takes(ending)) else {
                continue;
            };
            if self.digest(&from)? == Some(entry.digest) {
                moves.push(Move { to: format!("{}.{ending}", item.stem), from, entry });
            }
        }
        Ok(moves)
    }

    /// Renames a file by a hard link where possible, because a link never replaces an existing file. Returns whether the file has its new name.
    fn rename(&mut self, file: &Move, record: &mut Record) -> bool {
        let (from, to) = (self.path.join(&file.from), self.path.join(&file.to));
        let is_renamed = match fs::hard_link(&from, &to) {
            Ok(()) => fs::remove_file(&from).is_ok(),
            Err(_) if save::is_taken(&to) => return false,
            Err(_) => match fs::rename(&from, &to) {
                Ok(()) => true,
                Err(_) => return false,
            },
        };
        // If removing the old name failed, the record keeps both names. A later run then reports the old one.
        if is_renamed {
            record.forget(&file.from);
        }
        record.note(&file.to, file.entry.clone());
        self.digests.remove(&file.from);
        self.digests.remove(&file.to);
        true
    }

    /// Returns the files that earlier runs of the same lines made and that no line asks for now.
    pub fn unasked(&self, items: &[Item], record: &Record, lines: &str) -> Vec<String> {
        let stems: HashSet<&str> = items.iter().map(|item| item.stem.as_str()).collect();
        let is_asked = |file: &str| file.rsplit_once('.').is_some_and(|(stem, _)| stems.contains(stem));
        record
            .files()
            .filter(|(file, entry)| entry.lines.as_deref() == Some(lines) && !is_asked(file))
            .map(|(file, _)| file.to_owned())
            .filter(|file| save::is_taken(&self.path.join(file)))
            .collect()
    }

    /// Returns the existing files among an item's candidate names, with their digests. The digest is None if it is no readable file.
    fn present(&mut self, item: &Item) -> Result<Vec<(String, Option<Digest>)>, Failure> {
        let mut present = Vec::new();
        for file in item.candidates() {
            if save::is_taken(&self.path.join(&file)) {
                let digest = self.digest(&file)?;
                present.push((file, digest));
            }
        }
        Ok(present)
    }

    /// Returns the digest of a file, which is computed once. None if it is no regular file, such as a dangling link or a directory.
    pub fn digest(&mut self, file: &str) -> Result<Option<Digest>, Failure> {
        if let Some(known) = self.digests.get(file) {
            return Ok(*known);
        }
        let digest = digest_of(&self.path.join(file))?;
        self.digests.insert(file.to_owned(), digest);
        Ok(digest)
    }
}

/// Renames all files whose new name is free, until no more can be renamed. Returns their number. A name may be taken by a file that must move first.
/// Each pass goes in the opposite direction to the one before, so one or two passes are enough.
fn carry_out(mut moves: Vec<Move>, mut rename: impl FnMut(&Move) -> bool) -> usize {
    let all = moves.len();
    loop {
        let before = moves.len();
        moves.reverse();
        moves.retain(|file| !rename(file));
        if moves.len() == before || moves.is_empty() {
            return all - moves.len();
        }
    }
}

/// Computes the digest of a file. None if it is no regular file.
pub fn digest_of(path: &Path) -> Result<Option<Digest>, Failure> {
    if !path.is_file() {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    match File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ())) {
        Ok(()) => Ok(Some(Digest::from_bytes(*hasher.finalize().as_bytes()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::cannot_create(format!("cannot read {}: {error}", table::path(path)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Defaults, Input, Reading, plan};

    fn items(text: &str) -> Vec<Item> {
        plan(Input::read(text.as_bytes(), &Defaults::default(), &Reading::Guarded).unwrap().lines, None)
            .unwrap()
    }

    /// Writes the files of these lines as a batch would.
    fn make(record: &mut Record, directory: &Path, text: &str) {
        for item in items(text) {
            let bytes = item.params.as_str();
            fs::write(directory.join(item.expected_file()), bytes).unwrap();
            let digest = Digest::from_bytes(*blake3::hash(bytes.as_bytes()).as_bytes());
            let lines = Some("p.txt".to_owned());
            record.note(&item.expected_file(), Entry { request: item.request, digest, lines });
        }
    }

    fn follow(record: &mut Record, directory: &Path, text: &str, lines: &str) -> (usize, Vec<String>) {
        let items = items(text);
        let mut found = Directory::new(directory);
        let foreseen = found.would_follow_lines(&items, record, lines).unwrap();
        let renamed = found.follow_lines(&items, record, lines).unwrap();
        for item in &items {
            if let Step::Keep(file) = found.step(item, record, false, false).unwrap() {
                assert_eq!(fs::read_to_string(directory.join(file)).unwrap(), item.params.as_str());
            }
        }
        assert_eq!(foreseen.len(), renamed, "{text}");
        (renamed, found.unasked(&items, record, lines))
    }

    #[test]
    fn files_follow_their_lines_also_where_the_names_are_in_each_others_way() {
        for (before, after, expected, unasked) in [
            ("a\nb\nc", "x\na\nb\nc", 3, &[][..]),
            ("a\nb\nc", "b\nc", 2, &["001-a.png"]),
            ("a\nb", "a\nb", 0, &[]),
            ("a", "b", 0, &["001-a.png"]),
            // These lines have the same names but other requests. Each rename must wait until its new name is free.
            (
                r#"{"prompt":"a","name":"s"}
                   {"prompt":"b","name":"s"}
                   {"prompt":"c","name":"s"}"#,
                r#"{"prompt":"x","name":"s"}
                   {"prompt":"a","name":"s"}
                   {"prompt":"b","name":"s"}
                   {"prompt":"c","name":"s"}"#,
                3,
                &[],
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut record = Record::open(dir.path()).unwrap();
            make(&mut record, dir.path(), before);
            let found = follow(&mut record, dir.path(), after, "p.txt");
            assert_eq!(found, (expected, unasked.iter().map(|file| (*file).to_owned()).collect()), "{after}");
            assert_eq!(follow(&mut record, dir.path(), after, "p.txt").0, 0, "{after}");
        }
    }

    #[test]
    fn changed_files_files_of_strangers_and_of_other_lines_keep_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Record::open(dir.path()).unwrap();
        make(&mut record, dir.path(), "a\nb\nc");
        assert_eq!(follow(&mut record, dir.path(), "x\na\nb\nc", "other.txt"), (0, Vec::new()));
        fs::write(dir.path().join("002-b.png"), "changed").unwrap();
        fs::write(dir.path().join("002-a.png"), "mine").unwrap();
        let (renamed, unasked) = follow(&mut record, dir.path(), "x\na\nb\nc", "p.txt");
        assert_eq!((renamed, unasked), (1, vec!["001-a.png".to_owned(), "002-b.png".to_owned()]));
        assert_eq!(fs::read_to_string(dir.path().join("002-a.png")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(dir.path().join("002-b.png")).unwrap(), "changed");
    }
}
