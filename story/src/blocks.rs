//! Divides a text into blocks: paragraphs, headings and separators. Lines that were wrapped by hand or by a program are joined into paragraphs.

use unicode_normalization::UnicodeNormalization as _;

use crate::{
    characters::{columns, is_clause_end, is_closer, is_end, is_wide},
    heading::{heading, is_separator},
};

/// A part of a story. The texts contain no line breaks, and no white space at their ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// A paragraph of spoken text.
    Paragraph(String),
    /// A heading, which begins a scene. The field is its title.
    Heading(String),
    /// A separator, which begins a scene without a title.
    Separator,
}

/// Widest line of a text that was wrapped by a program, in columns. If a text has a wider line, its paragraphs are one line each.
const WIDEST_WRAP: usize = 120;
/// Narrowest full line, in columns. A narrower line would have had room for the next word in any text, so the author broke it on purpose.
const NARROWEST_WRAP: usize = 40;

/// A line without white space at its ends, and how it was set off in the text.
struct Line {
    text: String,
    is_indented: bool,
    follows_blank: bool,
}

/// Returns the blocks of a text, in the composed form of Unicode (NFC).
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let lines = lines(text);
    let is_wrapped = is_wrapped(&lines);
    let widest = lines.iter().map(|line| columns(&line.text)).max().unwrap_or(0);
    let mut blocks: Vec<Block> = Vec::new();
    let mut former: Option<&Line> = None;
    for line in &lines {
        if is_separator(&line.text) {
            blocks.push(Block::Separator);
            former = None;
        } else if let Some(title) = heading(&line.text, line.follows_blank) {
            blocks.push(Block::Heading(title.to_owned()));
            former = None;
        } else {
            match (blocks.last_mut(), former) {
                (Some(Block::Paragraph(paragraph)), Some(former))
                    if goes_on(former, line, widest, is_wrapped) =>
                {
                    join(paragraph, &line.text);
                }
                _ => blocks.push(Block::Paragraph(line.text.clone())),
            }
            former = Some(line);
        }
    }
    blocks
}

/// Returns the lines that have text. Every form of line break counts, and runs of white space become one space.
fn lines(text: &str) -> Vec<Line> {
    let text: String = text.nfc().collect();
    let text = text.replace("\r\n", "\n");
    let mut lines = Vec::new();
    let mut follows_blank = true;
    for line in text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.is_empty() {
            let is_indented = line.starts_with(['\t', '\u{3000}']) || line.starts_with("  ");
            lines.push(Line { text: words.join(" "), is_indented, follows_blank });
        }
        follows_blank = words.is_empty();
    }
    lines
}

/// Whether the text was wrapped by a program: at least 60 % of the lines that another line follows directly are full.
fn is_wrapped(lines: &[Line]) -> bool {
    let widest = lines.iter().map(|line| columns(&line.text)).max().unwrap_or(0);
    let followed = lines.iter().zip(lines.iter().skip(1)).filter(|(_, next)| !next.follows_blank);
    let (mut all, mut full) = (0, 0);
    for (line, next) in followed {
        all += 1;
        full += usize::from(is_full(line, next, widest));
    }
    widest <= WIDEST_WRAP && full * 10 >= all * 6 && all > 0
}

/// Whether the next line's first word would not have fitted into the line.
fn is_full(line: &Line, next: &Line, widest: usize) -> bool {
    let width = columns(&line.text);
    let word = match next.text.chars().next() {
        Some(first) if is_wide(first) => 2,
        _ => 1 + columns(next.text.split(' ').next().unwrap_or_default()),
    };
    width >= NARROWEST_WRAP && width + word > widest
}

/// Whether a line continues the paragraph of the line before it.
fn goes_on(former: &Line, line: &Line, widest: usize, is_wrapped: bool) -> bool {
    if line.follows_blank || line.is_indented && !former.is_indented {
        return false;
    }
    let last = former.text.chars().rev().find(|character| !is_closer(*character));
    let ends_sentence = last.is_some_and(is_end);
    let goes_on_small = !ends_sentence && line.text.starts_with(char::is_lowercase);
    let is_open = !ends_sentence && last.is_some_and(|last| !is_clause_end(last) || is_wide(last));
    goes_on_small || is_wrapped && (is_full(former, line, widest) || is_open)
}

/// Appends a line to a paragraph, with a space before it. There is none behind a hyphen or a dash, or within a script without spaces.
fn join(paragraph: &mut String, line: &str) {
    let last = paragraph.chars().next_back();
    let first = line.chars().next();
    let is_joined = last.is_some_and(|last| matches!(last, '-' | '—'))
        || last.is_some_and(is_wide) && first.is_some_and(is_wide);
    if !is_joined {
        paragraph.push(' ');
    }
    paragraph.push_str(line);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the blocks as text: headings with `# ` before them, and separators as `---`.
    fn shown(text: &str) -> Vec<String> {
        let show = |block| match block {
            Block::Paragraph(text) => text,
            Block::Heading(title) => format!("# {title}"),
            Block::Separator => "---".to_owned(),
        };
        blocks(text).into_iter().map(show).collect()
    }

    #[test]
    fn a_text_has_the_blocks_that_its_writer_meant() {
        let wrapped = "The old keeper climbed the stairs every evening, lit the\n\
                       lamp, and looked out over the dark water. Nobody had come to\n\
                       visit him.\n\nHe did not mind.";
        let poem = "The wind was cold,\nThe sea was grey,\nThe keeper old,\nThe ship away.";
        for (text, blocks) in [
            ("", vec![]),
            (" \n\t\r\n", vec![]),
            ("One.\n\nTwo.", vec!["One.", "Two."]),
            ("One.\r\n\r\nTwo.\rThree.\u{2028}Four.", vec!["One.", "Two.", "Three.", "Four."]),
            ("  One \t two.  ", vec!["One two."]),
            ("cafe\u{301}", vec!["caf\u{e9}"]),
            ("He went\nhome.", vec!["He went home."]),
            (
                wrapped,
                vec![
                    "The old keeper climbed the stairs every evening, lit the lamp, and looked out over the dark water. \
                     Nobody had come to visit him.",
                    "He did not mind.",
                ],
            ),
            (poem, vec!["The wind was cold,", "The sea was grey,", "The keeper old,", "The ship away."]),
            ("　　从前有座山。\n　　山里有座庙。", vec!["从前有座山。", "山里有座庙。"]),
            ("# One\nText.\n***\nMore.", vec!["# One", "Text.", "---", "More."]),
            ("第一章 渡口\n天黑了。\n——\n天亮了。", vec!["# 第一章 渡口", "天黑了。", "---", "天亮了。"]),
        ] {
            assert_eq!(shown(text), blocks, "{text:?}");
        }
    }

    #[test]
    fn wrapped_chinese_is_joined_without_spaces() {
        let line = "从前有一个孤独的守塔人每天晚上都要爬上高高的楼梯";
        assert_eq!(shown(&format!("{line}\n{line}\n点亮那盏灯。")), [format!("{line}{line}点亮那盏灯。")]);
    }

    /// Wraps the text as a program does: each line has as many words as fit.
    fn wrapped(text: &str, width: usize) -> String {
        let mut lines = vec![String::new()];
        for word in text.split(' ') {
            if lines.last().is_some_and(|line| !line.is_empty() && line.len() + 1 + word.len() > width) {
                lines.push(String::new());
            }
            let line = lines.last_mut().unwrap();
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.join("\n")
    }

    proptest! {
        #[test]
        fn a_text_that_was_wrapped_has_its_paragraphs_again(
            paragraphs in proptest::collection::vec("[A-Z][a-z]{0,8}( [A-Za-z]{1,10}[.,!?\"]?){20,80}", 1..5),
            width in 60_usize..100,
        ) {
            let text: Vec<String> = paragraphs.iter().map(|paragraph| wrapped(paragraph, width)).collect();
            let expected: Vec<Block> = paragraphs.into_iter().map(Block::Paragraph).collect();
            prop_assert_eq!(blocks(&text.join("\n\n")), expected);
        }
    }
}
