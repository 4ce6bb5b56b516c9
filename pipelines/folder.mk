# Anyone's photos: make -f pipelines/folder.mk PHOTOS=~/photos GROUPS='prefix:^(.*)_'
#
# Each photo is a query against all others; with QUERY_PHOTOS, those are the queries. GROUPS says
# which photos show the same object (see `rrtool evaluate --help`); without it the pipeline stops at
# the rankings and the report.
PHOTOS ?= photos
GROUPS ?=
QUERY_PHOTOS ?=
OUT ?= build/folder
NETWORK ?= efficientnet_lite0
WEIGHTS ?= $(if $(filter efficientnet_lite0 onnx:%,$(NETWORK)),auto,$(if $(filter timm:%,$(NETWORK)),pretrained,imagenet))
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS)
GROUND_TRUTH = $(GROUPS)
QUERIES = $(if $(QUERY_PHOTOS),$(OUT)/queries,$(DATABASE))

.PHONY: all report
all: report $(if $(GROUPS),table)
include $(dir $(lastword $(MAKEFILE_LIST)))rankings.mk

# The list of photos changes only when photos come or go or change, so reruns are cheap.
$(OUT)/photos.txt: FORCE | $(OUT)
	@find $(PHOTOS) $(QUERY_PHOTOS) -type f -printf '%p\t%s\t%T@\n' | sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(OUT)/database.h5: $(OUT)/photos.txt
	$(RUN) extract $(PHOTOS) -o $@ $(NETWORK_OPTIONS) $(PLAIN) --overwrite $(call with_local, \
	  --local $(OUT)/database-local.h5 $(if $(QUERY_PHOTOS),,--query-local $(OUT)/query-local.h5))

ifneq ($(QUERY_PHOTOS),)
$(OUT)/queries.h5: $(OUT)/photos.txt $(DATABASE).h5 | $(OUT)/database-local.h5
	$(RUN) extract $(QUERY_PHOTOS) -o $@ $(NETWORK_OPTIONS) $(PLAIN) --overwrite \
	  $(CENTER) $(call with_local, --query-local $(OUT)/query-local.h5 \
	  --levels-from $(OUT)/database-local.h5)
endif

$(OUT)/database-local.h5: $(OUT)/photos.txt | $(OUT)/database.h5
	$(RUN) detect-local $(PHOTOS) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/query-local.h5: $(OUT)/database-local.h5 | $(QUERIES).h5
	$(RUN) detect-local $(or $(QUERY_PHOTOS),$(PHOTOS)) -o $@ $(NETWORK_OPTIONS) --role query \
	  --levels-from $< --overwrite

report: $(OUT)/report.html
$(OUT)/report.html: $(OUT)/dsm.h5
	$(RRTOOL) report $< -o $@ --images $(PHOTOS) \
	  $(if $(QUERY_PHOTOS),--query-images $(QUERY_PHOTOS)) --query-local $(OUT)/query-local.h5 \
	  --database-local $(OUT)/database-local.h5 --overwrite \
	  $(if $(GROUPS),--ground-truth '$(GROUPS)')
