# Object discovery on scenes with planted objects, whose true boxes are known (thesis fig. 5.6,
# table 5.1): saliency precision and retrieval by each centrality.
#
# make -f pipelines/planted.mk [NETWORK=… WEIGHTS=…]
OUT ?= build/planted
SCENES = $(OUT)/scenes
RRTOOL ?= rrtool
export WEIGHTS NETWORK
DISCOVERY = $(MAKE) -f $(dir $(lastword $(MAKEFILE_LIST)))discovery.mk OUT=$(OUT) RRTOOL='$(RRTOOL)' \
  PHOTOS=$(SCENES)/images BOXES=$(SCENES)/boxes.csv TRUE_BOXES=$(SCENES)/all_boxes.csv \
  GROUPS=$(SCENES)/groups.csv MAX_SIZE=512 \
  CENTRALITIES='degree eigenvector pagerank katz betweenness closeness'

.PHONY: precision table
precision table: $(SCENES)/groups.csv
	@$(DISCOVERY) $@

$(SCENES)/groups.csv:
	mkdir -p $(OUT)
	$(RRTOOL) demo $(SCENES) --scenes-only
