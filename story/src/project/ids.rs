//! Makes ids of shots and scenes. They are short, stable, and unique in their file.

use std::collections::{HashMap, HashSet};

/// Largest length of an id, in characters.
const LONGEST: usize = 32;

/// Whether a text is a valid id: 1 to 32 of the characters a-z, 0-9 and -.
pub(super) fn is_id(id: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(is_part)
}

/// Returns the id of the scene with this number, from 0: a, b, … z, aa, ab, …
pub(crate) fn scene_id(mut number: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(b'a' + (number % 26) as u8);
        if number < 26 {
            break;
        }
        number = number / 26 - 1;
    }
    letters.iter().rev().map(|letter| char::from(*letter)).collect()
}

/// Makes ids of shots: the id of the scene and a number above all numbers that the given ids have with it.
#[derive(Debug, Default)]
pub(super) struct ShotIds {
    used: HashSet<String>,
    /// The largest number that is used behind each prefix.
    highest: HashMap<String, u64>,
}

impl ShotIds {
    pub(super) fn new<'a>(used: impl Iterator<Item = &'a str>) -> Self {
        let mut ids = Self::default();
        for id in used {
            ids.used.insert(id.to_owned());
            // The id `a12` may belong to a scene `a` or to a scene `a1`, so it counts for both.
            let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count();
            for start in id.len() - digits..id.len() {
                let (prefix, number) = id.split_at(start);
                if let Ok(number) = number.parse::<u32>() {
                    let highest = ids.highest.entry(prefix.to_owned()).or_default();
                    *highest = u64::from(number).max(*highest);
                }
            }
        }
        ids
    }

    /// Returns a new id for a shot in the scene; an empty scene is none.
    pub(super) fn next(&mut self, scene: &str) -> String {
        // This leaves ten characters for the number.
        let prefix = if scene.is_empty() { "s" } else { scene.get(..22).unwrap_or(scene) };
        let highest = self.highest.entry(prefix.to_owned()).or_default();
        loop {
            *highest += 1;
            let id = format!("{prefix}{highest}");
            if self.used.insert(id.clone()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_never_given_twice() {
        assert_eq!([0, 25, 26, 51, 52, 701, 702].map(scene_id), ["a", "z", "aa", "az", "ba", "zz", "aaa"]);
        let mut ids = ShotIds::new(["a1", "a7", "b2", "x"].into_iter());
        assert_eq!([ids.next("a"), ids.next("a"), ids.next("b"), ids.next("")], ["a8", "a9", "b3", "s1"]);
        let long = "z".repeat(32);
        assert!(is_id(&ids.next(&long)));
        for (id, is) in [
            ("a3", true),
            ("", false),
            ("A3", false),
            ("a_3", false),
            (&*long, true),
            (&"z".repeat(33), false),
        ] {
            assert_eq!(is_id(id), is, "{id}");
        }
    }
}
