#!/usr/bin/env bash
# Measures, and puts the tables into docs/performance.md between the comments that name them.
# usage: benches/docs.sh SECTION [ARGUMENTS…]
#   export, limiter, backfill, mail, report, scheduler    `cargo bench --bench jobs -- SECTION ARGUMENTS`
#   compare                      `benches/compare.sh ARGUMENTS`
#   paste NAME FILE              a table measured before
set -euo pipefail
cd "$(dirname "$0")/.."
section=${1:?usage: benches/docs.sh export|limiter|backfill|mail|report|scheduler|compare|paste}
shift
table=$(mktemp)
page=docs/performance.md
trap 'rm -f "$table" "$page.new"' EXIT
case "$section" in
  export | limiter | backfill | mail | report | scheduler) cargo bench --bench jobs -- "$section" "$@" | tee "$table" ;;
  compare) benches/compare.sh "$@" | tee "$table" ;;
  paste)
    section=$1
    cp "$2" "$table"
    ;;
  *) echo "docs: there is no section $section" >&2; exit 2 ;;
esac
grep -q "^<!-- $section -->" "$page" || { echo "docs: $page has no section $section" >&2; exit 2; }
awk -v begin="<!-- $section -->" -v end="<!-- /$section -->" -v table="$table" '
  $0 == end { inside = 0; print "" }
  !inside { print }
  $0 == begin { inside = 1; print ""; while ((getline line < table) > 0) print line }
' "$page" >"$page.new"
mv "$page.new" "$page"
