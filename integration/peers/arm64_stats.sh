#!/usr/bin/env bash
# Holds query/stats to the same bits on arm64.
#
# First it compiles for arm64 and looks for fused multiply-adds: each must stand on a line that asks for it with math.FMA,
# else the compiler has fused x*y + z by itself and rounds once where amd64 rounds twice. float64(x*y) + z mends it. Then it
# runs the tests that hold exact bits as an arm64 program, under qemu (Debian: apt-get install qemu-user).
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=$(mktemp)
trap 'rm -f "$binary"' EXIT
GOARCH=arm64 CGO_ENABLED=0 go test -c -o "$binary" ./query/stats

fused=$(go tool objdump -s '^github.com/quipudb/quipu/query/stats\.' "$binary" | grep -E 'FN?M(ADD|SUB)' | awk '{print $1}' |
  grep -v '_test\.go' | sort -u)
explicit=0
stray=0
while IFS=: read -r file line; do
  source=$(sed -n "${line}p" "query/stats/$file")
  case $source in
  *math.FMA*) explicit=$((explicit + 1)) ;;
  *)
    echo "arm64: query/stats/$file:$line is fused without math.FMA:$source"
    stray=$((stray + 1))
    ;;
  esac
done <<<"$fused"
if [ "$explicit" -eq 0 ] || [ "$stray" -ne 0 ]; then
  echo "arm64: $stray lines fused by the compiler, $explicit by math.FMA (none at all would mean that the search is broken)"
  exit 1
fi
echo "arm64: no line fused by the compiler, $explicit lines by math.FMA"

emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
if [ -z "$emulator" ]; then
  echo "arm64: the run is skipped, qemu-aarch64 is not installed (apt-get install qemu-user)"
  exit 0
fi
cd query/stats
"$emulator" "$binary" -test.run "${1:-Bits|Grid|Fixtures}" -test.count 1
