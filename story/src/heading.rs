//! Recognises headings and separators. Each of them begins a scene.

use crate::characters::{is_clause_end, is_end};

/// Largest length of a heading, in characters. Longer lines are text.
const LONGEST: usize = 60;

/// Words that are followed by a number in a heading.
const NUMBERED: [&str; 12] = [
    "chapter",
    "part",
    "book",
    "act",
    "scene",
    "canto",
    "kapitel",
    "teil",
    "chapitre",
    "capítulo",
    "capitolo",
    "глава",
];
/// Words that are a heading alone on a line.
const WHOLE: [&str; 13] = [
    "prologue",
    "epilogue",
    "prolog",
    "epilog",
    "interlude",
    "序",
    "序章",
    "楔子",
    "引子",
    "尾声",
    "尾聲",
    "后记",
    "後記",
];
/// Words that count as a number in a heading.
const NUMBERS: [&str; 23] = [
    "the",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "first",
    "last",
];

/// Returns the title of a heading; None for another line. `Chapter 1` and `Prologue` need a blank line before them; `# Title` and `第…章` do not.
pub(crate) fn heading(line: &str, follows_blank: bool) -> Option<&str> {
    let marks = line.chars().take_while(|character| *character == '#').count();
    if (1..=6).contains(&marks) {
        let title = line.trim_start_matches('#').strip_prefix(' ')?.trim_end_matches(['#', ' ']);
        return (!title.is_empty()).then_some(title);
    }
    let is_heading = line.chars().count() <= LONGEST
        && (is_chinese(line) || follows_blank && (is_numbered(line) || is_whole(line)));
    is_heading.then_some(line)
}

fn is_whole(line: &str) -> bool {
    let word = line.trim_end_matches(['.', ':', '：']).to_lowercase();
    WHOLE.contains(&word.as_str())
}

/// Whether the line is like `第十二章 渡口`: a number between 第 and a unit, and no punctuation at the end.
fn is_chinese(line: &str) -> bool {
    let Some(rest) = line.strip_prefix('第') else { return false };
    let rest = rest.trim_start();
    let number = |character: char| {
        character.is_ascii_digit()
            || "〇零一二三四五六七八九十百千两兩０１２３４５６７８９".contains(character)
    };
    let digits: String = rest.chars().take_while(|character| number(*character)).collect();
    let Some(title) = rest.strip_prefix(digits.as_str()) else { return false };
    let mut title = title.trim_start().chars();
    let unit = title.next();
    let has_unit = unit.is_some_and(|unit| "章回节節卷幕部集话話折篇".contains(unit));
    let ends_sentence = line.chars().next_back().is_some_and(|last| is_end(last) || is_clause_end(last));
    // 第一回来 begins a sentence. So behind a unit other than 章 and 卷 there must be a mark, a space or the end of the line.
    let is_set_off =
        matches!(unit, Some('章' | '卷')) || title.next().is_none_or(|next| !next.is_alphanumeric());
    !digits.is_empty() && has_unit && is_set_off && !ends_sentence
}

/// Whether the line is like `Chapter 12`, `PART TWO: The Ferry` or `Chapter the First`.
fn is_numbered(line: &str) -> bool {
    let mut words = line.split(' ');
    let Some(word) = words.next().map(str::to_lowercase) else { return false };
    let Some(number) = words.next() else { return false };
    let is_set_off = number.ends_with(['.', ':', '—', '–', '-']);
    let number = number.trim_end_matches(['.', ':', '—', '–', '-']);
    let rest: Vec<&str> = words.collect();
    // "Part one of the plan was done" is a sentence.
    let is_title = rest.is_empty()
        || is_set_off
        || rest.first().is_some_and(|word| !word.starts_with(char::is_lowercase))
        || number.eq_ignore_ascii_case("the");
    NUMBERED.contains(&word.as_str())
        && is_number(number)
        && is_title
        && !rest.last().is_some_and(|w| w.ends_with('.'))
}

fn is_number(word: &str) -> bool {
    let lower = word.to_lowercase();
    let first = lower.split('-').next().unwrap_or_default();
    !word.is_empty()
        && (word.chars().all(|digit| digit.is_ascii_digit())
            || lower.chars().all(|digit| "ivxlc".contains(digit))
            || NUMBERS.contains(&first)
            || ["thirty", "forty", "fifty"].contains(&first))
}

/// Whether the line consists of separator marks only: at least three, two dashes, or any number of marks that have no other use, such as `⁂`.
pub(crate) fn is_separator(line: &str) -> bool {
    let marks: Vec<char> = line.chars().filter(|character| !character.is_whitespace()).collect();
    let is_mark = |mark: &char| "*-_=~#—–─·•◇◆○●☆★※⁂❦⁕".contains(*mark);
    let is_plain = |mark: &char| "⁂❦※◇◆☆★".contains(*mark);
    let is_dash = |mark: &char| "—─".contains(*mark);
    !marks.is_empty()
        && marks.iter().all(is_mark)
        && (marks.len() >= 3 || marks.iter().all(is_plain) || marks.len() == 2 && marks.iter().all(is_dash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_told_from_sentences() {
        for (line, title) in [
            ("# The Lamp", Some("The Lamp")),
            ("## The Lamp ##", Some("The Lamp")),
            ("#lamp is a word", None),
            ("#", None),
            ("Chapter 1", Some("Chapter 1")),
            ("CHAPTER I.", Some("CHAPTER I.")),
            ("Chapter Twenty-One: The Ferry", Some("Chapter Twenty-One: The Ferry")),
            ("PART TWO", Some("PART TWO")),
            ("Part one of the plan was done", None),
            ("Chapter 3 was his favourite.", None),
            ("Prologue", Some("Prologue")),
            ("第一章", Some("第一章")),
            ("第12回 风雪山神庙", Some("第12回 风雪山神庙")),
            ("第十二章：渡口", Some("第十二章：渡口")),
            ("第二章渡口", Some("第二章渡口")),
            ("第一回来这里，他很怕。", None),
            ("第一章写得很好。", None),
            ("尾声", Some("尾声")),
            ("He opened the chapter", None),
        ] {
            assert_eq!(heading(line, true), title, "{line}");
        }
        assert_eq!(heading("Chapter 1", false), None);
    }

    #[test]
    fn separators_are_told_from_short_text() {
        for (line, is) in [
            ("***", true),
            ("* * *", true),
            ("---", true),
            ("——", true),
            ("⁂", true),
            ("*", false),
            ("--", false),
            ("……", false),
            ("...", false),
            ("—No.", false),
        ] {
            assert_eq!(is_separator(line), is, "{line}");
        }
    }
}
