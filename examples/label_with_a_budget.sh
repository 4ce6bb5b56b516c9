#!/usr/bin/env bash
# Teach rrtool your own classes, a few labels at a time.
#
#   examples/label_with_a_budget.sh PHOTOS OUT CLASSES LABELS [BUDGET]
#
# PHOTOS   a folder of photos, none of them labelled
# OUT      where everything goes
# CLASSES  such as mug,shoe
# LABELS   stands for the people who label: a CSV name,label that knows the answers
# BUDGET   photos to label each time
set -euo pipefail
photos=$1 out=$2 classes=$3 answers=$4 budget=${5:-4}
mkdir -p "$out"

# For a quick look. For real work leave this out and use a GPU: a full training is the default.
training=(--epochs 10 --semi-epochs 5 --width 0.25 --batch-size 4 --semi-batch-size 16
  --semi-labeled 4)

# Exit code 3 says that some photos or labels could not be used; they are listed beside the output.
run() { "$@" || test $? -eq 3; }

# People open OUT/<cycle>.to_label.html, look at each photo, give it its class and save
# <cycle>.labels.csv; or they fill in the column "label" of OUT/<cycle>.to_label.csv. Here a table
# of answers does it.
label() {
  awk -F, 'NR == FNR { answer[$1] = $2; next }
    FNR == 1 { print "name,label"; next }
    $2 in answer { print $2 "," answer[$2] }' "$answers" "$out/$1.to_label.csv" > "$out/$1.labels.csv"
}

# Nothing is known yet: the first photos to label are picked at random.
run rrtool al-cycle "$photos" -o "$out/start.h5" --classes "$classes" --budget "$budget" "${training[@]}"
label start

# Each cycle takes the labels in, learns from them and from all other photos (--semi), and asks for
# the photos that are farthest from what is labelled (jlp).
run rrtool al-cycle "$photos" -o "$out/0.h5" --state "$out/start.h5" --labels "$out/start.labels.csv" \
  --budget "$budget" --semi --strategy jlp "${training[@]}"
label 0

# One answer with a slip of the pen: it is told, left out, and listed in OUT/1.skipped.tsv; the rest
# is used. The photo stays among the unlabelled, and a corrected file can bring it in next time.
sed '2s/$/x/' "$out/0.labels.csv" > "$out/0.slip.csv"
run rrtool al-cycle "$photos" -o "$out/1.h5" --state "$out/0.h5" --labels "$out/0.slip.csv" \
  --budget "$budget" --semi --strategy jlp "${training[@]}"

# What the network makes of the photos that it asks for next is in the columns "suggested" and
# "confidence"; of all photos, in the state.
cat "$out/1.to_label.csv"
rrtool inspect "$out/1.h5"
