//! Shows a text on a terminal while the model writes it, each piece once and in order. After a missing piece, the rest is shown when the text is
//! complete.

use std::cell::RefCell;

use reel_protocol::methods::PartialEvent;

use crate::output::Output;

/// The text of one task, as far as the terminal shows it.
#[derive(Debug)]
pub struct StreamedText {
    output: Output,
    shown: RefCell<ShownText>,
}

#[derive(Debug, Default)]
struct ShownText {
    text: String,
    /// Whether a piece was missing or the text started over. Further pieces are then ignored, and the rest is printed when the text is complete.
    is_broken: bool,
}

impl StreamedText {
    /// Starts with nothing shown.
    pub fn new(output: Output) -> Self {
        Self { output, shown: RefCell::default() }
    }

    /// Whether a part of the text is on the terminal.
    pub fn has_begun(&self) -> bool {
        !self.shown.borrow().text.is_empty()
    }

    /// Prints a piece if it directly follows what is shown.
    pub fn take(&self, partial: &PartialEvent) {
        if self.shown.borrow_mut().add(partial) {
            self.output.piece(&partial.text);
        }
    }

    /// Ends the current line if the rest of the text will not arrive.
    pub fn end_line(&self) {
        if self.has_begun() {
            self.output.piece("\n");
        }
    }

    /// Returns what must still be printed of the complete text. If the terminal shows something that is no prefix of it, this is the whole text on a
    /// new line.
    pub fn rest_of(self, text: &str) -> String {
        self.shown.into_inner().rest_of(text)
    }
}

impl ShownText {
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
            let mut state = ShownText::default();
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
