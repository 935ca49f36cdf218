#!/usr/bin/env bash
# Compares counting by three nodes of Quipu, as one cluster on this machine, with PostgreSQL 15 (Debian: postgresql) alone, in rounds. The nodes are
# given the time that replicas and leaders need to spread before they count. Builds first, so that nothing else runs while it measures.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$work/quipu" ./cmd/quipu
go build -C integration/peers/stores -o "$work/stores" .
"$work/quipu" bench generate "$work/draws.csv" --rows 1048576 --cells 20000
"$work/stores" --cluster --quipu "$work/quipu" --draws "$work/draws.csv" "$@"
