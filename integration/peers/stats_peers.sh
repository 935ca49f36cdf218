#!/usr/bin/env bash
# Compares query/stats with R and SciPy (Debian: r-base-core, python3-scipy) on the same 2×2 tables, distributions and
# adjustments. A line per quantity: how many values were compared, how many agree to 1e-9, and the greatest difference with
# its known reason. It fails only on a difference without one.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd ../.. && go run ./integration/peers/stats) >"$work/ours.tsv"
status=0
compare() { # name, command…
  local name=$1
  shift
  "$@" <"$work/ours.tsv" >"$work/$name.tsv"
  awk -f stats_peers.awk -v peer="$name" "$work/$name.tsv" || status=1
}
if command -v Rscript >/dev/null; then
  compare R Rscript --vanilla stats_peers.R
else
  echo "R: skipped, Rscript is not installed (apt-get install r-base-core)"
fi
python=""
for candidate in /usr/bin/python3 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import scipy' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -n "$python" ]; then
  compare SciPy "$python" stats_peers.py
else
  echo "SciPy: skipped, scipy is not installed (apt-get install python3-scipy)"
fi
exit "$status"
