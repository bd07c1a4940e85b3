"""Reads a Delta table with the `deltalake` package and with DuckDB, by its Delta extension and by Arrow, and
prints what they saw as JSON. With `append` as second argument it first adds rows, as another writer would."""

import datetime
import importlib.util
import json
import pathlib
import sys

import duckdb
from deltalake import DeltaTable, write_deltalake

# Each is answered from partitions and statistics as far as the reader can
CONDITIONS = [
    "website_id = 'a b/ü'",
    "day = '2026-11-22'",
    "views > 4",
    "name = '/ä'",
    "name IS NULL",
    "rate < 0.25",
    "seen >= '2026-11-22 10:00:01'",
    "date = '2026-11-23'",
    "is_new",
    "extra = 'x'",
]

path = sys.argv[1]
if sys.argv[2:] == ["append"]:
    table = DeltaTable(path).to_pyarrow_table(filters=[("day", "=", datetime.date(2026, 11, 22))])
    write_deltalake(path, table, mode="append")
    DeltaTable(path).create_checkpoint()

delta = DeltaTable(path)
dataset = delta.to_pyarrow_dataset()
metadata = delta.metadata()
columns = {field.name: str(field.type) for field in delta.to_pyarrow_table().schema}
rows = sorted(map(repr, delta.to_pyarrow_table().to_pylist()))

extension = pathlib.Path(importlib.util.find_spec("duckdb_extension_delta").origin).parent
connection = duckdb.connect()
connection.sql("SET timezone = 'UTC'")
connection.sql(f"LOAD '{next(extension.rglob('delta.duckdb_extension'))}'")
connection.register("by_arrow", dataset)


def duck_rows(source):
    found = connection.sql(f"SELECT * FROM {source}").arrow().to_pylist()
    return sorted(map(repr, found))


def duck_counts(source):
    count = lambda condition: connection.sql(f"SELECT count(*) FROM {source} WHERE {condition}").fetchone()[0]
    return {condition: count(condition) for condition in CONDITIONS if condition.split()[0] in columns}


scan = f"delta_scan('{path}')"
print(
    json.dumps(
        {
            "name": metadata.name,
            "description": metadata.description,
            "partition_columns": metadata.partition_columns,
            "version": delta.version(),
            "transaction": delta.transaction_version("databuddy-jobs/nightly/pages/2026-11-22"),
            "columns": columns,
            "rows": len(rows),
            "equal": [duck_rows("by_arrow") == rows, duck_rows(scan) == rows],
            "counts": [duck_counts("by_arrow"), duck_counts(scan)],
            "first_version_rows": DeltaTable(path, version=0).to_pyarrow_table().num_rows,
            "files": len(delta.file_uris()),
            "vacuum": len(delta.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False, full=True)),
        }
    )
)
