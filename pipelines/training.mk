# Thesis tables 4.5 to 4.8: a network as it is (none), re-trained (tr: T_R) and re-trained with spatial
# matching (tsp: T_SP), each alone, + DSM, + D and + DSM + D, on ROxford and RParis:
#
#   make -f pipelines/training.mk PHOTOS=sfm GROUPS=sfm.csv DATA=data NETWORK=vgg16 WEIGHTS=<file> POOL=mac
#
# PHOTOS are trained on, GROUPS says which of them show the same; or TUPLES (rrtool mine) do, and
# PHOTOS and GROUPS serve the whitening alone: each network has its own, supervised, from them.
# DATA/roxford5k and DATA/rparis6k are the folders of the benchmarks (see revisited.mk).
PHOTOS ?= photos
GROUPS ?= folder
TUPLES ?=
DATA ?= data
DATASETS ?= roxford5k rparis6k
NETWORKS ?= none tr tsp
OUT ?= build/training
NETWORK ?= vgg16
WEIGHTS ?= imagenet
# mac or gem; empty: that of the checkpoint.
POOL ?=
# What else rrtool train is told; the thesis has --margin 0.85 --lr 5e-7 for ResNet101 with GeM.
TRAIN ?=
UPSAMPLE ?= $(if $(filter resnet%,$(NETWORK)),--upsample)
RRTOOL ?= rrtool
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)
HERE := $(dir $(lastword $(MAKEFILE_LIST)))

POOLING = $(if $(POOL),--pool $(POOL))
EXAMPLES = $(or $(TUPLES),$(PHOTOS) --groups '$(GROUPS)')
RANKINGS := global dsm d dsm-d
weights_of = $(if $(filter none,$(1)),$(WEIGHTS),$(OUT)/$(1).safetensors)

.PHONY: tables
.DELETE_ON_ERROR:
.SECONDARY:
tables: $(foreach network,$(NETWORKS),$(DATASETS:%=table-$(network)-%))

$(OUT):
	mkdir -p $@

$(OUT)/tr.safetensors $(OUT)/tsp.safetensors: $(TUPLES) | $(OUT)
	$(RUN) train $(EXAMPLES) -o $@ --network $(NETWORK) --weights $(WEIGHTS) $(POOLING) $(TRAIN) \
	  $(if $(filter %/tsp.safetensors,$@),--spatial) --overwrite

# $(1): the network.
define whitened
$(OUT)/$(1)-photos.h5: $(if $(filter none,$(1)),,$(OUT)/$(1).safetensors) | $(OUT)
	$$(RUN) extract $(PHOTOS) -o $$@ --network $(NETWORK) --weights $(call weights_of,$(1)) \
	  $(UPSAMPLE) --whitening none $(POOLING) --overwrite

$(OUT)/$(1)-whitening.h5: $(OUT)/$(1)-photos.h5
	$$(RUN) whiten fit $$< --groups '$(GROUPS)' -o $$@ --overwrite
endef
$(foreach network,$(NETWORKS),$(eval $(call whitened,$(network))))

# $(1): the network, $(2): the benchmark, of roxford.mk or rparis.mk.
define table
.PHONY: table-$(1)-$(2)
table-$(1)-$(2): $(OUT)/$(1)-whitening.h5
	@$$(MAKE) -f $(HERE)$(patsubst %5k,%,$(patsubst %6k,%,$(2))).mk $(RANKINGS) DATA=$(DATA)/$(2) \
	  OUT=$(OUT)/$(1)-$(2) NETWORK=$(NETWORK) WEIGHTS=$(call weights_of,$(1)) WHITENING=$$< \
	  UPSAMPLE='$(UPSAMPLE)' PLAIN='--whitening none $(POOLING)' RRTOOL='$(RRTOOL)'
	@echo '$(NETWORK), $(1), $(2)'
	@$(RRTOOL) evaluate $(RANKINGS:%=$(OUT)/$(1)-$(2)/%.h5) --ground-truth $(DATA)/$(2)/gnd_$(2).pkl
endef
$(foreach network,$(NETWORKS),$(foreach dataset,$(DATASETS),$(eval $(call table,$(network),$(dataset)))))
