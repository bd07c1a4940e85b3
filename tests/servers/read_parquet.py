"""Reads every Parquet file below a folder with pyarrow and DuckDB; prints what they saw as JSON."""

import json
import pathlib
import sys

import duckdb
import pyarrow.parquet as pq

lake = pathlib.Path(sys.argv[1])
seen = {}
for path in sorted(lake.rglob("*.parquet")):
    table = pq.ParquetFile(path).read()
    rows = duckdb.sql(f"SELECT * FROM read_parquet('{path}', hive_partitioning = false)").fetchall()
    as_rows = [tuple(row.values()) for row in table.to_pylist()]
    seen[str(path.relative_to(lake))] = {
        "rows": table.num_rows,
        "columns": {field.name: str(field.type) for field in table.schema},
        "equal": [tuple(r) for r in rows] == as_rows,
    }
print(json.dumps(seen))
