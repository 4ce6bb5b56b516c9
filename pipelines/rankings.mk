# Rankings and the table that compares them, laid out as thesis table 4.4: global, + DSM (spatial
# verification), + D (diffusion), + DSM + D, + αQE, + reciprocal (k-reciprocal encoding). Included by the pipelines, which make
# $(DATABASE).h5, $(QUERIES).h5 and the local features in $(OUT), and set GROUND_TRUTH.
QUERIES ?= $(OUT)/queries
DATABASE ?= $(OUT)/database
# THESIS=1 computes by the thesis's words where our defaults differ (docs/methods.md lists both); what
# is given beside it wins.
THESIS ?=
# A whitening learnt elsewhere (rrtool whiten fit, or whiten export), centred on this database; by
# the thesis's words on its own mean.
WHITENING ?=
# It takes the place of the one that the network brings; a network that whitens about the mean of its
# photos describes queries about that of the database.
PLAIN = $(if $(WHITENING),--whitening none)
CENTER = $(if $(filter efficientnet_lite0,$(NETWORK)),--center $(DATABASE).h5)
# Of the graph and the diffusion; empty: the defaults of rrtool.
K ?= $(if $(THESIS),50)
KQ ?= $(if $(THESIS),10)
# Entries that each ranking keeps; empty: all photos of up to 8000, 1000 of more.
TOP ?=
QE ?= 10
QE_ALPHA ?= 3
SCORE ?= $(if $(THESIS),inliers,fused)
RRTOOL ?= rrtool
# Make decides what is out of date; --overwrite lets a stage replace what it made from older input.
# Exit code 3 means that some images were skipped and are listed beside the output.
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)

# One pass over the photos makes their descriptors and, where the goals need them, $(1): the options
# of extract for local features. The rules of the local features then find them made; what is
# missing alone they make alone.
with_local = $(if $(filter $(NEED_LOCAL),$(or $(MAKECMDGOALS),all)),$(1))
NEED_LOCAL = all table report dsm dsm-d $(addprefix $(OUT)/,dsm.h5 dsm-d.h5 evaluation.h5 \
  report.html database-local.h5 query-local.h5)

RANKINGS = $(addprefix $(OUT)/,global.h5 dsm.h5 d.h5 dsm-d.h5 qe.h5 reciprocal.h5)
Q = $(QUERIES)$(if $(WHITENING),-whitened).h5
D = $(DATABASE)$(if $(WHITENING),-whitened).h5

.PHONY: table global dsm d dsm-d qe reciprocal
.DELETE_ON_ERROR:
table: $(OUT)/evaluation.h5
	@$(RRTOOL) evaluate $(RANKINGS) --ground-truth '$(GROUND_TRUTH)'
global dsm d dsm-d qe reciprocal: %: $(OUT)/%.h5

$(OUT):
	mkdir -p $@

$(OUT)/%-whitened.h5: $(OUT)/%.h5 $(DATABASE).h5 $(WHITENING)
	$(RUN) whiten apply $< $(WHITENING) $(if $(THESIS),,--center $(DATABASE).h5) -o $@ --overwrite

$(OUT)/global.h5: $(Q) $(D)
	$(RUN) search $(Q) $(D) $(if $(TOP),--top $(TOP)) -o $@ --overwrite

$(OUT)/dsm.h5: $(OUT)/global.h5 $(OUT)/query-local.h5 $(OUT)/database-local.h5
	$(RUN) rerank $< --query-local $(OUT)/query-local.h5 \
	  --database-local $(OUT)/database-local.h5 --score $(SCORE) -o $@ --overwrite

$(OUT)/graph.h5: $(D)
	$(RUN) build-graph $< $(if $(K),--k $(K)) -o $@ --overwrite

$(OUT)/d.h5: $(OUT)/graph.h5 $(Q) $(D)
	$(RUN) diffuse --graph $< --queries $(Q) --database $(D) $(if $(KQ),--kq $(KQ)) $(if $(TOP),--top $(TOP)) -o $@ --overwrite

$(OUT)/dsm-d.h5: $(OUT)/graph.h5 $(Q) $(D) $(OUT)/dsm.h5
	$(RUN) diffuse --graph $< --queries $(Q) --database $(D) --seeds $(OUT)/dsm.h5 $(if $(TOP),--top $(TOP)) -o $@ --overwrite

$(OUT)/qe.h5: $(Q) $(D)
	$(RUN) search $(Q) $(D) --expand $(QE) --expand-alpha $(QE_ALPHA) $(if $(TOP),--top $(TOP)) -o $@ --overwrite

$(OUT)/reciprocal.h5: $(OUT)/global.h5 $(Q) $(D)
	$(RUN) rerank $< --method reciprocal --queries $(Q) --database $(D) -o $@ --overwrite

$(OUT)/evaluation.h5: $(RANKINGS)
	$(RUN) evaluate $^ --ground-truth '$(GROUND_TRUTH)' -o $@ --overwrite > /dev/null
