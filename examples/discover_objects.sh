#!/usr/bin/env bash
# From a folder of photos to a page of what repeats in them (docs/discovery.md).
#
#   examples/discover_objects.sh PHOTOS OUT [OPTIONS OF THE NETWORK …]
set -euo pipefail
photos=$1 out=$2
network=("${@:3}")
mkdir -p "$out"

# Exit code 3 says that some photos were skipped; they are listed beside the output.
run() { "$@" || test $? -eq 3; }

# What stands out in each photo by itself: regions, each with a descriptor.
run rrtool saliency fs "$photos" -o "$out/regions.h5" --keep-maps "${network[@]}"
# Which regions look alike, and which of them have many that do.
rrtool build-graph "$out/regions.h5" -o "$out/graph.h5"
rrtool centrality "$out/graph.h5" -o "$out/centrality.h5" --measure katz
# The objects: groups of central regions of different photos.
rrtool discover "$out/regions.h5" --graph "$out/graph.h5" --centrality "$out/centrality.h5" \
  -o "$out/objects.h5"
# Where in each photo something is that repeats, and a descriptor of each photo by that.
run rrtool saliency os "$photos" -o "$out/saliency.h5" --features "$out/features.h5" \
  --regions "$out/regions.h5" --centrality "$out/centrality.h5" "${network[@]}"
rrtool report "$out/saliency.h5" -o "$out/objects.html" --images "$photos" \
  --objects "$out/objects.h5" --regions "$out/regions.h5"
