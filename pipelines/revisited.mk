# The revisited protocol (thesis table 4.4), shared by roxford.mk and rparis.mk, which set DATASET.
#
# DATA is the folder of the benchmark: DATA/jpg with all photos, DATA/gnd_$(DATASET).pkl.
DATA ?= data/$(DATASET)
IMAGES ?= $(DATA)/jpg
GROUND_TRUTH ?= $(DATA)/gnd_$(DATASET).pkl
OUT ?= build/$(DATASET)
NETWORK ?= vgg16
WEIGHTS ?= imagenet
UPSAMPLE ?= $(if $(filter resnet%,$(NETWORK)),--upsample)
# Thesis §4.4.1: the 512 strongest features on VGG, 2048 on ResNet: the number of channels of both.
SCORE ?= inliers
RRTOOL ?= rrtool
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS) $(UPSAMPLE)
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)

.PHONY: table global dsm
.DELETE_ON_ERROR:
table: $(OUT)/evaluation.h5
	@$(RRTOOL) evaluate $(OUT)/global.h5 $(OUT)/dsm.h5 --ground-truth $(GROUND_TRUTH)
global: $(OUT)/global.h5
dsm: $(OUT)/dsm.h5

$(OUT):
	mkdir -p $@

$(OUT)/database.h5: $(GROUND_TRUTH) | $(OUT)
	$(RUN) extract $(IMAGES) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/queries.h5: $(GROUND_TRUTH) | $(OUT)
	$(RUN) extract $(IMAGES) --boxes $< -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/database-local.h5: $(GROUND_TRUTH) | $(OUT)
	$(RUN) detect-local $(IMAGES) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/query-local.h5: $(GROUND_TRUTH) $(OUT)/database-local.h5
	$(RUN) detect-local $(IMAGES) --boxes $< -o $@ $(NETWORK_OPTIONS) --role query \
	  --levels-from $(OUT)/database-local.h5 --overwrite

$(OUT)/global.h5: $(OUT)/queries.h5 $(OUT)/database.h5
	$(RUN) search $^ -o $@ --overwrite

$(OUT)/dsm.h5: $(OUT)/global.h5 $(OUT)/query-local.h5 $(OUT)/database-local.h5
	$(RUN) rerank $< --query-local $(OUT)/query-local.h5 \
	  --database-local $(OUT)/database-local.h5 --score $(SCORE) -o $@ --overwrite

$(OUT)/evaluation.h5: $(OUT)/global.h5 $(OUT)/dsm.h5
	$(RUN) evaluate $^ --ground-truth $(GROUND_TRUTH) -o $@ --overwrite
