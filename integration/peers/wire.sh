#!/usr/bin/env bash
# Compares PostgreSQL's protocol as Quipu and PostgreSQL 15 (Debian: postgresql) speak it, in turns on this machine: round trips, COPY of the
# same CSV, and chi-square in SQL. Over one connection client and servers have cores of their own, except with --together. Builds first, so
# that nothing else runs while it measures.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$work/quipu" ./cmd/quipu
go build -C integration/peers/stores -o "$work/stores" .
"$work/quipu" bench generate "$work/draws.csv" --rows 1048576 --cells 20000
"$work/stores" --wire --quipu "$work/quipu" --draws "$work/draws.csv" "$@"
