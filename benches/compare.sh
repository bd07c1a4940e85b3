#!/usr/bin/env bash
# The same export by what people use today and by databuddy-jobs, from the same server, one after the other; prints
# tables of Markdown: CPU seconds (user and system) / peak MiB, each the least of the runs.
#
# BENCH_DIR holds the server (fakeapi/), the peers' scripts with the one that measures (peers/), and the limits of the
# machine (limits/). It is not part of this repository; `cargo bench` needs none of it.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: benches/compare.sh BENCH_DIR [options]
  --python PATH     Python with the peers' packages        (BENCH_DIR/venv/bin/python)
  --fakeapi PATH    the server                             (BENCH_DIR/fakeapi/target/release/fakeapi)
  --limits PATH     the two-thread sketch; left out where it is missing
                                                           (BENCH_DIR/limits/target/release/limits)
  --binary PATH     databuddy-jobs                         (target/release/databuddy-jobs)
  --site ID         web_ROWS: 100k, 1m, 5m                 (web_1m)
  --shapes LIST     query types                            (pages,session_list,custom_events_recent)
  --formats LIST    parquet,csv                            (parquet,csv)
  --encodings LIST  identity,gzip                          (identity,gzip)
  --programs LIST   ours,sketch,duckdb,requests,httpx,dlt_arrow,dlt  (all)
  --runs N          runs of each                           (3)
  --port N          where the server listens               (8897)
TEXT
}

here=$(cd "$(dirname "$0")/.." && pwd)
case "${1:-}" in
  '' | -*) usage >&2; exit 2 ;;
esac
bench=$(cd "$1" && pwd)
shift
python=$bench/venv/bin/python fakeapi=$bench/fakeapi/target/release/fakeapi
limits=$bench/limits/target/release/limits binary=$here/target/release/databuddy-jobs
site=web_1m shapes=pages,session_list,custom_events_recent formats=parquet,csv encodings=identity,gzip
programs=ours,sketch,duckdb,requests,httpx,dlt_arrow,dlt runs=3 port=8897
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || { usage >&2; exit 2; }
  case "$1" in
    --python) python=$2 ;; --fakeapi) fakeapi=$2 ;; --limits) limits=$2 ;; --binary) binary=$2 ;;
    --site) site=$2 ;; --shapes) shapes=$2 ;; --formats) formats=$2 ;; --encodings) encodings=$2 ;;
    --programs) programs=$2 ;; --runs) runs=$2 ;; --port) port=$2 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift 2
done
for needed in "$python" "$fakeapi" "$binary"; do
  [ -x "$needed" ] || { echo "compare: $needed is missing" >&2; exit 2; }
done
binary=$(realpath "$binary")

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
# Settings in the environment would win over the project's, and a proxy would stand in between
for name in "${!DATABUDDY_@}"; do unset "$name"; done
export NO_PROXY=127.0.0.1

url=http://127.0.0.1:$port
"$fakeapi" --port "$port" --shapes "$shapes" --seconds 14400 2>"$work/server.log" &
server=$!
until grep -q listening "$work/server.log"; do
  kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
  sleep 0.2
done

# The project of our program for one case
project() { # SHAPE FORMAT ENCODING NESTED
  mkdir -p "$work/project/jobs"
  local gzip=true compression=
  [ "$3" = identity ] && gzip=false
  [ "$2" = parquet ] && compression=', compression: zstd, compression_level: 3'
  cat >"$work/project/databuddy-jobs.yaml" <<YAML
api: { url: "$url", key: dbdy_test, requests_per_minute: 10000, gzip: $gzip }
YAML
  cat >"$work/project/jobs/export.yaml" <<YAML
preset: yesterday
websites: [$site]
queries: [$1]
exports: [{ format: $2, to: lake, pii: allow, nested: $4$compression }]
YAML
}

# "CPU / peak" of a command; its words are the arguments
measured() {
  if ! "$python" "$bench/peers/measure.py" "$runs" -- "$@" >"$work/measured" 2>"$work/errors"; then
    tail -3 "$work/errors" >&2
    echo failed
    return
  fi
  awk '/^cpu s/ { cpu = $3 } /^peak MiB/ { peak = $3 } END { printf "%.2f / %.0f\n", cpu, peak }' "$work/measured"
}

ours() { # SHAPE FORMAT ENCODING NESTED
  project "$@"
  # shellcheck disable=SC2016
  measured sh -c 'cd "$1" && rm -rf lake .databuddy-jobs && exec "$2" run export --quiet --no-progress' \
    sh "$work/project" "$binary"
}

peer() { # SCRIPT SHAPE FORMAT ENCODING [OPTION]
  rm -rf "$work/out"
  mkdir "$work/out"
  ENC=$4 measured "$python" "$bench/peers/$1.py" "$2" "$site" "$work/out/$2.$3" --format "$3" --url "$url" "${@:5}"
}

cell() { # PROGRAM SHAPE FORMAT ENCODING
  case "$1" in
    ours) ours "$2" "$3" "$4" json ;;
    ours_struct) [ "$2 $3" = "session_list parquet" ] && ours "$2" "$3" "$4" struct || echo – ;;
    sketch)
      [ "$4" = identity ] && [ "$3" = parquet ] || { echo –; return; }
      mkdir -p "$work/out"
      measured "$limits" e2e sonic "$2" "$site" "$work/out/sketch" --group 122880 --url "127.0.0.1:$port" ;;
    duckdb) peer duckdb_curl "$2" "$3" "$4" ;;
    requests) peer requests_pyarrow "$2" "$3" "$4" ;;
    httpx) peer httpx_polars "$2" "$3" "$4" ;;
    # pyarrow writes no lists to CSV
    dlt_arrow) [ "$2 $3" = "session_list csv" ] && echo – || peer dlt_rest "$2" "$3" "$4" --arrow ;;
    dlt) peer dlt_rest "$2" "$3" "$4" --tuned ;;
  esac
}

version() { "$python" -c "import importlib.metadata as m; print(m.version('$1'))"; }
label() {
  case "$1" in
    ours) echo '**databuddy-jobs**' ;;
    ours_struct) echo '**databuddy-jobs**, `nested: struct`' ;;
    sketch) echo 'two-thread sketch without retries, checks or history' ;;
    duckdb) echo "curl and DuckDB $(version duckdb)" ;;
    requests) echo "requests $(version requests) and pyarrow $(version pyarrow)" ;;
    httpx) echo "httpx $(version httpx) and polars $(version polars)" ;;
    dlt_arrow) echo "dlt $(version dlt), a pyarrow table a page" ;;
    dlt) echo "dlt $(version dlt), row by row, tuned" ;;
    *) echo "compare: there is no program $1" >&2; exit 2 ;;
  esac
}

goal() { # SHAPE FORMAT ENCODING, for a million rows
  case "$1 $2 $3" in
    'pages parquet identity') echo '0.60 / 64' ;;
    'session_list parquet identity') echo '5.9 / 128' ;;
    'custom_events_recent parquet identity') echo '2.8 / 96' ;;
    'pages csv identity') echo '0.40 / 64' ;;
    'session_list csv identity') echo '4.0 / 128' ;;
    'custom_events_recent csv identity') echo '1.5 / 96' ;;
    'pages parquet gzip') echo '0.80 / 64' ;;
    'session_list parquet gzip') echo '8.3 / 128' ;;
    'custom_events_recent parquet gzip') echo '3.9 / 96' ;;
    *) echo ;;
  esac
}

IFS=, read -ra all_shapes <<<"$shapes"
IFS=, read -ra all_programs <<<"${programs/ours/ours,ours_struct}"
echo "Measured on $(date -u +%F), $(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1);" \
  "load before: $(cut -d' ' -f1 /proc/loadavg). $site, least of $runs runs, CPU s / peak MiB."
for encoding in ${encodings//,/ }; do
  for format in ${formats//,/ }; do
    title=Parquet
    [ "$format" != csv ] || title=CSV
    printf '\n**%s, %s answers**\n\n|' "$title" "$encoding"
    printf ' | `%s`' "${all_shapes[@]}"
    printf ' |\n|---|'
    printf -- '---|%.0s' "${all_shapes[@]}"
    if [ "$site" = web_1m ] && [ "$encoding $format" != 'gzip csv' ]; then
      printf '\n| goal, at most'
      for shape in "${all_shapes[@]}"; do printf ' | %s' "$(goal "$shape" "$format" "$encoding")"; done
      printf ' |'
    fi
    for program in "${all_programs[@]}"; do
      [ "$program" != sketch ] || { [ -x "$limits" ] && [ "$encoding $format" = 'identity parquet' ]; } || continue
      [ "$program $format" != 'ours_struct csv' ] || continue
      printf '\n| %s' "$(label "$program")"
      for shape in "${all_shapes[@]}"; do printf ' | %s' "$(cell "$program" "$shape" "$format" "$encoding")"; done
      printf ' |'
    done
    echo
  done
done
