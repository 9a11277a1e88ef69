//! Checks whether a database is a journal, before anything is written into it.

use std::collections::HashSet;

use rusqlite::Connection;

use super::StoreError;

/// Pairs of a table's name and the name of one of its columns.
type Columns = HashSet<(String, String)>;

/// The kind of a database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It has every table and column of its version, is empty, or is of a newer version.
    Journal,
    /// Some tables or columns are missing. `SQLite` can read the file, but it is damaged.
    Incomplete,
    /// It belongs to another program: it has neither a table `meta` nor a table `tasks`, or it has tables but no version.
    Foreign,
}

/// Compares the tables of a database with those of its version.
pub(super) fn shape(connection: &Connection, migrations: &[&str]) -> Result<Shape, StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    let found = columns(connection)?;
    if version > migrations.len() {
        // The tables of a newer version are not known. The migration refuses it.
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
