# Object discovery on anyone's photos. What repeats in them, as a page to look at:
#
# make -f pipelines/discovery.mk PHOTOS=~/photos report
#
# And what it gains (thesis table 5.1): descriptors of whole photos (GeM), of what is salient in each
# (FS.EGM), and of what repeats in the collection (OS.EGM), with and without diffusion:
#
# make -f pipelines/discovery.mk PHOTOS=~/photos BOXES=queries.csv GROUPS='prefix:^(.*)_'
#
# The method wants queries that show the object alone: BOXES has name,x0,y0,x1,y1 a row, QUERIES is
# a folder or list of photos of their own. With neither, every photo is a query as a whole.
# THESIS=1 computes by the thesis's words where our defaults differ (docs/methods.md lists both); what
# is given beside it wins. Small collections then want K, KQ and REGION_GRAPH_K as well.
#
# The effect of parameters (thesis fig. 5.5 and 5.8): each is a list, whose first value everything
# else is made with, and of which figure-5.5 and figure-5.8 vary one at a time:
#
# make -f pipelines/discovery.mk … figure-5.5 RHO='7 1 3 5 9' SIGMA='2.5 1 5'
# make -f pipelines/discovery.mk … figure-5.8 OS_RHO='2 1 4' OS_SIGMA='2.5 1 5' THETA='3 1' WHOLE='0.8 0 1'
PHOTOS ?= photos
QUERIES ?= $(PHOTOS)
BOXES ?=
# A benchmark that says which photos are its database; else all are.
GALLERY ?=
GROUPS ?=
OUT ?= build/discovery
NETWORK ?= efficientnet_lite0
WEIGHTS ?= $(if $(filter efficientnet_lite0 onnx:%,$(NETWORK)),auto,$(if $(filter timm:%,$(NETWORK)),pretrained,imagenet))
# Empty: the network's own.
SCALES ?=
MAX_SIZE ?=
# Activation maps of PHOTOS to be kept, of any name: saliency is then found on them, by whatever
# parameters, and the network runs over the photos once. They take some 0.5 to 5 MB a photo.
MAPS ?=
# A whitening learnt elsewhere (rrtool whiten fit), or taken from the checkpoint (whiten export),
# centred on the descriptors it is applied to (by the thesis's words: on its own mean). Saliency is
# found without, or by the thesis's words with regions and patches whitened (WHITEN_REGIONS=1).
WHITENING ?=
THESIS ?=
WHITEN_REGIONS ?= $(THESIS)
# Of feature saliency, of object saliency, and of both; see above. WHOLE is the share of the whole
# photo in FS.EGM and OS.EGM.
RHO ?= 7
SIGMA ?= 2.5
OS_RHO ?= 2
OS_SIGMA ?= 2.5
THETA ?= 3
AGGREGATION ?= $(if $(THESIS),sum,weighted)
WHOLE ?= $(if $(THESIS),0,0.8)
NORMALIZATION ?= $(if $(THESIS),crow,max)
PATCH_POOLING ?= $(if $(THESIS),max,gem)
# One or more of degree, eigenvector, pagerank, katz, betweenness, closeness, each with an OS.EGM.
CENTRALITIES ?= katz
# Where the objects are in PHOTOS, for the target precision: name,x0,y0,x1,y1 a row.
TRUE_BOXES ?= $(BOXES)
# Of the graphs of images and of regions, and of the diffusion; empty: the defaults of rrtool.
K ?= $(if $(THESIS),50)
KQ ?= $(if $(THESIS),10)
REGION_GRAPH_K ?= $(if $(THESIS),200)
RRTOOL ?= rrtool
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS) $(if $(SCALES),--scales $(SCALES)) \
  $(if $(MAX_SIZE),--max-size $(MAX_SIZE))
DATABASE = $(PHOTOS) $(if $(GALLERY),--gallery $(GALLERY))
ACTIVATIONS = $(if $(MAPS),--maps $(MAPS),$(NETWORK_OPTIONS))
# A stage that finds its output up to date leaves it alone; the touch tells make so.
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; touch -c $@; }; run $(RRTOOL)
# The regions of the graph, and how patches are whitened as they are.
VERTICES = $(OUT)/regions$(if $(PATCH_WHITENING),-whitened).h5
PATCH_WHITENING = $(if $(and $(WHITENING),$(WHITEN_REGIONS)),--whitening $(WHITENING) \
  $(call center,$(OUT)/regions.h5))
center = $(if $(THESIS),,--center $(1))
AGGREGATE = --aggregate $(firstword $(AGGREGATION)) --whole $(firstword $(WHOLE))
SALIENT_OPTIONS = --rho $(firstword $(RHO)) --sigma $(firstword $(SIGMA)) $(AGGREGATE) \
  --saliency-normalization $(NORMALIZATION)
FS_OPTIONS = $(ACTIVATIONS) $(SALIENT_OPTIONS)
OS_OPTIONS = $(ACTIVATIONS) --rho $(firstword $(OS_RHO)) --sigma $(firstword $(OS_SIGMA)) \
  --theta $(firstword $(THETA)) $(AGGREGATE) --patch-pooling $(PATCH_POOLING) \
  --regions $(VERTICES) $(PATCH_WHITENING)
KINDS = gem fs $(CENTRALITIES:%=os-%)
SALIENCIES = $(OUT)/regions.h5 $(CENTRALITIES:%=$(OUT)/saliency-%.h5)
RANKINGS = $(KINDS:%=$(OUT)/%.h5) $(KINDS:%=$(OUT)/%-d.h5)
# The stamp of a folder changes when photos come or go or change; a list is its own.
PHOTOS_STAMP = $(if $(wildcard $(PHOTOS)/.),$(OUT)/photos.txt,$(PHOTOS))
# What is searched, and what searches it.
D = $(OUT)/%-features$(if $(WHITENING),-whitened).h5
Q = $(OUT)/$(if $(WHITENING),%-queries-whitened,queries).h5

# FORCE as well: of a file that isn't there .SECONDARY would say that nothing needs it.
.PHONY: table precision report figure-5.5 figure-5.8 FORCE
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

# What changes when the options of a stage do: a table of other parameters is never taken for this.
OPTIONS_network = $(DATABASE) $(QUERIES) $(BOXES) $(NETWORK_OPTIONS)
OPTIONS_fs = $(DATABASE) $(FS_OPTIONS)
OPTIONS_os = $(DATABASE) $(OS_OPTIONS)
OPTIONS_whitening = $(WHITENING) $(call center,itself)
OPTIONS_region-graph = $(VERTICES) $(REGION_GRAPH_K)
OPTIONS_graph = $(D) $(K)
OPTIONS_diffusion = $(KQ)
OPTIONS_search = $(Q) $(D)
STAMPS = network fs os whitening region-graph graph diffusion search
$(STAMPS:%=$(OUT)/%.options): $(OUT)/%.options: FORCE | $(OUT)
	@echo '$(OPTIONS_$*)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# One pass over the photos makes the regions too, unless the goals need none. The rule of the regions
# then finds them made; regions of other parameters it makes alone.
WITH_REGIONS = $(if $(MAPS),--save-maps $(MAPS),$(FROM_ONE_PASS))
FROM_ONE_PASS = $(if $(filter-out $(OUT)/gem%,$(or $(MAKECMDGOALS),table)), \
  --fs-regions $(OUT)/regions.h5 --fs-features $(OUT)/fs-features.h5 --keep-maps $(SALIENT_OPTIONS))
$(OUT)/gem-features.h5: $(PHOTOS_STAMP) $(OUT)/network.options
	$(RUN) extract $(DATABASE) -o $@ $(NETWORK_OPTIONS) --whitening none --overwrite $(WITH_REGIONS)
$(MAPS): $(OUT)/gem-features.h5 ; @touch -c $@

$(OUT)/queries.h5: $(PHOTOS_STAMP) $(BOXES) $(OUT)/network.options
	$(RUN) extract $(QUERIES) $(if $(BOXES),--boxes $(BOXES)) -o $@ $(NETWORK_OPTIONS) \
	  --whitening none --overwrite

$(OUT)/regions.h5: $(PHOTOS_STAMP) $(OUT)/fs.options $(MAPS) | $(OUT)/gem-features.h5
	$(RUN) saliency fs $(DATABASE) -o $@ --features $(OUT)/fs-features.h5 $(FS_OPTIONS) \
	  --keep-maps --overwrite
$(OUT)/fs-features.h5: $(OUT)/regions.h5 ; @touch -c $@

$(OUT)/regions-whitened.h5: $(OUT)/regions.h5 $(WHITENING) $(OUT)/whitening.options
	$(RUN) whiten apply $< $(WHITENING) $(call center,$<) -o $@ --overwrite

$(OUT)/region-graph.h5: $(VERTICES) $(OUT)/region-graph.options
	$(RUN) build-graph $< $(if $(REGION_GRAPH_K),--k $(REGION_GRAPH_K)) -o $@ --overwrite

$(OUT)/centrality-%.h5: $(OUT)/region-graph.h5
	$(RUN) centrality $< -o $@ --measure $* --overwrite

$(OUT)/saliency-%.h5: $(OUT)/centrality-%.h5 $(OUT)/os.options
	$(RUN) saliency os $(DATABASE) -o $@ --centrality $< --features $(OUT)/os-$*-features.h5 \
	  $(OS_OPTIONS) --overwrite
$(CENTRALITIES:%=$(OUT)/os-%-features.h5): $(OUT)/os-%-features.h5: $(OUT)/saliency-%.h5 ; @touch -c $@

# The page shows the first of the centralities.
FIRST = $(firstword $(CENTRALITIES))
$(OUT)/objects.h5: $(VERTICES) $(OUT)/region-graph.h5 $(OUT)/centrality-$(FIRST).h5
	$(RUN) discover $< --graph $(OUT)/region-graph.h5 --centrality $(OUT)/centrality-$(FIRST).h5 \
	  -o $@ --overwrite

$(OUT)/report.html: $(OUT)/saliency-$(FIRST).h5 $(OUT)/objects.h5
	$(RRTOOL) report $< -o $@ --images $(PHOTOS) --objects $(OUT)/objects.h5 \
	  --regions $(VERTICES) --overwrite

# One parameter at a time: $(1) is fs or os, $(2) the option, $(3) its values but for the first. The
# last of two equal options counts.
define swept
SWEPT_$(1) += $(3:%=$(1)-$(2)-%)
$(3:%=$(OUT)/$(1)-$(2)-%-features.h5): $(OUT)/$(1)-$(2)-%-features.h5: $$(NEEDED_$(1))
	$$(RUN) saliency $(1) $$(DATABASE) -o $(OUT)/$(1)-$(2)-$$*-maps.h5 --features $$@ \
	  $$(if $$(filter os,$(1)),--centrality $$< $$(OS_OPTIONS),$$(FS_OPTIONS)) --$(2) $$* --overwrite
endef
NEEDED_fs = $(PHOTOS_STAMP) $(OUT)/fs.options $(MAPS)
NEEDED_os = $(OUT)/centrality-$(FIRST).h5 $(OUT)/os.options
others = $(wordlist 2,$(words $(1)),$(1))
sweep = $(if $(call others,$(3)),$(eval $(call swept,$(1),$(2),$(call others,$(3)))))
$(call sweep,fs,rho,$(RHO))
$(call sweep,fs,sigma,$(SIGMA))
$(call sweep,fs,aggregate,$(AGGREGATION))
$(call sweep,fs,whole,$(WHOLE))
$(call sweep,os,rho,$(OS_RHO))
$(call sweep,os,sigma,$(OS_SIGMA))
$(call sweep,os,theta,$(THETA))
$(call sweep,os,aggregate,$(AGGREGATION))
$(call sweep,os,whole,$(WHOLE))
SWEPT = $(SWEPT_fs) $(SWEPT_os)
figure-5.5: $(OUT)/fs.h5 $(SWEPT_fs:%=$(OUT)/%.h5)
	@echo 'fs.h5: rho $(firstword $(RHO)), sigma $(firstword $(SIGMA)), $(AGGREGATE)'
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'
figure-5.8: $(OUT)/os-$(FIRST).h5 $(SWEPT_os:%=$(OUT)/%.h5)
	@echo 'os-$(FIRST).h5: rho $(firstword $(OS_RHO)), sigma $(firstword $(OS_SIGMA)),' \
	  'theta $(firstword $(THETA)), $(AGGREGATE)'
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'

$(OUT)/%-features-whitened.h5: $(OUT)/%-features.h5 $(WHITENING) $(OUT)/whitening.options
	$(RUN) whiten apply $< $(WHITENING) $(call center,$<) -o $@ --overwrite

$(OUT)/%-queries-whitened.h5: $(OUT)/queries.h5 $(OUT)/%-features.h5 $(WHITENING) \
  $(OUT)/whitening.options
	$(RUN) whiten apply $< $(WHITENING) $(call center,$(OUT)/$*-features.h5) -o $@ --overwrite

$(OUT)/%-graph.h5: $(D) $(OUT)/graph.options
	$(RUN) build-graph $< $(if $(K),--k $(K)) -o $@ --overwrite

$(KINDS:%=$(OUT)/%-d.h5): $(OUT)/%-d.h5: $(OUT)/%-graph.h5 $(Q) $(D) \
  $(OUT)/diffusion.options
	$(RUN) diffuse --graph $< --queries $(word 2,$^) --database $(word 3,$^) \
	  $(if $(KQ),--kq $(KQ)) -o $@ --overwrite

$(KINDS:%=$(OUT)/%.h5) $(SWEPT:%=$(OUT)/%.h5): $(OUT)/%.h5: $(Q) $(D) $(OUT)/search.options
	$(RUN) search $(wordlist 1,2,$^) -o $@ --overwrite
