"""Reads lakes with pyarrow, DuckDB and Polars, as docs/lake.md shows it. Prints what they saw as JSON.

read_lake.py files LAKE    each Parquet file by itself: whether the three see the same values
read_lake.py table FOLDER  all files of a table as one data set: its columns and rows, by reader
"""

import datetime
import json
import pathlib
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def plain(value):
    """A value as JSON has it; instants as UTC without their zone."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def rows_of(columns, rows):
    """Rows as dictionaries, in an order of their own."""
    rows = [{name: plain(value) for name, value in zip(columns, row)} for row in rows]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def by_duckdb(source):
    duckdb.sql("SET TimeZone = 'UTC'")
    relation = duckdb.sql(f"SELECT * FROM {source}")
    return rows_of(relation.columns, relation.fetchall())


def files(lake):
    seen = {}
    for path in sorted(lake.rglob("*.parquet")):
        table = pq.ParquetFile(path).read()
        arrow = rows_of(table.column_names, [row.values() for row in table.to_pylist()])
        frame = pl.read_parquet(path, hive_partitioning=False)
        polars = rows_of(frame.columns, frame.rows())
        duck = by_duckdb(f"read_parquet('{path}', hive_partitioning = false)")
        seen[str(path.relative_to(lake))] = {
            "rows": table.num_rows,
            "types": {field.name: str(field.type) for field in table.schema},
            "polars": polars == arrow,
            "duckdb": duck == arrow,
        }
    return seen


def table(folder):
    paths = sorted(folder.rglob("*.parquet"))
    # The columns of all files, whichever comes first
    schema = pa.unify_schemas([pq.read_schema(path) for path in paths])
    schema = schema.remove_metadata().append(pa.field("website_id", pa.string())).append(pa.field("day", pa.date32()))
    data = ds.dataset(folder, format="parquet", schema=schema, partitioning=ds.partitioning(
        pa.schema([("website_id", pa.string()), ("day", pa.date32())]), flavor="hive")).to_table()
    arrow = rows_of(data.column_names, [row.values() for row in data.to_pylist()])
    duck = by_duckdb(
        f"read_parquet('{folder}/**/*.parquet', union_by_name = true, hive_types = {{'website_id': VARCHAR, 'day': DATE}})")
    frames = [pl.scan_parquet(path, hive_partitioning=True, hive_schema={"website_id": pl.String, "day": pl.Date}) for path in paths]
    frame = pl.concat(frames, how="diagonal").collect()
    polars = rows_of(frame.columns, frame.rows())
    return {
        "types": {field.name: str(field.type) for field in data.schema},
        "pyarrow": arrow,
        "duckdb": duck == arrow,
        "polars": polars == arrow,
    }


what, where = sys.argv[1], pathlib.Path(sys.argv[2])
print(json.dumps(files(where) if what == "files" else table(where)))
