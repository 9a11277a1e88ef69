//! The template of a command's arguments. No shell reads it: each entry becomes one argument of the program, whatever characters it contains.
//! Pure.
//!
//! `{name}` is replaced by a value, `{{` and `}}` by single braces. A list within the list is an optional group: the whole group is left out if
//! one of its values is absent from the request.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::placeholder::{Placeholder, Shape, Values};

/// Longest argument that Linux accepts, in bytes and with its final NUL byte (`MAX_ARG_STRLEN`, execve(2)).
const MAX_ARGUMENT_BYTES: usize = 128 * 1024;
/// Largest size of all arguments together, in bytes. Arguments and environment together may take a quarter of the stack's limit on Linux, which
/// is usually 2 MiB.
const MAX_ARGUMENTS_BYTES: usize = 1024 * 1024;

/// One entry of the list `argv` in a definition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TemplateItem {
    /// One argument of the program.
    One(String),
    /// An optional group of arguments: left out if one of its values is absent from the request.
    Group(Vec<String>),
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No placeholder has that name.
    #[error("unknown placeholder {{{name}}}{}", hint(*.nearest))]
    Unknown {
        /// The name between the braces.
        name: String,
        /// The name of a placeholder that is most similar to the mistyped one.
        nearest: Option<&'static str>,
    },
    /// A brace has no matching brace.
    #[error("a {0} without its partner; {0}{0} stands for the character itself")]
    Brace(char),
    /// The text contains a NUL character, which an argument cannot have.
    #[error("a NUL character")]
    Nul,
}

fn hint(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {{{nearest}}}?"))
}

/// Why a request's values do not fit into the arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The program needs a value that the request does not have.
    #[error("it needs a {}", _0.name())]
    Missing(Placeholder),
    /// The value contains a NUL character, where the argument would end.
    #[error("the {} holds a NUL character", _0.name())]
    Nul(Placeholder),
    /// The value begins with a minus sign, so the program could take it for an option.
    #[error("the {} begins with a minus sign", _0.name())]
    OptionLike(Placeholder),
    /// One argument is longer than the system accepts, or all arguments together are.
    #[error("an argument of {bytes} bytes is longer than the {most_bytes} bytes that the system takes")]
    TooLong {
        /// The length of the argument, or of all of them, in bytes.
        bytes: usize,
        /// The longest that is accepted, in bytes.
        most_bytes: usize,
    },
}

/// The template of one argument: literal texts and placeholders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Argument(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Value(Placeholder),
}

impl Argument {
    /// Parses the text of one argument and the placeholders in it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}', '\0']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.push_str(from.get(..1).unwrap_or_default());
                rest = after;
            } else if let Some((name, after)) = from.strip_prefix('{').and_then(|from| from.split_once('}')) {
                pieces.extend(
                    Some(std::mem::take(&mut literal)).filter(|text| !text.is_empty()).map(Piece::Literal),
                );
                pieces.push(Piece::Value(named(name)?));
                rest = after;
            } else {
                return Err(match from.chars().next() {
                    Some(brace @ ('{' | '}')) => TemplateError::Brace(brace),
                    _ => TemplateError::Nul,
                });
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Returns the placeholders in their order. One that occurs twice is returned twice.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Value(placeholder) => Some(*placeholder),
            Piece::Literal(_) => None,
        })
    }

    /// Returns the text with its placeholders replaced by values. Fails if a value is absent, contains a NUL character, or is a name that begins
    /// with a minus sign.
    pub fn fill(&self, values: &Values) -> Result<String, FillError> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Value(placeholder) => filled.push_str(checked(*placeholder, values)?),
            }
        }
        Ok(filled)
    }

    /// Whether the argument is `--`, after which a program reads no options.
    fn ends_options(&self) -> bool {
        matches!(self.0.as_slice(), [Piece::Literal(text)] if text == "--")
    }

    fn begins_with_text(&self) -> bool {
        matches!(self.0.first(), Some(Piece::Value(placeholder)) if placeholder.shape() == Shape::Text)
    }
}

fn named(name: &str) -> Result<Placeholder, TemplateError> {
    Placeholder::named(name)
        .ok_or_else(|| TemplateError::Unknown { name: name.to_owned(), nearest: Placeholder::nearest(name) })
}

/// Returns the value of a placeholder. Refuses one that the program could misread.
fn checked(placeholder: Placeholder, values: &Values) -> Result<&str, FillError> {
    let value = values.get(placeholder).ok_or(FillError::Missing(placeholder))?;
    if value.contains('\0') {
        return Err(FillError::Nul(placeholder));
    }
    if placeholder.shape() == Shape::Word && value.starts_with('-') {
        return Err(FillError::OptionLike(placeholder));
    }
    Ok(value)
}

/// The template of all arguments of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    One(Argument),
    Group(Vec<Argument>),
}

impl Template {
    /// Parses the list `argv` of a definition.
    pub fn parse(items: &[TemplateItem]) -> Result<Self, TemplateError> {
        let parse_item = |item: &TemplateItem| match item {
            TemplateItem::One(text) => Argument::parse(text).map(Part::One),
            TemplateItem::Group(texts) => {
                let arguments: Result<_, _> = texts.iter().map(|text| Argument::parse(text)).collect();
                arguments.map(Part::Group)
            }
        };
        items.iter().map(parse_item).collect::<Result<_, _>>().map(Self)
    }

    /// Returns each placeholder that occurs, with those of optional groups.
    pub fn placeholders(&self) -> BTreeSet<Placeholder> {
        let arguments = self.0.iter().flat_map(|part| match part {
            Part::One(argument) => std::slice::from_ref(argument),
            Part::Group(arguments) => arguments.as_slice(),
        });
        arguments.flat_map(Argument::placeholders).collect()
    }

    /// Whether every request must have this value, because the placeholder occurs outside the optional groups.
    pub fn needs(&self, placeholder: Placeholder) -> bool {
        let is_it = |argument: &Argument| argument.placeholders().any(|other| other == placeholder);
        self.0.iter().any(|part| matches!(part, Part::One(argument) if is_it(argument)))
    }

    /// Returns the arguments of the program for a request.
    ///
    /// A text that begins with a minus sign gets a space in front, so that the program does not take it for an option. The program speaks or draws
    /// the same. A text after `--` stays as it is.
    pub fn fill(&self, values: &Values) -> Result<Vec<String>, FillError> {
        let mut filled = Vec::new();
        let mut may_be_option = true;
        for part in &self.0 {
            let arguments = match part {
                Part::One(argument) => std::slice::from_ref(argument),
                Part::Group(arguments) => {
                    let mut needed = arguments.iter().flat_map(Argument::placeholders);
                    if needed.any(|placeholder| values.get(placeholder).is_none()) {
                        continue;
                    }
                    arguments
                }
            };
            for argument in arguments {
                let mut text = argument.fill(values)?;
                if may_be_option && argument.begins_with_text() && text.starts_with('-') {
                    text.insert(0, ' ');
                }
                may_be_option &= !argument.ends_options();
                filled.push(text);
            }
        }
        check_lengths(&filled)?;
        Ok(filled)
    }
}

fn check_lengths(arguments: &[String]) -> Result<(), FillError> {
    if let Some(long) = arguments.iter().find(|argument| argument.len() >= MAX_ARGUMENT_BYTES) {
        return Err(FillError::TooLong { bytes: long.len(), most_bytes: MAX_ARGUMENT_BYTES - 1 });
    }
    let bytes = arguments.iter().map(|argument| argument.len() + 1).sum();
    if bytes > MAX_ARGUMENTS_BYTES {
        return Err(FillError::TooLong { bytes, most_bytes: MAX_ARGUMENTS_BYTES });
    }
    Ok(())
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
