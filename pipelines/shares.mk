# Describe a folder in shares that make works on side by side, and join them; then its graph:
#   make -j 4 -f pipelines/shares.mk PHOTOS=photos OUT=out N=4
#   make -j 4 -f pipelines/shares.mk PHOTOS=photos OUT=out N=4 graph
# Each share is of 32 photos at least, of the graph of 1024. EXTRACT takes further options of extract,
# GRAPH those of build-graph.
PHOTOS ?= photos
OUT ?= build/shares
N ?= 4
NETWORK ?= efficientnet_lite0
WEIGHTS ?= auto
EXTRACT ?=
GRAPH ?=
FEATURES ?= $(OUT)/features.h5
RRTOOL ?= rrtool
SHARES := $(shell seq 1 $(N))
# Exit code 3 means that some photos were skipped and are listed beside the share.
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)

.PHONY: all graph
all: $(OUT)/features.h5 $(OUT)/local.h5
graph: $(OUT)/graph.h5

$(OUT)/features.h5: $(SHARES:%=$(OUT)/share-%.h5)
	$(RUN) merge $^ -o $@ --overwrite

$(OUT)/local.h5: $(SHARES:%=$(OUT)/share-%-local.h5)
	$(RUN) merge $^ -o $@ --overwrite

$(OUT)/graph.h5: $(SHARES:%=$(OUT)/graph-share-%.h5)
	$(RUN) merge $^ -o $@ --overwrite

# One pass of the network gives both.
$(OUT)/share-%-local.h5: $(OUT)/share-%.h5 ;
$(OUT)/share-%.h5: | $(OUT)
	$(RUN) extract $(PHOTOS) --shard $*/$(N) -o $@ --local $(OUT)/share-$*-local.h5 \
	  --network $(NETWORK) --weights $(WEIGHTS) $(EXTRACT)

$(OUT)/graph-share-%.h5: $(FEATURES) | $(OUT)
	$(RUN) build-graph $< --shard $*/$(N) -o $@ --overwrite $(GRAPH)

$(OUT):
	mkdir -p $@
