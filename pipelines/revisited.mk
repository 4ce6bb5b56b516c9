# The revisited protocol (thesis table 4.4), shared by roxford.mk and rparis.mk, which set DATASET.
# The target table-5.1 compares GeM, FS.EGM and OS.EGM on it (discovery.mk has the variables), and
# figure-5.5 and figure-5.8 vary their parameters.
#
# DATA is the folder of the benchmark: DATA/jpg with all photos, DATA/gnd_$(DATASET).pkl. A retrieval
# checkpoint as WEIGHTS brings its own whitening (see `rrtool extract --help`); else see WHITENING.
#
# With DISTRACTORS, a folder of other photos such as R1M, the queries are asked of these too: the
# database is described in N shares, on which make -j works side by side (or machines: see
# shares.slurm), and merged; rankings then keep TOP entries, and what is behind them is not found.
DATA ?= data/$(DATASET)
IMAGES ?= $(DATA)/jpg
GROUND_TRUTH ?= $(DATA)/gnd_$(DATASET).pkl
OUT ?= build/$(DATASET)
NETWORK ?= vgg16
WEIGHTS ?= $(if $(filter efficientnet_lite0 onnx:%,$(NETWORK)),auto,$(if $(filter timm:%,$(NETWORK)),pretrained,imagenet))
UPSAMPLE ?= $(if $(filter resnet%,$(NETWORK)),--upsample)
# Thesis §4.4.1: the 512 strongest features on VGG, 2048 on ResNet: the number of channels of both.
SCORE ?= inliers
DISTRACTORS ?=
N ?= 8
TOP ?= $(if $(DISTRACTORS),10000)
PYTHON ?= python
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS) $(UPSAMPLE)
include $(HERE)rankings.mk

.PHONY: table-5.1 figure-5.5 figure-5.8
table-5.1 figure-5.5 figure-5.8:
	@$(MAKE) -f $(HERE)discovery.mk $(patsubst table-5.1,table,$@) PHOTOS=$(IMAGES) \
	  BOXES=$(GROUND_TRUTH) GROUPS=$(GROUND_TRUTH) GALLERY=$(GROUND_TRUTH) OUT=$(OUT)/discovery \
	  NETWORK=$(NETWORK) WEIGHTS=$(WEIGHTS) RRTOOL='$(RRTOOL)'

ifneq ($(DISTRACTORS),)
$(OUT)/photos.txt: FORCE | $(OUT)
	@$(PYTHON) $(HERE)gallery_and.py $(GROUND_TRUTH) $(IMAGES) $(DISTRACTORS) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

SHARES := $(shell seq 1 $(N))
$(OUT)/database.h5: $(SHARES:%=$(OUT)/share-%.h5)
	$(RRTOOL) merge $^ -o $@ --overwrite
$(OUT)/database-local.h5: $(SHARES:%=$(OUT)/share-%-local.h5)
	$(RRTOOL) merge $^ -o $@ --overwrite
$(SHARES:%=$(OUT)/share-%.h5): $(OUT)/share-%.h5: $(OUT)/photos.txt
	$(RUN) extract $< --shard $*/$(N) -o $@ $(NETWORK_OPTIONS) $(PLAIN) --overwrite \
	  $(call with_local,--local $(OUT)/share-$*-local.h5)
$(SHARES:%=$(OUT)/share-%-local.h5): $(OUT)/share-%-local.h5: | $(OUT)/share-%.h5
	$(RUN) detect-local $(OUT)/photos.txt --shard $*/$(N) -o $@ $(NETWORK_OPTIONS) --overwrite
else
$(OUT)/database.h5: $(GROUND_TRUTH) | $(OUT)
	$(RUN) extract $(IMAGES) --gallery $< -o $@ $(NETWORK_OPTIONS) $(PLAIN) --overwrite $(call with_local, \
	  --local $(OUT)/database-local.h5)

$(OUT)/database-local.h5: $(GROUND_TRUTH) | $(OUT)/database.h5
	$(RUN) detect-local $(IMAGES) --gallery $< -o $@ $(NETWORK_OPTIONS) --overwrite
endif

$(OUT)/queries.h5: $(GROUND_TRUTH) $(if $(CENTER),$(OUT)/database.h5) | $(OUT) $(call with_local,$(OUT)/database-local.h5)
	$(RUN) extract $(IMAGES) --boxes $< -o $@ $(NETWORK_OPTIONS) $(PLAIN) $(CENTER) --overwrite $(call with_local, \
	  --query-local $(OUT)/query-local.h5 --levels-from $(OUT)/database-local.h5)

$(OUT)/query-local.h5: $(GROUND_TRUTH) $(OUT)/database-local.h5 | $(OUT)/queries.h5
	$(RUN) detect-local $(IMAGES) --boxes $< -o $@ $(NETWORK_OPTIONS) --role query \
	  --levels-from $(OUT)/database-local.h5 --overwrite
