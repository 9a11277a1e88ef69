//! Maps the columns of a table of prompts to fields of a request. Pure.

use serde_json::{Map, Number, Value};

use crate::units;

/// The meaning of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The prompts, under a name that can mean nothing else, such as `prompt`.
    Prompt,
    /// The prompts if no column is a [`Column::Prompt`], under a name such as `text` or `caption`.
    LikelyPrompt,
    /// A field with a text.
    Text(&'static str),
    /// A field with a whole number.
    Whole(&'static str),
    /// A field with a number.
    Decimal(&'static str),
    /// Width and height, such as `1024x768`.
    Size,
    /// The number of the row. It is ignored.
    RowNumber,
    /// A column without a known meaning.
    Unknown,
}

impl Column {
    /// Names of the known columns, as hints list them.
    pub const NAMES: [&str; 12] = [
        "prompt",
        "name",
        "negative_prompt",
        "style",
        "width",
        "height",
        "size",
        "seed",
        "model",
        "steps",
        "guidance",
        "sample",
    ];

    /// Returns the meaning of a column's name, in any case.
    pub fn of(name: &str) -> Self {
        match normal(name).as_str() {
            "prompt" | "prompts" | "image_prompt" => Self::Prompt,
            "text" | "description" | "caption" => Self::LikelyPrompt,
            "name" => Self::Text("name"),
            "negative_prompt" | "negative" => Self::Text("negative_prompt"),
            "style" => Self::Text("style"),
            "model" => Self::Text("model"),
            "width" => Self::Whole("width"),
            "height" => Self::Whole("height"),
            "seed" => Self::Whole("seed"),
            "steps" => Self::Whole("steps"),
            "sample" => Self::Whole("sample"),
            "n" => Self::Whole("n"),
            "guidance" => Self::Decimal("guidance"),
            "strength" => Self::Decimal("strength"),
            "size" => Self::Size,
            "" | "#" | "id" | "no" | "no." | "nr" | "number" | "index" | "row" | "line" => Self::RowNumber,
            _ => Self::Unknown,
        }
    }
}

/// The columns of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// The name of the column of prompts.
    pub prompt: String,
    /// Whether that name can only mean prompts, such as `prompt`.
    pub has_prompt: bool,
    /// Names of columns without a known meaning.
    pub unknown: Vec<String>,
    place: usize,
    named: Vec<(String, Column)>,
}

impl Columns {
    /// Reads a header. None if it has no column of prompts, or several candidates.
    pub fn known(header: &[String]) -> Option<Self> {
        let named = named(header);
        let places = |wanted| {
            let found = named.iter().enumerate().filter(move |(_, (_, column))| *column == wanted);
            found.map(|(place, _)| place).collect::<Vec<_>>()
        };
        let (prompts, words) = (places(Column::Prompt), places(Column::LikelyPrompt));
        let place = match (prompts.as_slice(), words.as_slice()) {
            ([place], _) | ([], [place]) => *place,
            _ => return None,
        };
        let unknown = named.iter().enumerate().filter(|(other, (_, column))| {
            *other != place && matches!(column, Column::Unknown | Column::LikelyPrompt | Column::Prompt)
        });
        let unknown = unknown.map(|(_, (name, _))| name.clone()).collect();
        let prompt = named.get(place)?.0.clone();
        Some(Self { prompt, has_prompt: !prompts.is_empty(), unknown, place, named })
    }

    /// Reads a header in which the user named the column of prompts. Columns without a known meaning are ignored. None if that column does not exist.
    pub fn chosen(header: &[String], prompt: &str) -> Option<Self> {
        let named = named(header);
        let exact = named.iter().position(|(name, _)| name == prompt);
        let place = exact.or_else(|| named.iter().position(|(name, _)| normal(name) == normal(prompt)))?;
        let prompt = named.get(place)?.0.clone();
        Some(Self { prompt, has_prompt: true, unknown: Vec::new(), place, named })
    }

    /// Converts a row to the fields of a request. Fails with a message if a cell does not fit its column.
    pub fn fields(&self, cells: &[String]) -> Result<Map<String, Value>, String> {
        let mut fields = Map::new();
        let prompt = cells.get(self.place).map_or("", String::as_str);
        fields.insert("prompt".to_owned(), prompt.into());
        for (place, ((name, column), cell)) in self.named.iter().zip(cells).enumerate() {
            if place != self.place && !cell.is_empty() {
                put(&mut fields, *column, cell).map_err(|what| format!("`{name}` is not {what}: {cell}"))?;
            }
        }
        Ok(fields)
    }

    /// Describes which columns are used and which are not, as a part of a sentence.
    pub fn words(&self) -> String {
        let of = |is_wanted: &dyn Fn(Column) -> bool| {
            let others = self.named.iter().enumerate().filter(|(place, _)| *place != self.place);
            let found = others.filter(|(_, (_, column))| is_wanted(*column));
            found.map(|(_, (name, _))| name.as_str()).filter(|name| !name.is_empty()).collect::<Vec<_>>()
        };
        let is_left_out = |column| {
            matches!(column, Column::RowNumber | Column::Unknown | Column::LikelyPrompt | Column::Prompt)
        };
        let mut words = format!("from the column `{}`", self.prompt);
        let used = of(&|column| !is_left_out(column));
        if !used.is_empty() {
            words += ", with ";
            words += &used.join(", ");
        }
        let unused = of(&is_left_out);
        if !unused.is_empty() {
            words += "; not used: ";
            words += &unused.join(", ");
        }
        words
    }
}

/// Whether a cell may be the name of a column: at most 24 characters and three words, of letters, digits and ` _-.#`.
pub fn is_name(cell: &str) -> bool {
    const LETTERS: usize = 24;
    cell.chars().count() <= LETTERS
        && cell.split_whitespace().count() <= 3
        && cell.chars().all(|letter| letter.is_alphanumeric() || " _-.#".contains(letter))
}

fn named(header: &[String]) -> Vec<(String, Column)> {
    header.iter().map(|name| (name.clone(), Column::of(name))).collect()
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Parses a whole number. Spreadsheets also write whole numbers as `512.0`.
fn whole(cell: &str) -> Option<u64> {
    let cell = cell.strip_suffix(".0").unwrap_or(cell);
    cell.parse().ok()
}

/// Adds a cell to the fields of a request. Fails with a description of what the cell should be.
fn put(fields: &mut Map<String, Value>, column: Column, cell: &str) -> Result<(), &'static str> {
    let (field, value) = match column {
        Column::Text(field) => (field, Value::from(cell)),
        Column::Whole(field) => (field, Value::from(whole(cell).ok_or("a whole number")?)),
        Column::Decimal(field) => {
            let number = cell.parse().ok().and_then(Number::from_f64).ok_or("a number")?;
            (field, Value::Number(number))
        }
        Column::Size => {
            let (width, height) = units::parse_size(cell).map_err(|_| "a size such as 1024x768")?;
            fields.insert("width".to_owned(), width.into());
            ("height", height.into())
        }
        Column::Prompt | Column::LikelyPrompt | Column::RowNumber | Column::Unknown => return Ok(()),
    };
    fields.insert(field.to_owned(), value);
    Ok(())
}
