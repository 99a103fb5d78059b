//! Owns: how nouns are written in a row and read from it. A row that does not make sense is an error that names it.

use sqlx::postgres::PgRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{ColumnIndex, Decode, Postgres, Row, Type};

use crate::clock::Micros;

/// A moment, as PostgreSQL takes it. Its range is wider than a clock's.
pub(super) fn time(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(super) fn micros(row: &PgRow, column: &'static str) -> sqlx::Result<Micros> {
    Ok(Micros(row.try_get::<DateTime<Utc>, _>(column)?.timestamp_micros()))
}

pub(super) fn optional_micros(row: &PgRow, column: &'static str) -> sqlx::Result<Option<Micros>> {
    Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?.map(|at| Micros(at.timestamp_micros())))
}

/// A text that means something.
pub(super) fn parsed<T>(row: &PgRow, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    parse(text).ok_or_else(|| unreadable(column, text))
}

/// A text that means something, or none.
pub(super) fn optional<T>(
    row: &PgRow,
    column: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> sqlx::Result<Option<T>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parse(text).ok_or_else(|| unreadable(column, text))).transpose()
}

/// A number that is never negative.
pub(super) fn count<'r, N, I>(row: &'r PgRow, column: I) -> sqlx::Result<N>
where
    N: TryFrom<i32> + Default,
    i32: Decode<'r, Postgres> + Type<Postgres>,
    I: ColumnIndex<PgRow>,
{
    Ok(N::try_from(row.try_get::<i32, _>(column)?).unwrap_or_default())
}

pub(super) fn trace_id(text: &str) -> Option<u128> {
    u128::from_str_radix(text, 16).ok()
}

pub(super) fn span_id(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// As it is stored: no count of ours comes near its limit.
pub(super) fn int(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

/// As it is stored.
pub(super) fn bigint(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unreadable(column: &str, text: &str) -> sqlx::Error {
    let said = format!("holds {text:?}, which this version of tasker_core does not understand");
    sqlx::Error::ColumnDecode { index: column.into(), source: said.into() }
}
