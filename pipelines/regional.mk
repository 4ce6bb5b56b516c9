# Regions matched one by one (R-Match) against one descriptor an image (thesis fig. 5.10): uniform
# regions at REGIONS levels, all of them and reduced to N_REGIONS by a Gaussian mixture, beside GeM,
# FS.EGM and OS.EGM, with and without diffusion. The table has mAP and the vectors an image;
# benchmarks/regional.py times the queries.
#
# make -f pipelines/regional.mk PHOTOS=~/photos QUERIES=~/queries GROUPS='prefix:^(.*)_'
#
# The other variables are those of discovery.mk; REGION_K and REGION_KQ are for graphs of regions.
REGIONS ?= 3
N_REGIONS ?= 10 5
REGION_K ?= $(if $(THESIS),200)
REGION_KQ ?= $(if $(THESIS),200)
OUT ?= build/regional

.DEFAULT_GOAL := figure
include $(dir $(lastword $(MAKEFILE_LIST)))discovery.mk

REDUCED = $(N_REGIONS:%=gmm%)
REGIONAL = uniform $(REDUCED)
REGIONAL_RANKINGS = $(REGIONAL:%=$(OUT)/%.h5) $(REGIONAL:%=$(OUT)/%-d.h5)
W = $(if $(WHITENING),-whitened)
REGIONS_OF = $(OUT)/%-regions$(W).h5
QUERIES_OF = $(OUT)/%-queries$(W).h5

.PHONY: figure
figure: $(RANKINGS) $(REGIONAL_RANKINGS)
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'

$(OUT)/uniform-regions.h5: $(PHOTOS_STAMP) | $(OUT)
	$(RUN) extract $(DATABASE) --regions $(REGIONS) -o $@ $(NETWORK_OPTIONS) \
	  --whitening none --overwrite

$(OUT)/uniform-queries.h5: $(PHOTOS_STAMP) $(BOXES) | $(OUT)
	$(RUN) extract $(QUERIES) $(if $(BOXES),--boxes $(BOXES)) --regions $(REGIONS) -o $@ \
	  $(NETWORK_OPTIONS) --whitening none --overwrite

$(OUT)/uniform-regions-whitened.h5 $(OUT)/uniform-queries-whitened.h5: %-whitened.h5: %.h5 \
  $(OUT)/uniform-regions.h5 $(WHITENING)
	$(RUN) whiten apply $< $(WHITENING) $(call center,$(OUT)/uniform-regions.h5) -o $@ --overwrite

$(REDUCED:%=$(REGIONS_OF)): $(OUT)/gmm%-regions$(W).h5: $(OUT)/uniform-regions$(W).h5
	$(RUN) reduce-regions $< --n-regions $* -o $@ --overwrite

$(REDUCED:%=$(QUERIES_OF)): $(OUT)/gmm%-queries$(W).h5: $(OUT)/uniform-queries$(W).h5
	$(RUN) reduce-regions $< --n-regions $* -o $@ --overwrite

$(REGIONAL:%=$(OUT)/%.h5): $(OUT)/%.h5: $(QUERIES_OF) $(REGIONS_OF)
	$(RUN) search $^ --regional -o $@ --overwrite

$(REGIONAL:%=$(OUT)/%-graph.h5): $(OUT)/%-graph.h5: $(REGIONS_OF)
	$(RUN) build-graph $< $(if $(REGION_K),--k $(REGION_K)) -o $@ --overwrite

$(REGIONAL:%=$(OUT)/%-d.h5): $(OUT)/%-d.h5: $(OUT)/%-graph.h5 $(QUERIES_OF) $(REGIONS_OF)
	$(RUN) diffuse --graph $< --queries $(word 2,$^) --database $(word 3,$^) \
	  $(if $(REGION_KQ),--kq $(REGION_KQ)) -o $@ --overwrite
