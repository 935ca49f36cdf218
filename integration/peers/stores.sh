#!/usr/bin/env bash
# Compares counting and chi-square queries with PostgreSQL 15 and Redis 7 (Debian: postgresql, redis-server), back to back on this machine.
# What is not installed is named and left out. Builds first, so that nothing else runs while it measures.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/quipu" ./cmd/quipu
go build -C integration/peers/stores -o "$work/stores" .
"$work/quipu" bench generate "$work/draws.csv" --rows 1048576 --cells 20000
"$work/stores" --quipu "$work/quipu" --draws "$work/draws.csv" "$@"
