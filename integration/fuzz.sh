#!/usr/bin/env bash
# Runs every native fuzz target of the module, one after the other, for the time given (default 20s).
set -euo pipefail
cd "$(dirname "$0")/.."
budget=${1:-20s}

# one TARGET DIR. The fuzzing engine sometimes reports the end of its own time as a failure ("context deadline exceeded", and no input
# written): that is the end of the run, and nothing else is.
one() {
  local out
  out=$(go test -run "^$" -fuzz "^$1\$" -fuzztime "$budget" -fuzzminimizetime 5x "$2" 2>&1) && { echo "$out"; return; }
  echo "$out"
  grep -q '^ *context deadline exceeded$' <<<"$out" && ! grep -qE 'Failing input written|panic|hung or terminated|_test\.go:' <<<"$out"
}

grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | sort | while read -r file; do
  for target in $(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | awk '{print $2}'); do
    echo "--- fuzz $target in $(dirname "$file") for $budget"
    one "$target" "$(dirname "$file")" </dev/null
  done
done
