#!/usr/bin/env bash
# From a folder of photos to a verified ranking and its scores.
#
#   examples/find_again.sh PHOTOS OUT [OPTIONS OF THE NETWORK …]
#
# Photos of one object share the part of their name before the last underscore.
set -euo pipefail
photos=$1 out=$2
network=("${@:3}")
mkdir -p "$out"

# Exit code 3 says that some photos were skipped; they are listed beside the output.
run() { "$@" || test $? -eq 3; }

run rrtool extract "$photos" -o "$out/features.h5" "${network[@]}" \
  --local "$out/database-local.h5" --query-local "$out/query-local.h5"
run rrtool search "$out/features.h5" "$out/features.h5" -o "$out/global.h5"
run rrtool rerank "$out/global.h5" -o "$out/dsm.h5" \
  --query-local "$out/query-local.h5" --database-local "$out/database-local.h5"
rrtool evaluate "$out/global.h5" "$out/dsm.h5" --ground-truth 'prefix:^(.*)_'
