# Small things among much else: photos described by their regions, each compared with each (R-Match);
# regions that have the same neighbours brought together (k-reciprocal encoding), then the photos
# (over rankings of the collection by itself). Beside it photos without their regions, and the same
# with one descriptor a photo. No box is known; the ranking says where in each photo it matches
# (rrtool report, export).
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
# A whitening learnt elsewhere; by default descriptors are centred, on the mean of the collection's.
WHITENING ?=
# Neighbours that the encoding asks for, and one for the photo itself; and the similarity's own share
# of the score. Empty: 0.3, of regions 0.1.
TOP ?= 21
MIXTURE ?=
RRTOOL ?= rrtool
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; touch -c $@; }; run $(RRTOOL)
EXTRACT = $(RUN) extract $(1) -o $@ --network $(NETWORK) --weights $(WEIGHTS) --whitening none \
  --overwrite $(if $(2),--scales $(2))
ZOOMED = $(if $(ZOOM),--zoom $(ZOOM))
REGION_SCALES = $(if $(ZOOM),,$(SCALES))
QUERY = $(QUERIES) $(if $(BOXES),--boxes $(BOXES))
RANKINGS = $(addprefix $(OUT)/,whole.h5 whole-r.h5 match.h5 match-r.h5 regions.h5 regions-r.h5)

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

KINDS = whole match
$(KINDS:%=$(OUT)/%-center.h5): %-center.h5: %-database.h5
	$(RUN) whiten fit $< --method center -o $@ --overwrite

WHITEN = $(RUN) whiten apply $< $(word 2,$+) --center $(lastword $+) -o $@ --overwrite
$(KINDS:%=$(OUT)/%-queries-whitened.h5): %-queries-whitened.h5: %-queries.h5 \
  $(or $(WHITENING),%-center.h5) %-database.h5
	$(WHITEN)
$(KINDS:%=$(OUT)/%-database-whitened.h5): %-database-whitened.h5: %-database.h5 \
  $(or $(WHITENING),%-center.h5) %-database.h5
	$(WHITEN)

$(KINDS:%=$(OUT)/%.h5): %.h5: %-queries-whitened.h5 %-database-whitened.h5
	$(RUN) search $^ -o $@ --overwrite

$(KINDS:%=$(OUT)/%-lists.h5): %-lists.h5: %-database-whitened.h5
	$(RUN) search $< $< --top $(TOP) -o $@ --overwrite

# By the neighbours that regions share: the queries' rankings, and the collection's own.
$(OUT)/regions.h5: $(addprefix $(OUT)/match,.h5 -queries-whitened.h5 -database-whitened.h5)
$(OUT)/regions-lists.h5: $(addprefix $(OUT)/match,-lists.h5 -database-whitened.h5)
$(addprefix $(OUT)/regions,.h5 -lists.h5):
	$(RUN) rerank $< --method reciprocal --queries $(word 2,$^) --database $(lastword $^) $(MIXED) \
	  -o $@ --overwrite

MIXED = $(if $(MIXTURE),--mixture $(MIXTURE))
$(addprefix $(OUT)/,$(addsuffix -r.h5,$(KINDS) regions)): %-r.h5: %.h5 %-lists.h5
	$(RUN) rerank $< --method reciprocal --lists $(word 2,$^) $(MIXED) -o $@ --overwrite
