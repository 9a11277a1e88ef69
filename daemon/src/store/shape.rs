//! Finds out whether a database is a journal, before anything is written into it.

use std::collections::HashSet;

use rusqlite::Connection;

use super::StoreError;

/// A table's name and that of one of its columns.
type Columns = HashSet<(String, String)>;

/// What kind of database it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It has every table and column of its version, or is empty.
    Journal,
    /// Some are missing: `SQLite` can read the file, and it is damaged all the same.
    Incomplete,
    /// None of them is there: it belongs to another program.
    Foreign,
}

/// Compares the tables of a database with those that its version should have.
pub(super) fn shape(connection: &Connection, migrations: &[&str]) -> Result<Shape, StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    let found = columns(connection)?;
    if version > migrations.len() {
        // Of a newer version nothing is known.
        return Ok(Shape::Journal);
    }
    if version == 0 {
        return Ok(if found.is_empty() { Shape::Journal } else { Shape::Foreign });
    }
    let model = Connection::open_in_memory()?;
    for migration in migrations.iter().take(version) {
        model.execute_batch(migration)?;
    }
    let wanted = columns(&model)?;
    let missing = wanted.difference(&found).count();
    let is_foreign = ["meta", "tasks"].iter().all(|table| found.iter().all(|(name, _)| name != table));
    Ok(match missing {
        0 => Shape::Journal,
        _ if is_foreign => Shape::Foreign,
        _ => Shape::Incomplete,
    })
}

fn columns(connection: &Connection) -> Result<Columns, StoreError> {
    let mut statement = connection.prepare(
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
         WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%'",
    )?;
    Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_told_from_one_that_lost_a_table_and_from_a_database_of_another_program() {
        let migrations =
            ["CREATE TABLE meta (key); CREATE TABLE tasks (id)", "ALTER TABLE tasks ADD COLUMN note"];
        let table = [
            (0, "", Shape::Journal),
            (1, "CREATE TABLE meta (key); CREATE TABLE tasks (id)", Shape::Journal),
            (
                2,
                "CREATE TABLE meta (key); CREATE TABLE tasks (id, note); CREATE TABLE own (x)",
                Shape::Journal,
            ),
            (2, "CREATE TABLE meta (key); CREATE TABLE tasks (id)", Shape::Incomplete),
            (2, "CREATE TABLE meta (key)", Shape::Incomplete),
            (2, "CREATE TABLE songs (id)", Shape::Foreign),
            (2, "", Shape::Foreign),
            (0, "CREATE TABLE songs (id)", Shape::Foreign),
        ];
        for (version, sql, expected) in table {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(sql).unwrap();
            connection.pragma_update(None, "user_version", version).unwrap();
            assert_eq!(shape(&connection, &migrations).unwrap(), expected, "{version} {sql}");
        }
    }
}
