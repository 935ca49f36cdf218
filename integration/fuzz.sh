#!/usr/bin/env bash
# Runs every native fuzz target of the module for the time given (default 20s), as many side by side as there are processors.
set -euo pipefail
cd "$(dirname "$0")/.."
budget=${1:-20s}

# one TARGET DIR. The fuzzing engine sometimes reports the end of its own time as a failure ("context deadline exceeded", and no input
# written): that is the end of the run, and nothing else is.
one() {
  local out failed=0
  out=$(go test -run "^$" -fuzz "^$1\$" -fuzztime "$budget" -fuzzminimizetime 5x -parallel 1 "$2" 2>&1 </dev/null) || failed=1
  printf -- '--- fuzz %s in %s for %s\n%s\n' "$1" "$2" "$budget" "$out"
  ((failed)) || return 0
  grep -q '^ *context deadline exceeded$' <<<"$out" && ! grep -qE 'Failing input written|panic|hung or terminated|_test\.go:' <<<"$out"
}
export -f one
export budget

grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | sort | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | awk -v dir="$(dirname "$file")" '{print $2, dir}'
done | xargs -P "$(nproc)" -L 1 bash -c 'one "$0" "$1"'
