# The quality of a network on sets of photos, each with the whitening that was learnt on the others:
#   make -f pipelines/quality.mk DATA=../shared/data/retrieval
#   make -f pipelines/quality.mk NETWORK=squeezenet1_1 WEIGHTS=../shared/data/weights/squeezenet1_1.pth
#
# A set is $(DATA)/<name>/images; photos of the same object share the name before the last underscore.
# Other photos in $(DATA)/<name>/queries are its queries; else each photo is one. Every row of a table
# comes with its spread when groups are drawn anew, and with its difference from the first.
DATA ?= ../shared/data/retrieval
SETS ?= scenes oxford5k_subset grocery logos
GROUPS = prefix:(.*)_
NETWORK ?= efficientnet_lite0
WEIGHTS ?= auto
# Of whiten fit; what comes with the default network is made so.
FIT ?= $(if $(filter efficientnet_lite0,$(NETWORK)),--shrinkage 0.8)
OUT ?= build/quality/$(NETWORK)
RRTOOL ?= rrtool
PYTHON ?= python
export RRTOOL

HERE := $(dir $(lastword $(MAKEFILE_LIST)))
QUERY_PHOTOS = $(wildcard $(DATA)/$(1)/queries)
FOLDER = $(MAKE) -f $(HERE)folder.mk PHOTOS=$(DATA)/$(1)/images QUERY_PHOTOS=$(QUERY_PHOTOS) \
  GROUPS='$(GROUPS)' NETWORK=$(NETWORK) WEIGHTS=$(WEIGHTS)
OTHERS = $(filter-out $(1),$(SETS))
SPREAD = $(PYTHON) $(HERE)../benchmarks/spread.py --ground-truth '$(GROUPS)' \
  $(foreach r,global dsm d dsm-d qe reciprocal,$(OUT)/$(1)/$(r).h5) \
  $(foreach r,global dsm d dsm-d qe reciprocal,$(OUT)/$(1)-w/$(r).h5)

.PHONY: all
.DELETE_ON_ERROR:
all: $(foreach s,$(SETS),$(OUT)/$(s)-w/evaluation.h5)
	@$(foreach s,$(SETS),echo $(s); $(call SPREAD,$(s));)

# PLAIN: a whitening that the network brings may have been learnt on this set.
$(SETS:%=$(OUT)/%/evaluation.h5): $(OUT)/%/evaluation.h5:
	$(call FOLDER,$*) OUT=$(OUT)/$* PLAIN='--whitening none' table

LIST = find $(foreach s,$(1),$(abspath $(DATA)/$(s)/images)) -type f | sort > $(@:.h5=.txt)
DESCRIBE = $(RRTOOL) extract $(@:.h5=.txt) -o $@ --network $(NETWORK) --weights $(WEIGHTS) \
  --whitening none

$(OUT)/all.h5:
	mkdir -p $(@D)
	$(call LIST,$(SETS))
	$(DESCRIBE) --overwrite

# Those of all sets but one, kept from those of all.
$(SETS:%=$(OUT)/%/others.h5): $(OUT)/%/others.h5: $(OUT)/all.h5
	mkdir -p $(@D)
	$(call LIST,$(call OTHERS,$*))
	cp $< $@
	$(DESCRIBE) --update

$(SETS:%=$(OUT)/%/whitening.h5): $(OUT)/%/whitening.h5: $(OUT)/%/evaluation.h5 $(OUT)/%/others.h5
	$(RRTOOL) whiten fit $(@D)/others.h5 --groups '$(GROUPS)' $(FIT) -o $@ --overwrite

# The same descriptors and local features, whitened.
$(SETS:%=$(OUT)/%-w/evaluation.h5): $(OUT)/%-w/evaluation.h5: $(OUT)/%/whitening.h5
	mkdir -p $(@D)
	cp -p $(OUT)/$*/photos.txt $(OUT)/$*/database.h5 $(OUT)/$*/*-local.h5 $(@D)
	cp -p $(OUT)/$*/queries.h5 $(@D) || test -z '$(call QUERY_PHOTOS,$*)'
	$(call FOLDER,$*) OUT=$(@D) WHITENING=$< table
