# Object discovery on anyone's photos. What repeats in them, as a page to look at:
#
# make -f pipelines/discovery.mk PHOTOS=~/photos WEIGHTS=net.pth report
#
# And what it gains (thesis table 5.1): descriptors of whole photos (GeM), of what is salient in each
# (FS.EGM), and of what repeats in the collection (OS.EGM), with and without diffusion:
#
# make -f pipelines/discovery.mk PHOTOS=~/photos BOXES=queries.csv GROUPS='prefix:^(.*)_' WEIGHTS=net.pth
#
# The method wants queries that show the object alone: BOXES has name,x0,y0,x1,y1 a row, QUERIES is
# a folder or list of photos of their own. With neither, every photo is a query as a whole.
PHOTOS ?= photos
QUERIES ?= $(PHOTOS)
BOXES ?=
# A benchmark that says which photos are its database; else all are.
GALLERY ?=
GROUPS ?=
OUT ?= build/discovery
NETWORK ?= squeezenet1_1
WEIGHTS ?= imagenet
SCALES ?= 1,0.7071,0.5
MAX_SIZE ?= 1024
# A whitening learnt elsewhere (rrtool whiten fit), or taken from the checkpoint (whiten export),
# centred on the descriptors it is applied to. Saliency is found without.
WHITENING ?=
# One or more of degree, eigenvector, pagerank, katz, betweenness, closeness, each with an OS.EGM.
CENTRALITIES ?= katz
# Where the objects are in PHOTOS, for the target precision: name,x0,y0,x1,y1 a row.
TRUE_BOXES ?= $(BOXES)
K ?=
KQ ?=
RRTOOL ?= rrtool
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS) --scales $(SCALES) \
  --max-size $(MAX_SIZE)
DATABASE = $(PHOTOS) $(if $(GALLERY),--gallery $(GALLERY))
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)
KINDS = gem fs $(CENTRALITIES:%=os-%)
SALIENCIES = $(OUT)/regions.h5 $(CENTRALITIES:%=$(OUT)/saliency-%.h5)
RANKINGS = $(KINDS:%=$(OUT)/%.h5) $(KINDS:%=$(OUT)/%-d.h5)
# The stamp of a folder changes when photos come or go or change; a list is its own.
PHOTOS_STAMP = $(if $(wildcard $(PHOTOS)/.),$(OUT)/photos.txt,$(PHOTOS))
# What is searched, and what searches it.
D = $(OUT)/%-features$(if $(WHITENING),-whitened).h5
Q = $(OUT)/$(if $(WHITENING),%-queries-whitened,queries).h5

.PHONY: table precision report
.DELETE_ON_ERROR:
.SECONDARY:
table: $(RANKINGS)
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'
# Saliency precision and region recall (thesis fig. 5.6).
precision: $(SALIENCIES)
	@$(RRTOOL) evaluate $^ --boxes $(TRUE_BOXES)
report: $(OUT)/report.html

$(OUT):
	mkdir -p $@

$(OUT)/photos.txt: FORCE | $(OUT)
	@find $(PHOTOS) -type f -printf '%p\t%s\t%T@\n' | sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(OUT)/gem-features.h5: $(PHOTOS_STAMP) | $(OUT)
	$(RUN) extract $(DATABASE) -o $@ $(NETWORK_OPTIONS) --whitening none --overwrite

$(OUT)/queries.h5: $(PHOTOS_STAMP) $(BOXES) | $(OUT)
	$(RUN) extract $(QUERIES) $(if $(BOXES),--boxes $(BOXES)) -o $@ $(NETWORK_OPTIONS) \
	  --whitening none --overwrite

$(OUT)/regions.h5: $(PHOTOS_STAMP) | $(OUT)
	$(RUN) saliency fs $(DATABASE) -o $@ --features $(OUT)/fs-features.h5 $(NETWORK_OPTIONS) \
	  --keep-maps --overwrite
$(OUT)/fs-features.h5: $(OUT)/regions.h5 ;

$(OUT)/region-graph.h5: $(OUT)/regions.h5
	$(RUN) build-graph $< -o $@ --overwrite

$(OUT)/centrality-%.h5: $(OUT)/region-graph.h5
	$(RUN) centrality $< -o $@ --measure $* --overwrite

$(OUT)/saliency-%.h5: $(OUT)/regions.h5 $(OUT)/centrality-%.h5
	$(RUN) saliency os $(DATABASE) -o $@ --regions $< --centrality $(OUT)/centrality-$*.h5 \
	  --features $(OUT)/os-$*-features.h5 $(NETWORK_OPTIONS) --overwrite
$(CENTRALITIES:%=$(OUT)/os-%-features.h5): $(OUT)/os-%-features.h5: $(OUT)/saliency-%.h5 ;

# The page shows the first of the centralities.
FIRST = $(firstword $(CENTRALITIES))
$(OUT)/objects.h5: $(OUT)/regions.h5 $(OUT)/region-graph.h5 $(OUT)/centrality-$(FIRST).h5
	$(RUN) discover $< --graph $(OUT)/region-graph.h5 --centrality $(OUT)/centrality-$(FIRST).h5 \
	  -o $@ --overwrite

$(OUT)/report.html: $(OUT)/saliency-$(FIRST).h5 $(OUT)/objects.h5
	$(RRTOOL) report $< -o $@ --images $(PHOTOS) --objects $(OUT)/objects.h5 \
	  --regions $(OUT)/regions.h5 --overwrite

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
