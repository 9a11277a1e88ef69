//! Reads tables of prompts as spreadsheets write them: CSV with commas, semicolons or bars, and TSV. Pure.

use std::path::Path;

use super::{
    columns::{Column, Columns, is_name},
    entry::{Content, Entry, Misfit},
    rows::{Row, Rows},
    text,
};
use crate::{table, tasks};

/// The result of reading a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The rows, without the header.
    pub entries: Vec<Entry>,
    /// A line for people that says how the table was read.
    pub note: String,
}

/// Reads a file that is a table by its extension, or for which the user named the column of prompts.
pub fn read(text: &str, column: Option<&str>) -> Result<Table, Misfit> {
    let rows = Rows::parse(text).ok_or_else(|| Misfit::new(1, "the table is empty", HEADER))?;
    let header = rows.header();
    match column {
        Some(column) => {
            let columns = Columns::chosen(header, column).ok_or_else(|| {
                let message = format!("no column is called `{column}`; the columns are {}", shown(header));
                Misfit::new(rows.line, message, "--column takes a name of the first line")
            })?;
            rows.table(&columns)
        }
        None => match Columns::known(header) {
            Some(columns) if header.iter().all(|cell| is_name(cell)) => rows.table(&columns),
            // The file is a list of prompts that a spreadsheet put in quotation marks.
            _ if rows.records.iter().all(|row| row.cells.len() == 1) => rows.prompts(),
            _ => Err(no_column(&rows)),
        },
    }
}

/// Reads a text that may be a table or a list of prompts. None if it is no table. Fails if it is a table in which the column of prompts is unclear.
pub fn guess(text: &str) -> Result<Option<Table>, Misfit> {
    let Some(rows) = Rows::parse(text) else { return Ok(None) };
    let header = rows.header();
    if !header.iter().all(|cell| is_name(cell)) {
        return if rows.are_quoted() || rows.have_tabs() { Err(no_column(&rows)) } else { Ok(None) };
    }
    let Some(columns) = Columns::known(header) else {
        return if rows.are_even() && rows.is_evident() { Err(no_column(&rows)) } else { Ok(None) };
    };
    // `text, poster, red` may be a prompt. A header of only known names is not a prompt.
    let is_sure = columns.has_prompt || columns.unknown.is_empty();
    if header.len() == 1 && rows.records.len() == 1 && !columns.has_prompt {
        return Ok(None);
    }
    if is_sure || (rows.are_even() && rows.is_dense()) { rows.table(&columns).map(Some) } else { Ok(None) }
}

const HEADER: &str =
    "begin it with a line of names such as `prompt,style,name`, or name the column of prompts with --column";

fn no_column(rows: &Rows<'_>) -> Misfit {
    let message =
        format!("this is a table, and none of its columns is called `prompt`: {}", shown(rows.header()));
    Misfit::new(rows.line, message, HEADER)
}

/// Lists the names of a header, or the start of a row that has no header. At most eight cells of 24 characters each.
fn shown(cells: &[String]) -> String {
    const MOST: usize = 8;
    const LETTERS: usize = 24;
    let short = |cell: &String| match cell.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", cell.get(..end).unwrap_or_default()),
        None => cell.clone(),
    };
    let more = if cells.len() > MOST { ", …" } else { "" };
    cells.iter().take(MOST).map(short).collect::<Vec<_>>().join(", ") + more
}

impl Rows<'_> {
    /// Makes an entry of every row, with its cell as the prompt.
    fn prompts(&self) -> Result<Table, Misfit> {
        self.check_quotes()?;
        let entries: Vec<Entry> = self.records.iter().map(prompt).collect();
        let note = format!("read as a table of one column: {}", counted(entries.len()));
        Ok(Table { entries, note })
    }

    /// Makes an entry of every row below the header.
    fn table(&self, columns: &Columns) -> Result<Table, Misfit> {
        if let [name, ..] = columns.unknown.as_slice() {
            let message = format!("the column `{name}` of this table is no field of a picture");
            let prompt = &columns.prompt;
            let hint = format!(
                "--column {} takes the prompts from `{prompt}` and leaves out what is no field; the fields are {}",
                table::word(Path::new(prompt)),
                Column::NAMES.join(", ")
            );
            return Err(Misfit::new(self.line, message, hint));
        }
        self.check_quotes()?;
        let entries = if self.header().len() == 1 && !self.text.contains('"') {
            // Below a header with one name, each line is a prompt, including its commas.
            self.lines_below_header()
        } else {
            let filled = self.below().iter().filter(|row| row.cells.iter().any(|cell| !cell.is_empty()));
            filled.map(|row| self.entry(row, columns)).collect::<Result<_, _>>()?
        };
        if entries.is_empty() {
            return Err(Misfit::new(self.line, "the table has no row below its header", HEADER));
        }
        let note = format!("read as a table: {} {}", counted(entries.len()), columns.words());
        Ok(Table { entries, note })
    }

    fn lines_below_header(&self) -> Vec<Entry> {
        let lines = text::lines(self.text).filter(|(_, line)| !tasks::is_blank(line));
        let entry = |(line, text): (usize, &str)| Entry {
            line,
            place: None,
            content: Content::Prompt(text.to_owned()),
        };
        lines.skip(1).map(entry).collect()
    }

    fn entry(&self, row: &Row, columns: &Columns) -> Result<Entry, Misfit> {
        let width = self.header().len();
        if row.cells.iter().skip(width).any(|cell| !cell.is_empty()) {
            let message = format!("{} cells, and the header has {width}", row.cells.len());
            let hint =
                format!("put a cell that contains `{}` into quotation marks: \"a, b\"", self.delimiter);
            return Err(Misfit::new(row.line, message, hint));
        }
        let fields = columns.fields(&row.cells).map_err(|message| Misfit::new(row.line, message, HEADER))?;
        Ok(Entry { line: row.line, place: None, content: Content::Fields(fields) })
    }

    /// Fails if a quotation mark is not closed, because the parser would read all text after it as one cell.
    fn check_quotes(&self) -> Result<(), Misfit> {
        if self.text.matches('"').count().is_multiple_of(2) {
            return Ok(());
        }
        let last = self.records.last().map_or(self.line, |row| row.line);
        Err(Misfit::new(
            last,
            "a quotation mark is not closed, here or above",
            "inside of a cell it is written twice: \"a \"\"small\"\" boat\"",
        ))
    }
}

fn prompt(row: &Row) -> Entry {
    let cell = row.cells.first().cloned().unwrap_or_default();
    Entry { line: row.line, place: None, content: Content::Prompt(cell) }
}

fn counted(prompts: usize) -> String {
    if prompts == 1 { "1 prompt".to_owned() } else { format!("{prompts} prompts") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: Table) -> Vec<(usize, String)> {
        let shown = |content| match content {
            Content::Prompt(prompt) => prompt,
            Content::Fields(fields) => serde_json::to_string(&fields).unwrap(),
        };
        table.entries.into_iter().map(|entry| (entry.line, shown(entry.content))).collect()
    }

    #[test]
    fn tables_whose_column_of_prompts_is_plain_are_read() {
        for (text, line, first, note) in [
            (
                "id,name,description\n1,Anna,\"a knight, red hair\"\n2,Ben,a cook",
                2,
                r#"{"name":"Anna","prompt":"a knight, red hair"}"#,
                "2 prompts from the column `description`, with name; not used: id",
            ),
            ("prompt,style\na lighthouse,ink", 2, r#"{"prompt":"a lighthouse","style":"ink"}"#, "with style"),
            (
                "\u{feff}\"ID\";\"Prompt\";\"Negative Prompt\"\r\n\r\n1;\"a \"\"small\"\" boat\";\r\n",
                3,
                r#"{"prompt":"a \"small\" boat"}"#,
                "1 prompt from the column `Prompt`",
            ),
            (
                "prompt\tsize\na cat\t640x360",
                2,
                r#"{"height":360,"prompt":"a cat","width":640}"#,
                "with size",
            ),
            ("seed|text\n7.0|a cat\n|a dog", 2, r#"{"prompt":"a cat","seed":7}"#, "2 prompts"),
            (
                ",prompt\n0,a cat\n,\n1,a dog",
                2,
                r#"{"prompt":"a cat"}"#,
                "2 prompts from the column `prompt`",
            ),
            ("Prompt\na lighthouse, dusk\na harbour", 2, "a lighthouse, dusk", "2 prompts"),
            ("text\n\"a lighthouse, dusk\"\na harbour", 2, r#"{"prompt":"a lighthouse, dusk"}"#, "2 prompts"),
            ("caption\n\"two\nlines\"\n\"b\"", 2, r#"{"prompt":"two\nlines"}"#, "2 prompts"),
        ] {
            let table = guess(text).unwrap().unwrap_or_else(|| panic!("no table: {text}"));
            assert!(table.note.contains(note), "{}", table.note);
            assert_eq!(rows(table).first(), Some(&(line, first.to_owned())), "{text}");
        }
    }

    #[test]
    fn tables_whose_prompts_cannot_be_told_are_refused() {
        for (text, line, message) in [
            (
                "scene,shot,visual\n1,wide,\"a hill, dusk\"\n2,close,a cat",
                1,
                "none of its columns is called `prompt`: scene, shot, visual",
            ),
            ("id,scene,camera\n1,a hill,wide\n2,a cat,close", 1, "none of its columns"),
            ("scene\tcamera\na hill\twide\na cat\tclose", 1, "none of its columns"),
            ("a hill at dusk, in rain\twide\na cat\tclose\na dog\tclose", 1, "none of its columns"),
            ("\"a lighthouse, dusk\",\"ink\"\n\"a harbour\",\"oil\"", 1, "none of its columns"),
            ("prompt,quality\na,high", 1, "the column `quality` of this table is no field"),
            ("prompt,description\na,b", 1, "the column `description`"),
            ("text,description\na,b\nc,d", 1, "none of its columns"),
            ("prompt,style", 1, "no row"),
            ("prompt,style\na lighthouse, dusk,ink", 2, "3 cells, and the header has 2"),
            ("prompt,style\n\"a lighthouse,ink\nb,oil", 2, "a quotation mark is not closed"),
            ("prompt,width\na,wide", 2, "`width` is not a whole number: wide"),
            ("prompt,size\na,big", 2, "`size` is not a size"),
        ] {
            let misfit = guess(text).expect_err(text);
            assert!(misfit.line == line && misfit.message.contains(message), "{text}: {misfit:?}");
        }
    }

    #[test]
    fn prose_with_commas_colons_bars_dashes_and_quotation_marks_is_no_table() {
        for text in [
            "a lighthouse, dusk, 35mm\na harbour, dawn, 50mm\na pier, noon, 85mm",
            "cat,dog,bird\nred,green,blue\none,two,three",
            "cat,dog\nred,green",
            "灯台,夕暮れ\n港,朝\n海,夜",
            "灯塔；黄昏\n港口；清晨",
            "text, poster, red\ncat, animal, grey\ndog, animal, brown",
            "portrait, name tag, smile\nlandscape, no people, fog\ncity, number plate, night",
            "\"Hope\", painted on a wall\n\"Open\", a neon sign",
            "\"Hope\", \"Love\"",
            "a 5\" nail, macro\na 3\" screw, macro",
            "a sign: \"OPEN\"; neon\nanother: \"CLOSED\"; neon",
            "red|blue|green\none|two|three\nup|down|left",
            "{red|blue} car\n{big|small} boat",
            "noir - rain - night\nwestern - dust - noon",
            "1.\ta lighthouse\n2.\ta harbour\n3.\ta pier",
            "a lighthouse\twith a tab\na harbour\na pier",
            "prompt service at a restaurant",
            "a prompt, written on paper\na description, written on stone",
            "A caption, below a photo of a cat, in white",
            "text",
            "a lighthouse",
            "",
            "\n \u{200b}\n",
            "masterpiece, best quality, 1girl, name tag, id card\nmasterpiece, best quality, 1boy, hat, bag\nmasterpiece, best quality, dog, hat, bag",
        ] {
            assert_eq!(guess(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_a_table_by_its_name_needs_no_other_evidence() {
        let prompts = |text| read(text, None).map(rows);
        assert_eq!(
            prompts("\"a lighthouse, dusk\"\na harbour").unwrap()[0],
            (1, "a lighthouse, dusk".to_owned())
        );
        assert_eq!(prompts("Text\na lighthouse").unwrap()[0], (2, "a lighthouse".to_owned()));
        assert!(prompts("a lighthouse, dusk\na harbour").unwrap_err().message.contains("a lighthouse, dusk"));
        assert!(prompts("").is_err());
        let text = "Scene;Visual;style\n1;\"a hill; dusk\";ink";
        let table = read(text, Some("visual")).unwrap();
        assert_eq!(
            table.note,
            "read as a table: 1 prompt from the column `Visual`, with style; not used: Scene"
        );
        assert_eq!(rows(table), [(2, r#"{"prompt":"a hill; dusk","style":"ink"}"#.to_owned())]);
        let message = read(text, Some("prompt")).unwrap_err().message;
        assert_eq!(message, "no column is called `prompt`; the columns are Scene, Visual, style");
    }
}
