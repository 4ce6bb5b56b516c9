# The thesis's figures of one collection, as one page: build/figures/index.html.
#
# make -f pipelines/figures.mk                                              of the demo's scenes
# make -f pipelines/figures.mk DATA=~/photos [GROUPS='prefix:^(.*)_' BOXES=queries.csv TRUE_BOXES=boxes.csv]
#
# GROUPS tells which photos show the same, TRUE_BOXES where the objects are (name,x0,y0,x1,y1 a row);
# figures that need what is not given are left out, and the page says which. PHOTO names the photo
# that figures of one photo show. The other variables are those of regional.mk and discovery.mk.
DATA ?=
OUT ?= build/figures
THESIS ?=
PHOTO ?=
SCENES = $(OUT)/scenes
ifeq ($(DATA),)
PHOTOS = $(SCENES)/images
BOXES = $(SCENES)/boxes.csv
TRUE_BOXES = $(SCENES)/all_boxes.csv
GROUPS = $(SCENES)/groups.csv
MAX_SIZE ?= 512
else
PHOTOS = $(DATA)
endif
# The boxes of a benchmark are of its queries.
TRUE_BOXES ?= $(if $(GALLERY),,$(BOXES))
MAPS = $(OUT)/maps.h5
RHO ?= 7 1 3 5 9
SIGMA ?= 2.5 1 5 10
OS_RHO ?= 2 1 4 7
OS_SIGMA ?= 2.5 1 5 10
WHOLE ?= $(if $(THESIS),0,0.8) 0 0.5 1
CENTRALITIES ?= katz degree
SCORE ?= fused

include $(dir $(lastword $(MAKEFILE_LIST)))regional.mk
.DEFAULT_GOAL := figures

MADE = $(MAPS) $(OUT)/regions.h5 $(OUT)/database-local.h5 $(CENTRALITIES:%=$(OUT)/centrality-%.h5) \
  $(CENTRALITIES:%=$(OUT)/saliency-%.h5)
# What needs the truth about the photos.
SCORED = $(if $(GROUPS),$(OUT)/verified.h5 $(KINDS:%=$(D)) $(SWEPT:%=$(D)) $(RANKINGS) \
  $(SWEPT:%=$(OUT)/%.h5) $(REGIONAL_RANKINGS))

.PHONY: figures
figures: $(OUT)/index.html
$(OUT)/index.html: $(MADE) $(SCORED) $(filter-out prefix:% folder,$(GROUPS)) $(TRUE_BOXES)
	$(RRTOOL) report $(MADE) $(SCORED) --figures all -o $@ --images $(PHOTOS) --overwrite \
	  $(if $(GROUPS),--ground-truth '$(GROUPS)') $(if $(TRUE_BOXES),--boxes $(TRUE_BOXES)) \
	  $(if $(PHOTO),--photo '$(PHOTO)')

ifeq ($(DATA),)
$(GROUPS) $(BOXES) $(TRUE_BOXES) $(PHOTOS_STAMP): | $(SCENES)/made
$(SCENES)/made: | $(OUT)
	$(RRTOOL) demo $(SCENES) --scenes-only
	touch $@
endif

$(OUT)/database-local.h5: $(MAPS)
	$(RUN) detect-local $(DATABASE) --maps $(MAPS) -o $@ --overwrite

$(OUT)/query-local.h5: $(OUT)/queries.h5 $(OUT)/database-local.h5
	$(RUN) detect-local $(QUERIES) $(if $(BOXES),--boxes $(BOXES)) -o $@ $(NETWORK_OPTIONS) \
	  --role query --levels-from $(OUT)/database-local.h5 --overwrite

$(OUT)/verified.h5: $(OUT)/gem.h5 $(OUT)/query-local.h5
	$(RUN) rerank $< --query-local $(OUT)/query-local.h5 \
	  --database-local $(OUT)/database-local.h5 --score $(SCORE) -o $@ --overwrite
