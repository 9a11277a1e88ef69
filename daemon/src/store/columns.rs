//! Encodes and decodes the values of the database's columns.

use reel_protocol::{CacheMode, HoldReason, Source, TaskNote, TaskState};
use rusqlite::Row;

use super::StoreError;

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// Encodes notes for a column; NULL if there are none.
pub(super) fn notes_text(notes: &[TaskNote]) -> Result<Option<String>, StoreError> {
    (!notes.is_empty()).then(|| to_json(&notes)).transpose()
}

pub(super) fn json_at<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    index: usize,
) -> rusqlite::Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(index)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| unreadable(index, error))
}

pub(super) fn state_at(row: &Row<'_>, index: usize) -> rusqlite::Result<TaskState> {
    let name: String = row.get(index)?;
    TaskState::from_name(&name).ok_or_else(|| unreadable(index, StoreError::Unreadable(name)))
}

pub(super) fn hold_at(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<HoldReason>> {
    let name: Option<String> = row.get(index)?;
    Ok(name.map(|name| match name.as_str() {
        "user" => HoldReason::User,
        "crash_suspect" => HoldReason::CrashSuspect,
        "outcome_unknown" => HoldReason::OutcomeUnknown,
        _ => HoldReason::Unknown,
    }))
}

fn unreadable(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}

pub(super) const fn cache_number(mode: CacheMode) -> u8 {
    match mode {
        CacheMode::Use => 0,
        CacheMode::Fresh => 1,
        CacheMode::Off => 2,
    }
}

pub(super) const fn cache_mode(number: u8) -> CacheMode {
    match number {
        1 => CacheMode::Fresh,
        2 => CacheMode::Off,
        _ => CacheMode::Use,
    }
}

pub(super) const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Made => "made",
        Source::Cache => "cache",
        Source::Shared | Source::Unknown => "shared",
    }
}
