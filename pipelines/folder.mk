# Anyone's photos: make -f pipelines/folder.mk PHOTOS=~/photos GROUPS='prefix:^(.*)_' WEIGHTS=net.pth
#
# Each photo is a query against all others. GROUPS says which photos show the same object (see
# `rrtool evaluate --help`); without it the pipeline stops at the verified ranking and its report.
PHOTOS ?= photos
GROUPS ?=
OUT ?= build/folder
NETWORK ?= squeezenet1_1
WEIGHTS ?= imagenet
RRTOOL ?= rrtool
NETWORK_OPTIONS = --network $(NETWORK) --weights $(WEIGHTS)
# Make decides what is out of date; --overwrite lets a stage replace what it made from older input.
# Exit code 3 means that some photos were skipped and are listed beside the output.
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)

.PHONY: all ranking table report
.DELETE_ON_ERROR:
all: report $(if $(GROUPS),table)
ranking: $(OUT)/dsm.h5

$(OUT):
	mkdir -p $@

# The list of photos changes only when photos come or go or change, so reruns are cheap.
$(OUT)/photos.txt: FORCE | $(OUT)
	@find $(PHOTOS) -type f -printf '%p\t%s\t%T@\n' | sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(OUT)/features.h5: $(OUT)/photos.txt
	$(RUN) extract $(PHOTOS) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/database-local.h5: $(OUT)/photos.txt
	$(RUN) detect-local $(PHOTOS) -o $@ $(NETWORK_OPTIONS) --overwrite

$(OUT)/query-local.h5: $(OUT)/database-local.h5
	$(RUN) detect-local $(PHOTOS) -o $@ $(NETWORK_OPTIONS) --role query --levels-from $< --overwrite

$(OUT)/global.h5: $(OUT)/features.h5
	$(RUN) search $< $< -o $@ --overwrite

$(OUT)/dsm.h5: $(OUT)/global.h5 $(OUT)/query-local.h5 $(OUT)/database-local.h5
	$(RUN) rerank $< --query-local $(OUT)/query-local.h5 \
	  --database-local $(OUT)/database-local.h5 -o $@ --overwrite

$(OUT)/evaluation.h5: $(OUT)/global.h5 $(OUT)/dsm.h5
	$(RUN) evaluate $^ --ground-truth '$(GROUPS)' -o $@ --overwrite

table: $(OUT)/evaluation.h5
	@$(RRTOOL) evaluate $(OUT)/global.h5 $(OUT)/dsm.h5 --ground-truth '$(GROUPS)'

report: $(OUT)/report.html
$(OUT)/report.html: $(OUT)/dsm.h5
	$(RRTOOL) report $< -o $@ --images $(PHOTOS) --query-local $(OUT)/query-local.h5 \
	  --database-local $(OUT)/database-local.h5 --overwrite \
	  $(if $(GROUPS),--ground-truth '$(GROUPS)')
