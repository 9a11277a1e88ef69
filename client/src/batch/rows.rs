//! Splits a text into the rows and cells of a table, and judges whether it is one. Pure.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{columns::Column, text::LineCounter};
use crate::tasks;

/// The possible delimiters between cells. If two give the same number of cells, the earlier one wins. Tabs and semicolons come before the comma,
/// because prose contains commas too.
const DELIMITERS: [char; 4] = ['\t', ';', ',', '|'];

/// A text that was split into rows.
pub struct Rows<'a> {
    /// The whole text, without its byte order mark.
    pub text: &'a str,
    /// The delimiter between cells.
    pub delimiter: char,
    /// The number of the first line that is not blank.
    pub line: usize,
    /// All rows. The first one may be a header.
    pub records: Vec<Row>,
}

/// One row, which may span several lines.
pub struct Row {
    /// The line that it starts at, counted from 1.
    pub line: usize,
    /// The cells, without blank space around them.
    pub cells: Vec<String>,
}

impl<'a> Rows<'a> {
    /// Splits the text by the delimiter that gives its first row the most cells. None if the text has no row.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_start_matches('\u{feff}');
        let mut best = None;
        for delimiter in DELIMITERS {
            let cells = cut(text, delimiter).next().map_or(0, |row| row.cells.len());
            if best.is_none_or(|(most, _)| cells > most) {
                best = Some((cells, delimiter));
            }
        }
        let (_, delimiter) = best?;
        let records: Vec<Row> = cut(text, delimiter).collect();
        let line = records.first()?.line;
        Some(Self { text, delimiter, line, records })
    }

    /// Returns the cells of the first row.
    pub fn header(&self) -> &[String] {
        self.records.first().map_or(&[], |row| &row.cells)
    }

    /// Returns the rows below the first.
    pub fn below(&self) -> &[Row] {
        self.records.get(1..).unwrap_or_default()
    }

    /// Whether there are at least two rows below the header and two columns, and each row has as many cells as the header.
    pub fn are_even(&self) -> bool {
        let width = self.header().len();
        width > 1 && self.records.len() > 2 && self.below().iter().all(|row| row.cells.len() == width)
    }

    /// Whether no delimiter of the header is followed by a space. In prose, commas are.
    pub fn is_dense(&self) -> bool {
        let first = self.text.trim_start().lines().next().unwrap_or_default();
        !first.contains(&format!("{} ", self.delimiter))
    }

    /// Whether the text is clearly a table: its delimiter is a tab, the header has a known column, or a cell had to be quoted.
    pub fn is_evident(&self) -> bool {
        let has_delimiter = |row: &Row| row.cells.iter().any(|cell| cell.contains(self.delimiter));
        self.is_dense()
            && (self.have_tabs()
                || self.header().iter().any(|name| Column::of(name) != Column::Unknown)
                || self.below().iter().any(has_delimiter))
    }

    /// Whether every line is quoted like `"a lighthouse, dusk","ink"`.
    pub fn are_quoted(&self) -> bool {
        let between = format!("\"{}\"", self.delimiter);
        self.records.iter().all(|row| row.cells.len() > 1)
            && self.text.lines().filter(|line| !line.trim().is_empty()).all(|line| {
                let line = line.trim();
                line.starts_with('"') && line.ends_with('"') && line.contains(&between)
            })
    }

    /// Whether every row has the same number of tabs. A pasted numbered list, with `1.` and a tab, does not count.
    pub fn have_tabs(&self) -> bool {
        let is_marker = |cell: &str| {
            let mark = cell.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '(');
            matches!(mark, "." | ")" | "-" | "*" | "•")
        };
        self.delimiter == '\t'
            && self.are_even()
            && !self.records.iter().all(|row| row.cells.first().is_some_and(|cell| is_marker(cell)))
    }
}

/// Splits the text into rows and skips blank ones.
fn cut(text: &str, delimiter: char) -> impl Iterator<Item = Row> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .delimiter(delimiter as u8)
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut counter = LineCounter::new(text);
    std::iter::from_fn(move || {
        loop {
            // The text is UTF-8 and in memory, so reading a record cannot fail.
            if !reader.read_record(&mut record).unwrap_or(false) {
                return None;
            }
            // The position of a record includes the blank lines before it.
            let begin = record.position().map_or(0, |position| position.byte() as usize);
            let blank =
                text.get(begin..).map_or(0, |rest| rest.len() - rest.trim_start_matches(['\r', '\n']).len());
            let line = counter.line_of(begin + blank);
            let cells: Vec<String> = record.iter().map(str::to_owned).collect();
            if cells.len() > 1 || cells.iter().any(|cell| !tasks::is_blank(cell)) {
                return Some(Row { line, cells });
            }
        }
    })
}
