//! Tables that let go of their room once a flood is over: a map keeps what it was largest with, until it is told. Pure.

use std::{collections::HashMap, hash::Hash};

/// Room for so many is never given back: it weighs nothing.
const SMALL: usize = 1_024;
/// A table that shrinks keeps room for so many times what it holds: so many must come before it grows again, which pays for the move.
const TIMES_KEPT: usize = 4;

/// Gives a table's room back where it holds far less than it could. To be called whenever an entry left; it looks only when the number of
/// entries has halved, as a table's capacity does not tell how large it is where many entries were removed.
pub fn let_go<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    let held = map.len();
    if held == 0 || (held >= SMALL && held.is_power_of_two()) {
        map.shrink_to((held * TIMES_KEPT).max(SMALL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_emptied_is_small_again_and_keeps_what_it_holds() {
        let mut map: HashMap<u32, u64> = (0..100_000).map(|key| (key, 0)).collect();
        for key in 0..99_000 {
            map.remove(&key);
            let_go(&mut map);
        }
        assert!(map.len() == 1_000 && (99_000..100_000).all(|key| map.contains_key(&key)));
        assert!(map.capacity() <= 2 * TIMES_KEPT * SMALL, "{}", map.capacity());
        map.clear();
        let_go(&mut map);
        assert!(map.capacity() <= 2 * SMALL, "{}", map.capacity());
    }
}
