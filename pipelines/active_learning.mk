# Learning curves and the rows of thesis table 3.3: strategy × {labels alone, PRE, SEMI, PRE + SEMI},
# each for several seeds. Included by mnist.mk, svhn.mk, cifar10.mk and cifar100.mk, which set SET
# and PRESET.
#
#   make -f pipelines/mnist.mk -j4 table                       every method, five seeds
#   make -f pipelines/mnist.mk table METHODS='random random-semi' SEEDS='0 1'
#   make -f pipelines/mnist.mk jlp-pre-semi                    one method
#   make -f pipelines/mnist.mk table SUBSET=2000 SEMI_EPOCHS=20 WIDTH=0.25     in small
#
# A method is a strategy with -pre, -semi or -pre-semi after it, or nothing. CEAL brings its own
# pseudo-labels and goes without SEMI. Each seed is a job; give each job its share of the cores with
# OMP_NUM_THREADS. A job that was killed goes on where it was. Every cycle leaves a state of about
# 0.7 kB an image and 12 MB of parameters.
# THESIS=1 computes by the thesis's words where our defaults differ: every label starts with mass 1,
# and all images are mirrored.
DATA ?= data/$(SET)
OUT ?= build/$(PRESET)
SEEDS ?= 0 1 2 3 4
CYCLES ?= 5
STRATEGIES ?= random entropy coreset ceal jlp
# In small: empty means the preset's value. With SUBSET every seed draws its own images, and PRE, which
# is made once, sees the first SUBSET ones.
SUBSET ?=
EPOCHS ?=
SEMI_EPOCHS ?=
PRE_EPOCHS ?=
WIDTH ?=
BUDGET ?=
K ?=
THESIS ?=
DEVICE ?= auto
RRTOOL ?= rrtool
RUN = run() { "$$@" || { code=$$?; test $$code -eq 3 || exit $$code; }; }; run $(RRTOOL)

option = $(if $($(1)),--$(2) $($(1)))
COMMON = $(call option,WIDTH,width) $(if $(THESIS),--flip) --device $(DEVICE)
PRETRAINING = $(COMMON) $(call option,SUBSET,limit) $(call option,PRE_EPOCHS,epochs)
TRAINING = $(COMMON) $(call option,SUBSET,subset) $(call option,EPOCHS,epochs) $(call option,SEMI_EPOCHS,semi-epochs) \
  $(call option,BUDGET,budget) $(call option,K,k) $(if $(THESIS),--label-mass one) \
  --preset $(PRESET) --cycles $(CYCLES)
VARIANTS = plain pre semi pre-semi
ALL_METHODS = $(foreach s,$(STRATEGIES),$(foreach v,$(if $(filter ceal,$(s)),plain pre,$(VARIANTS)),\
  $(s)$(if $(filter plain,$(v)),,-$(v))))
METHODS ?= $(ALL_METHODS)
states = $(foreach seed,$(SEEDS),$(OUT)/$(1)-$(seed).h5)

.PHONY: table curves $(ALL_METHODS)
.DELETE_ON_ERROR:
table: $(foreach m,$(METHODS),$(call states,$(m)))
	@$(RRTOOL) report $^ -o $(OUT)/curves.html
curves: $(OUT)/curves.html
$(OUT)/curves.html: $(foreach m,$(METHODS),$(call states,$(m)))
	$(RRTOOL) report $^ -o $@ > /dev/null

$(OUT):
	mkdir -p $@

# What changes when the settings or the files of the data set do.
$(OUT)/settings.txt: FORCE | $(OUT)
	@echo '$(PRETRAINING) $(TRAINING)' > $@.new
	@find $(DATA) -type f -printf '%p\t%s\t%T@\n' | sort >> $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(OUT)/pre.h5: $(OUT)/settings.txt
	$(RUN) al-pretrain $(SET):$(DATA) -o $@ $(PRETRAINING) --overwrite

# $(1): method, $(2): seed. Make decides what is out of date; --overwrite replaces that.
define seed_of_method
$(OUT)/$(1)-$(2).h5: $(OUT)/settings.txt $(if $(findstring -pre,$(1)),$(OUT)/pre.h5)
	$$(RUN) al-cycle $(SET):$(DATA) -o $$@ --oracle dataset --seed $(2) $(TRAINING) \
	  --strategy $(firstword $(subst -, ,$(1))) $(if $(findstring -semi,$(1)),--semi) \
	  $(if $(findstring -pre,$(1)),--pretrain $(OUT)/pre.h5) --overwrite
endef
$(foreach m,$(ALL_METHODS),$(foreach seed,$(SEEDS),$(eval $(call seed_of_method,$(m),$(seed)))))
$(foreach m,$(ALL_METHODS),$(eval $(m): $(call states,$(m))))
