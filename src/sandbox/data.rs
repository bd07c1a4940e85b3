//! The database: opened, filled a day at a time when first asked for, and asked.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use sqlx::{
    AnyPool, AssertSqlSafe, Column, Executor, Row, ValueRef,
    any::{Any, AnyArguments, AnyPoolOptions, AnyRow, AnyTypeInfoKind},
    query::Query,
};

use super::{
    SandboxOptions,
    place::{Place, SITES},
    rows::{instant, link_day, site_day},
    schema::{self, Table},
};

/// A value that a statement is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    Text(String),
    Number(f64),
}

/// The database.
pub(super) struct Data {
    pub(super) pool: AnyPool,
    pub(super) options: SandboxOptions,
    /// Places and days whose rows are known to be there.
    filled: Mutex<BTreeSet<(&'static str, NaiveDate)>>,
}

impl Data {
    pub(super) async fn open(options: &SandboxOptions) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        // The number is the schema's: an older database is left alone
        let file = options.state_dir.join(format!("api-2-{}.db", options.seed));
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(schema::PRAGMAS).await.map(|_| ()) })
            })
            .connect(&url)
            .await?;
        pool.execute(AssertSqlSafe(schema::statements())).await?;
        Ok(Self {
            pool,
            options: options.clone(),
            filled: Mutex::default(),
        })
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.options.now)()
    }

    /// The instants between which rows show: so many days before now, until now (exclusive).
    pub(super) fn visible(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let now = self.now();
        let first = now.date_naive() - Days::new(u64::from(self.options.days));
        let first = first.and_time(NaiveTime::MIN).and_utc();
        (first, now + TimeDelta::milliseconds(1))
    }

    /// Makes sure that the rows between two instants are there.
    pub(super) async fn generate(
        &self,
        place: Place,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let days = from.date_naive().iter_days();
        let days = days.take_while(|day| day.and_time(NaiveTime::MIN).and_utc() < until);
        let missing: Vec<NaiveDate> = {
            let filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
            days.filter(|day| !filled.contains(&(place.id(), *day)))
                .collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for day in &missing {
            let sql = "INSERT INTO generated_days VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            let new = sqlx::query(sql).bind(place.id()).bind(day.to_string());
            if new.execute(&mut *tx).await?.rows_affected() == 0 {
                continue;
            }
            for (table, rows) in tables(place, *day, self.options.seed) {
                insert(&mut tx, table, &rows).await?;
            }
        }
        tx.commit().await?;
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        filled.extend(missing.into_iter().map(|day| (place.id(), day)));
        Ok(())
    }

    /// The rows of a statement as objects, its columns in order.
    pub(super) async fn rows(
        &self,
        sql: String,
        bound: &[Bound],
    ) -> Result<Vec<Map<String, Value>>, sqlx::Error> {
        let query = bind(sqlx::query(AssertSqlSafe(sql)), bound);
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(object).collect()
    }

    /// Adds tracked events of a website; how many of them were new is not told.
    pub(super) async fn track(&self, events: &[(String, Value)]) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for (id, row) in events {
            let sql = "INSERT INTO tracked VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            let site = row[0].as_str().unwrap_or(SITES[0].id);
            let new = sqlx::query(sql).bind(site.to_owned()).bind(id.clone());
            if new.execute(&mut *tx).await?.rows_affected() == 1 {
                insert(&mut tx, schema::EVENTS, std::slice::from_ref(row)).await?;
            }
        }
        tx.commit().await
    }
}

/// The earliest and the latest instant of a statement, as the tables hold them.
pub(super) fn bounds(from: DateTime<Utc>, until: DateTime<Utc>) -> [Bound; 2] {
    [from, until].map(|at| Bound::Text(instant(at)))
}

fn tables(place: Place, day: NaiveDate, seed: u64) -> Vec<(Table, Vec<Value>)> {
    match place {
        Place::Site(site) => {
            let day = site_day(site, day, seed);
            vec![
                (schema::EVENTS, day.events),
                (schema::ERRORS, day.errors),
                (schema::VITALS, day.vitals),
                (schema::OUTBOUND, day.outbound),
            ]
        }
        Place::Link(link) => vec![(schema::CLICKS, link_day(link, day, seed))],
    }
}

/// All rows in one statement: they travel as one JSON text.
async fn insert(
    connection: &mut sqlx::AnyConnection,
    table: Table,
    rows: &[Value],
) -> Result<(), sqlx::Error> {
    let Table { name, columns } = table;
    let values: Vec<String> = (0..columns.split(", ").count())
        .map(|i| format!("value ->> {i}"))
        .collect();
    let values = values.join(", ");
    let sql = format!("INSERT INTO {name} ({columns}) SELECT {values} FROM json_each(?1)");
    let text = serde_json::to_string(rows).map_err(|e| sqlx::Error::Encode(e.into()))?;
    let query = sqlx::query(AssertSqlSafe(sql)).bind(text);
    query.execute(connection).await.map(|_| ())
}

fn bind<'q>(
    mut query: Query<'q, Any, AnyArguments>,
    bound: &[Bound],
) -> Query<'q, Any, AnyArguments> {
    for value in bound {
        query = match value {
            Bound::Text(text) => query.bind(text.clone()),
            Bound::Number(number) => query.bind(*number),
        };
    }
    query
}

fn object(row: &AnyRow) -> Result<Map<String, Value>, sqlx::Error> {
    let mut object = Map::new();
    for (i, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(i)?;
        let value = match raw.type_info().kind() {
            _ if raw.is_null() => Value::Null,
            AnyTypeInfoKind::Text => Value::from(row.try_get::<String, _>(i)?),
            AnyTypeInfoKind::Real | AnyTypeInfoKind::Double => {
                Value::from(row.try_get::<f64, _>(i)?)
            }
            _ => Value::from(row.try_get::<i64, _>(i)?),
        };
        object.insert(column.name().to_owned(), value);
    }
    Ok(object)
}
