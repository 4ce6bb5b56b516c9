# Object discovery on anyone's photos (thesis table 5.1): descriptors of whole photos (GeM), of what
# is salient in each (FS.EGM), and of what repeats in the collection (OS.EGM), with and without
# diffusion.
#
# make -f pipelines/discovery.mk PHOTOS=~/photos BOXES=queries.csv GROUPS='prefix:^(.*)_' WEIGHTS=net.pth
#
# BOXES has the queries, name,x0,y0,x1,y1 a row: the object alone, as the method wants it. BOXES=
# takes whole photos; QUERIES says which, where they are others than PHOTOS.
PHOTOS ?= photos
QUERIES ?= $(PHOTOS)
BOXES ?= queries.csv
GROUPS ?=
OUT ?= build/discovery
NETWORK ?= squeezenet1_1
WEIGHTS ?= imagenet
CENTRALITY ?= katz
K ?=
KQ ?=
SCALES ?=
RRTOOL ?= rrtool
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS) $(if $(SCALES),--scales $(SCALES))
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)
KINDS = gem fs os
RANKINGS = $(KINDS:%=$(OUT)/%.h5) $(KINDS:%=$(OUT)/%-d.h5)

.PHONY: table
.DELETE_ON_ERROR:
.SECONDARY:
table: $(RANKINGS)
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'

$(OUT):
	mkdir -p $@

$(OUT)/photos.txt: FORCE | $(OUT)
	@find $(sort $(PHOTOS) $(QUERIES)) -type f -printf '%p\t%s\t%T@\n' | sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(OUT)/gem-features.h5: $(OUT)/photos.txt
	$(RUN) extract $(PHOTOS) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/queries.h5: $(OUT)/photos.txt $(BOXES)
	$(RUN) extract $(QUERIES) $(if $(BOXES),--boxes $(BOXES)) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/regions.h5: $(OUT)/photos.txt
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

$(OUT)/%-graph.h5: $(OUT)/%-features.h5
	$(RUN) build-graph $< $(if $(K),--k $(K)) -o $@ --overwrite

$(OUT)/%-d.h5: $(OUT)/%-graph.h5 $(OUT)/%-features.h5 $(OUT)/queries.h5
	$(RUN) diffuse --graph $< --database $(OUT)/$*-features.h5 --queries $(OUT)/queries.h5 \
	  $(if $(KQ),--kq $(KQ)) -o $@ --overwrite

$(KINDS:%=$(OUT)/%.h5): $(OUT)/%.h5: $(OUT)/queries.h5 $(OUT)/%-features.h5
	$(RUN) search $^ -o $@ --overwrite
