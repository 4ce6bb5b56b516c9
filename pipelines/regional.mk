# Regions matched one by one (R-Match) against one descriptor an image (thesis fig. 5.10): uniform
# regions at REGIONS levels, all of them and reduced to N_REGIONS by a Gaussian mixture, beside GeM,
# FS.EGM and OS.EGM, with and without diffusion. The table has mAP and the vectors an image;
# benchmarks/regional.py times the queries.
#
# make -f pipelines/regional.mk PHOTOS=~/photos QUERIES=~/queries BOXES= GROUPS='prefix:^(.*)_'
#
# Other variables are those of discovery.mk; REGION_K and REGION_KQ are for graphs of regions.
REGIONS ?= 3
N_REGIONS ?= 10 5
REGION_K ?=
REGION_KQ ?=
OUT ?= build/regional

.DEFAULT_GOAL := figure
include $(dir $(lastword $(MAKEFILE_LIST)))discovery.mk

REDUCED = $(N_REGIONS:%=gmm%)
REGIONAL = uniform $(REDUCED)
REGIONAL_RANKINGS = $(REGIONAL:%=$(OUT)/%.h5) $(REGIONAL:%=$(OUT)/%-d.h5)

.PHONY: figure
figure: $(RANKINGS) $(REGIONAL_RANKINGS)
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'

$(OUT)/uniform-regions.h5: $(OUT)/photos.txt
	$(RUN) extract $(PHOTOS) --regions $(REGIONS) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/uniform-queries.h5: $(OUT)/photos.txt $(BOXES)
	$(RUN) extract $(QUERIES) $(if $(BOXES),--boxes $(BOXES)) --regions $(REGIONS) -o $@ \
	  $(NETWORK_OPTIONS) --overwrite

$(REDUCED:%=$(OUT)/%-regions.h5): $(OUT)/gmm%-regions.h5: $(OUT)/uniform-regions.h5
	$(RUN) reduce-regions $< --n-regions $* -o $@ --overwrite

$(REDUCED:%=$(OUT)/%-queries.h5): $(OUT)/gmm%-queries.h5: $(OUT)/uniform-queries.h5
	$(RUN) reduce-regions $< --n-regions $* -o $@ --overwrite

$(REGIONAL:%=$(OUT)/%.h5): $(OUT)/%.h5: $(OUT)/%-queries.h5 $(OUT)/%-regions.h5
	$(RUN) search $^ --regional -o $@ --overwrite

$(REGIONAL:%=$(OUT)/%-graph.h5): $(OUT)/%-graph.h5: $(OUT)/%-regions.h5
	$(RUN) build-graph $< $(if $(REGION_K),--k $(REGION_K)) -o $@ --overwrite

$(REGIONAL:%=$(OUT)/%-d.h5): $(OUT)/%-d.h5: $(OUT)/%-graph.h5 $(OUT)/%-queries.h5 $(OUT)/%-regions.h5
	$(RUN) diffuse --graph $< --queries $(OUT)/$*-queries.h5 --database $(OUT)/$*-regions.h5 \
	  $(if $(REGION_KQ),--kq $(REGION_KQ)) -o $@ --overwrite
