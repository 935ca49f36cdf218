#!/usr/bin/env bash
# Runs the tests of query/stats that hold exact bits as an arm64 program, under qemu (Debian: apt-get install qemu-user).
set -euo pipefail
cd "$(dirname "$0")/../.."
emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
if [ -z "$emulator" ]; then
  echo "arm64: skipped, qemu-aarch64 is not installed (apt-get install qemu-user)"
  exit 0
fi
binary=$(mktemp)
trap 'rm -f "$binary"' EXIT
GOARCH=arm64 CGO_ENABLED=0 go test -c -o "$binary" ./query/stats
cd query/stats
"$emulator" "$binary" -test.run "${1:-Bits|Grid|Fixtures}" -test.count 1
