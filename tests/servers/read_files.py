"""Reads every file below a folder: Parquet with pyarrow and DuckDB, CSV and JSON lines with DuckDB. Prints
what they saw as JSON."""

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
for path in sorted(lake.rglob("data.*")):
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".csv"):
        rows = duckdb.sql(f"SELECT count(*) FROM read_csv('{path}', hive_partitioning = false)").fetchone()[0]
    elif name.endswith(".jsonl"):
        rows = duckdb.sql(f"SELECT count(*) FROM read_json('{path}', format = 'newline_delimited', hive_partitioning = false)").fetchone()[0]
    else:
        continue
    seen[str(path.relative_to(lake))] = {"rows": rows}
print(json.dumps(seen))
