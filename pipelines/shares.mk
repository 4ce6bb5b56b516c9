# Describe a folder in shares that make works on side by side, and join them:
#   make -j 4 -f pipelines/shares.mk PHOTOS=photos OUT=out N=4
# Each share is of 32 photos at least. EXTRACT takes further options of extract.
PHOTOS ?= photos
OUT ?= build/shares
N ?= 4
NETWORK ?= efficientnet_lite0
WEIGHTS ?= auto
EXTRACT ?=
RRTOOL ?= rrtool
SHARES := $(shell seq 1 $(N))

.PHONY: all
all: $(OUT)/features.h5 $(OUT)/local.h5

$(OUT)/features.h5: $(SHARES:%=$(OUT)/share-%.h5)
	$(RRTOOL) merge $^ -o $@ --overwrite

$(OUT)/local.h5: $(SHARES:%=$(OUT)/share-%-local.h5)
	$(RRTOOL) merge $^ -o $@ --overwrite

# One pass of the network gives both.
$(OUT)/share-%-local.h5: $(OUT)/share-%.h5 ;
$(OUT)/share-%.h5: | $(OUT)
	$(RRTOOL) extract $(PHOTOS) --shard $*/$(N) -o $@ --local $(OUT)/share-$*-local.h5 \
	  --network $(NETWORK) --weights $(WEIGHTS) $(EXTRACT)

$(OUT):
	mkdir -p $@
