#!/usr/bin/env bash
# Runs every native fuzz target of the module, one after the other, for the time given (default 20s).
set -euo pipefail
cd "$(dirname "$0")/.."
budget=${1:-20s}
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | sort | while read -r file; do
  for target in $(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | awk '{print $2}'); do
    echo "--- fuzz $target in $(dirname "$file") for $budget"
    go test -run "^$" -fuzz "^$target\$" -fuzztime "$budget" -fuzzminimizetime 5x "$(dirname "$file")"
  done
done
