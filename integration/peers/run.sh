#!/usr/bin/env bash
# Runs every comparison with other software that is installed here; what is missing is named and left out.
set -euo pipefail
cd "$(dirname "$0")"
./stores.sh
./cluster.sh
./wire.sh
./stats_peers.sh
./arm64_stats.sh
