//! Lays out text for a terminal: columns, fields, and cutting by display width.

use std::path::Path;

use reel_protocol::{is_unprintable, printable};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The space between two columns.
const GAP: &str = "  ";

/// Least width that the last column is cut to. On narrower terminals the line wraps.
const LAST_COLUMN: usize = 12;

/// Formats a path as text. Bytes that are not UTF-8 are written as `\xFF`, unprintable characters as `\u{202e}`.
pub fn path(path: &Path) -> String {
    let mut shown = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        // The zero-width joiners are kept, because emoji and Indic text need them.
        for character in chunk.valid().chars() {
            if is_unprintable(character) && !matches!(character, '\u{200c}' | '\u{200d}') {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    shown
}

/// Formats a path as one word of a command that a person may copy into a shell.
pub fn word(given: &Path) -> String {
    let shown = path(given);
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:,@%".contains(character);
    if !shown.is_empty() && shown.chars().all(is_plain) {
        shown
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

/// Puts a text on one line and removes unprintable characters.
pub fn one_line(text: &str) -> String {
    let spaced: String =
        text.chars().map(|character| if character.is_whitespace() { ' ' } else { character }).collect();
    printable(spaced.trim())
}

/// Cuts a line to at most `width` columns. A cut line ends in `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 0);
    for character in text.chars() {
        let next = character.width().unwrap_or(0);
        if used + next + 1 > width {
            break;
        }
        kept.push(character);
        used += next;
    }
    kept.push('…');
    kept
}

/// Formats rows below a header. A column without any text is left out, unless it is the first or the last. The last column is cut so that each row
/// fits `width`.
pub fn columns<const N: usize>(header: [&str; N], rows: &[[String; N]], width: Option<usize>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(header.map(str::to_owned))
        .chain(rows.iter().map(|row| row.each_ref().map(|cell| one_line(cell))))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = cell.width().max(*widest);
        }
    }
    let is_shown = |index: usize| {
        index == 0
            || index + 1 == N
            || rows.len() == 1
            || rows.iter().skip(1).any(|row| row.get(index).is_some_and(|cell| !cell.is_empty()))
    };
    let shown: [bool; N] = std::array::from_fn(is_shown);
    let before_last = widths.iter().zip(shown).rev().skip(1).filter(|(_, is_shown)| *is_shown);
    let before_last: usize = before_last.map(|(column, _)| column + GAP.len()).sum();
    let room = width.map(|width| width.saturating_sub(before_last).max(LAST_COLUMN));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        let columns = row.iter().zip(widths).zip(shown).enumerate();
        for (index, ((cell, column), _)) in columns.filter(|(_, (_, is_shown))| *is_shown) {
            if index + 1 == N {
                line.push_str(&room.map_or_else(|| cell.clone(), |room| cut(cell, room)));
            } else {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', column.saturating_sub(cell.width())));
                line.push_str(GAP);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Formats `name  value` lines. Further lines of a value are aligned below the first. Empty values are left out.
pub fn fields(fields: &[(&str, String)]) -> String {
    let widest = fields.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let mut name = *name;
        for line in printable(value).lines() {
            let pad = " ".repeat(widest.saturating_sub(name.width()));
            text.push_str(format!("{name}{pad}{GAP}{line}").trim_end());
            text.push('\n');
            name = "";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_count_what_a_terminal_shows() {
        for (text, width, expected) in [
            ("lighthouse", 20, "lighthouse"),
            ("lighthouse", 10, "lighthouse"),
            ("lighthouse", 6, "light…"),
            ("灯台の夕暮れ", 12, "灯台の夕暮れ"),
            ("灯台の夕暮れ", 11, "灯台の夕暮…"),
            ("灯台の夕暮れ", 6, "灯台…"),
            ("灯", 0, "…"),
        ] {
            assert_eq!(cut(text, width), expected, "{text} {width}");
        }
    }

    #[test]
    fn columns_line_up_and_the_last_one_gives_way() {
        let rows = [["1".into(), "灯台".into(), "a\nb".into()], ["23".into(), "sea".into(), "x".repeat(30)]];
        assert_eq!(
            columns(["ID", "NAME", "WHAT"], &rows, Some(24)),
            "ID  NAME  WHAT\n1   灯台  a b\n23  sea   xxxxxxxxxxxxx…\n"
        );
        assert!(columns(["ID", "NAME", "WHAT"], &rows, None).contains(&"x".repeat(30)));
        let without = rows.map(|[id, _, what]| [id, String::new(), what]);
        assert_eq!(
            columns(["ID", "NAME", "WHAT"], &without, Some(18)),
            "ID  WHAT\n1   a b\n23  xxxxxxxxxxxxx…\n"
        );
    }

    #[test]
    fn nothing_that_comes_from_elsewhere_drives_the_terminal() {
        assert_eq!(one_line(" a\n\tb\x1b\u{202e}\u{2028} "), "a  b");
        let cells = [["1\u{200b}".into(), "\u{2066}x".into()]];
        assert_eq!(columns(["ID", "WHAT"], &cells, None), "ID  WHAT\n1   x\n");
        assert_eq!(fields(&[("name", "a\u{202e}b\u{9b}".into())]), "name  ab\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_shows_every_byte_that_is_no_text() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        for (bytes, expected) in [
            (&b"out/a\xff\xfeb.png"[..], r"out/a\xFF\xFEb.png"),
            ("gpj\u{202e}\n.png".as_bytes(), r"gpj\u{202e}\n.png"),
            ("灯台-👩\u{200d}🚀.png".as_bytes(), "灯台-👩\u{200d}🚀.png"),
        ] {
            assert_eq!(path(Path::new(OsStr::from_bytes(bytes))), expected);
        }
    }

    #[test]
    fn fields_leave_out_the_empty_and_indent_the_rest() {
        assert_eq!(
            fields(&[("id", "7".into()), ("name", String::new()), ("outputs", "a\nb".into())]),
            "id       7\noutputs  a\n         b\n"
        );
    }
}
