# Small things among much else: photos described by their regions, each compared with each (R-Match),
# and photos that have the same neighbours brought together (k-reciprocal encoding over rankings of
# the collection by itself). Beside it the same with one descriptor a photo. No box is known; the
# ranking says where in each photo it matches (rrtool report, export).
#
# make -f pipelines/small_objects.mk PHOTOS=~/photos QUERIES=~/queries GROUPS='prefix:^([^_]*)_'
#
# BOXES has name,x0,y0,x1,y1 a row: queries that are boxes in QUERIES, which may be PHOTOS.
PHOTOS ?= photos
QUERIES ?= $(PHOTOS)
BOXES ?=
GROUPS ?=
OUT ?= build/small-objects
NETWORK ?= efficientnet_lite0
WEIGHTS ?= auto
# Of the regions: levels, and the size at which the network sees each alone; ZOOM= pools parts of the
# maps of whole photos instead, at SCALES, which takes a quarter of the time. Empty: the network's own.
REGIONS ?= 3
ZOOM ?= 160
SCALES ?=
# Of whole photos. Empty: the network's own.
WHOLE_SCALES ?=
# A whitening learnt elsewhere; by default descriptors are centred, on the mean of the collection.
WHITENING ?= $(OUT)/center.h5
# Neighbours that the encoding asks for, and one for the photo itself; and the similarity's own share
# of the score: where queries are photos like the others, 0.1 gains two more points.
TOP ?= 21
MIXTURE ?= 0.5
RRTOOL ?= rrtool
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; touch -c $@; }; run $(RRTOOL)
EXTRACT = $(RUN) extract $(1) -o $@ --network $(NETWORK) --weights $(WEIGHTS) --whitening none \
  --overwrite $(if $(2),--scales $(2))
ZOOMED = $(if $(ZOOM),--zoom $(ZOOM))
REGION_SCALES = $(if $(ZOOM),,$(SCALES))
QUERY = $(QUERIES) $(if $(BOXES),--boxes $(BOXES))
RANKINGS = $(addprefix $(OUT)/,whole.h5 whole-r.h5 match.h5 match-r.h5)

.PHONY: table
.DELETE_ON_ERROR:
table: $(RANKINGS)
	@$(RRTOOL) evaluate $^ --ground-truth '$(GROUPS)'

$(OUT):
	mkdir -p $@

$(OUT)/whole-database.h5: $(PHOTOS) | $(OUT)
	$(call EXTRACT,$(PHOTOS),$(WHOLE_SCALES))

$(OUT)/whole-queries.h5: $(QUERIES) $(BOXES) | $(OUT)
	$(call EXTRACT,$(QUERY),$(WHOLE_SCALES))

$(OUT)/match-database.h5: $(PHOTOS) | $(OUT)
	$(call EXTRACT,$(PHOTOS),$(REGION_SCALES)) --regions $(REGIONS) $(ZOOMED)

$(OUT)/match-queries.h5: $(QUERIES) $(BOXES) | $(OUT)
	$(call EXTRACT,$(QUERY),$(REGION_SCALES)) --regions $(REGIONS) $(ZOOMED)

$(OUT)/center.h5: $(OUT)/whole-database.h5
	$(RUN) whiten fit $< --method center -o $@ --overwrite

KINDS = whole match
$(foreach side,database queries,$(KINDS:%=$(OUT)/%-$(side)-whitened.h5)): %-whitened.h5: %.h5 \
  $(WHITENING) $(KINDS:%=$(OUT)/%-database.h5)
	$(RUN) whiten apply $< $(WHITENING) -o $@ --overwrite \
	  --center $(OUT)/$(firstword $(subst -, ,$(notdir $<)))-database.h5

$(KINDS:%=$(OUT)/%.h5): %.h5: %-queries-whitened.h5 %-database-whitened.h5
	$(RUN) search $^ -o $@ --overwrite

$(KINDS:%=$(OUT)/%-lists.h5): %-lists.h5: %-database-whitened.h5
	$(RUN) search $< $< --top $(TOP) -o $@ --overwrite

$(KINDS:%=$(OUT)/%-r.h5): %-r.h5: %.h5 %-lists.h5
	$(RUN) rerank $< --method reciprocal --lists $(word 2,$^) --mixture $(MIXTURE) -o $@ --overwrite
