# Object discovery on anyone's photos (thesis table 5.1): descriptors of whole photos (GeM), of what
# is salient in each (FS.EGM), and of what repeats in the collection (OS.EGM), with and without
# diffusion.
#
# make -f pipelines/discovery.mk PHOTOS=~/photos BOXES=queries.csv GROUPS='prefix:^(.*)_' WEIGHTS=net.pth
#
# The method wants queries that show the object alone: BOXES has name,x0,y0,x1,y1 a row, QUERIES is
# a folder or list of photos of their own. With neither, every photo is a query as a whole.
PHOTOS ?= photos
QUERIES ?= $(PHOTOS)
BOXES ?=
GROUPS ?=
OUT ?= build/discovery
NETWORK ?= squeezenet1_1
WEIGHTS ?= imagenet
SCALES ?= 1,0.7071,0.5
# A whitening learnt elsewhere (rrtool whiten fit), centred on the descriptors it is applied to.
WHITENING ?=
CENTRALITY ?= katz
K ?=
KQ ?=
RRTOOL ?= rrtool
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS) --scales $(SCALES)
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)
KINDS = gem fs os
RANKINGS = $(KINDS:%=$(OUT)/%.h5) $(KINDS:%=$(OUT)/%-d.h5)
# The stamp of a folder changes when photos come or go or change; a list is its own.
PHOTOS_STAMP = $(if $(wildcard $(PHOTOS)/.),$(OUT)/photos.txt,$(PHOTOS))
# What is searched, and what searches it.
D = $(OUT)/%-features$(if $(WHITENING),-whitened).h5
Q = $(OUT)/$(if $(WHITENING),%-queries-whitened,queries).h5

.PHONY: table
.DELETE_ON_ERROR:
.SECONDARY:
table: $(RANKINGS)
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'

$(OUT):
	mkdir -p $@

$(OUT)/photos.txt: FORCE | $(OUT)
	@find $(PHOTOS) -type f -printf '%p\t%s\t%T@\n' | sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(OUT)/gem-features.h5: $(PHOTOS_STAMP) | $(OUT)
	$(RUN) extract $(PHOTOS) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/queries.h5: $(PHOTOS_STAMP) $(BOXES) | $(OUT)
	$(RUN) extract $(QUERIES) $(if $(BOXES),--boxes $(BOXES)) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/regions.h5: $(PHOTOS_STAMP) | $(OUT)
	$(RUN) saliency fs $(PHOTOS) -o $@ --features $(OUT)/fs-features.h5 $(NETWORK_OPTIONS) \
	  --keep-maps --overwrite
$(OUT)/fs-features.h5: $(OUT)/regions.h5 ;

$(OUT)/region-graph.h5: $(OUT)/regions.h5
	$(RUN) build-graph $< -o $@ --overwrite

$(OUT)/centrality.h5: $(OUT)/region-graph.h5
	$(RUN) centrality $< -o $@ --measure $(CENTRALITY) --overwrite

$(OUT)/saliency.h5: $(OUT)/regions.h5 $(OUT)/centrality.h5
	$(RUN) saliency os $(PHOTOS) -o $@ --regions $< --centrality $(OUT)/centrality.h5 \
	  --features $(OUT)/os-features.h5 $(NETWORK_OPTIONS) --overwrite
$(OUT)/os-features.h5: $(OUT)/saliency.h5 ;

$(OUT)/%-features-whitened.h5: $(OUT)/%-features.h5 $(WHITENING)
	$(RUN) whiten apply $< $(WHITENING) --center $< -o $@ --overwrite

$(OUT)/%-queries-whitened.h5: $(OUT)/queries.h5 $(OUT)/%-features.h5 $(WHITENING)
	$(RUN) whiten apply $< $(WHITENING) --center $(OUT)/$*-features.h5 -o $@ --overwrite

$(OUT)/%-graph.h5: $(D)
	$(RUN) build-graph $< $(if $(K),--k $(K)) -o $@ --overwrite

$(KINDS:%=$(OUT)/%-d.h5): $(OUT)/%-d.h5: $(OUT)/%-graph.h5 $(Q) $(D)
	$(RUN) diffuse --graph $< --queries $(word 2,$^) --database $(word 3,$^) \
	  $(if $(KQ),--kq $(KQ)) -o $@ --overwrite

$(KINDS:%=$(OUT)/%.h5): $(OUT)/%.h5: $(Q) $(D)
	$(RUN) search $^ -o $@ --overwrite
