//! A text that is shown on a terminal while it is written: each piece once and in order. Where a piece is missing, the rest waits for the end.

use std::cell::RefCell;

use reel_protocol::methods::PartialEvent;

use crate::output::Output;

/// What of one task's text is on the terminal.
#[derive(Debug)]
pub struct TextAsItComes {
    output: Output,
    shown: RefCell<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    text: String,
    /// A piece is missing, or the text was begun anew: what follows is shown once it is whole.
    is_broken: bool,
}

impl TextAsItComes {
    /// Nothing is shown yet.
    pub fn new(output: Output) -> Self {
        Self { output, shown: RefCell::default() }
    }

    /// Whether a part of the text is on the terminal.
    pub fn has_begun(&self) -> bool {
        !self.shown.borrow().text.is_empty()
    }

    /// Shows a piece, if it is the next one.
    pub fn take(&self, partial: &PartialEvent) {
        if self.shown.borrow_mut().add(partial) {
            self.output.piece(&partial.text);
        }
    }

    /// Ends the line of a text whose rest does not come.
    pub fn end_line(&self) {
        if self.has_begun() {
            self.output.piece("\n");
        }
    }

    /// What is still to be printed of the whole text: its rest; all of it, on a line of its own, where something else was shown.
    pub fn rest_of(self, text: &str) -> String {
        self.shown.into_inner().rest_of(text)
    }
}

impl Shown {
    fn add(&mut self, partial: &PartialEvent) -> bool {
        self.is_broken |= partial.index != 0 || partial.offset != self.text.len() as u64;
        if !self.is_broken {
            self.text.push_str(&partial.text);
        }
        !self.is_broken
    }

    fn rest_of(&self, text: &str) -> String {
        text.strip_prefix(&self.text).map_or_else(|| format!("\n{text}"), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use reel_protocol::TaskId;

    use super::*;

    #[test]
    fn each_piece_is_shown_once_and_the_rest_at_the_end() {
        for (pieces, shown, rest) in [
            (&[(0, "Hé"), (3, " you"), (7, " there")][..], "Hé you there", "."),
            (&[(3, " you")], "", "Hé you there."),
            (&[(0, "Hé"), (7, " there")], "Hé", " you there."),
            (&[(0, "Hé"), (0, "Hé"), (3, " you")], "Hé", " you there."),
            (&[(0, "Well"), (0, "Hé")], "Well", "\nHé you there."),
        ] {
            let mut state = Shown::default();
            let mut seen = String::new();
            for (offset, text) in pieces {
                let (id, text) = (TaskId(1), (*text).to_owned());
                let partial =
                    PartialEvent { id, batch: None, index: 0, offset: *offset, text, preview_path: None };
                if state.add(&partial) {
                    seen.push_str(&partial.text);
                }
            }
            assert_eq!((seen.as_str(), state.rest_of("Hé you there.").as_str()), (shown, rest), "{pieces:?}");
        }
    }
}
