# The revisited protocol (thesis table 4.4), shared by roxford.mk and rparis.mk, which set DATASET.
#
# DATA is the folder of the benchmark: DATA/jpg with all photos, DATA/gnd_$(DATASET).pkl. A retrieval
# checkpoint as WEIGHTS brings its own whitening (see `rrtool extract --help`); else see WHITENING.
DATA ?= data/$(DATASET)
IMAGES ?= $(DATA)/jpg
GROUND_TRUTH ?= $(DATA)/gnd_$(DATASET).pkl
OUT ?= build/$(DATASET)
NETWORK ?= vgg16
WEIGHTS ?= $(if $(filter efficientnet_lite0 onnx:%,$(NETWORK)),auto,$(if $(filter timm:%,$(NETWORK)),pretrained,imagenet))
UPSAMPLE ?= $(if $(filter resnet%,$(NETWORK)),--upsample)
# Thesis §4.4.1: the 512 strongest features on VGG, 2048 on ResNet: the number of channels of both.
SCORE ?= inliers
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS) $(UPSAMPLE)
include $(dir $(lastword $(MAKEFILE_LIST)))rankings.mk

$(OUT)/database.h5: $(GROUND_TRUTH) | $(OUT)
	$(RUN) extract $(IMAGES) --gallery $< -o $@ $(NETWORK_OPTIONS) $(PLAIN) --overwrite $(call with_local, \
	  --local $(OUT)/database-local.h5)

$(OUT)/queries.h5: $(GROUND_TRUTH) $(if $(CENTER),$(OUT)/database.h5) | $(OUT) $(call with_local,$(OUT)/database-local.h5)
	$(RUN) extract $(IMAGES) --boxes $< -o $@ $(NETWORK_OPTIONS) $(PLAIN) $(CENTER) --overwrite $(call with_local, \
	  --query-local $(OUT)/query-local.h5 --levels-from $(OUT)/database-local.h5)

$(OUT)/database-local.h5: $(GROUND_TRUTH) | $(OUT)/database.h5
	$(RUN) detect-local $(IMAGES) --gallery $< -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/query-local.h5: $(GROUND_TRUTH) $(OUT)/database-local.h5 | $(OUT)/queries.h5
	$(RUN) detect-local $(IMAGES) --boxes $< -o $@ $(NETWORK_OPTIONS) --role query \
	  --levels-from $(OUT)/database-local.h5 --overwrite
