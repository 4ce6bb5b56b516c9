# The INSTRE protocol (thesis table 5.1): make -f pipelines/instre.mk DATA=<folder> [WEIGHTS=…]
#
# DATA holds the folders INSTRE-S1, INSTRE-S2 and INSTRE-M, and gnd_instre.mat of Iscen et al. (CVPR
# 2017): 1250 queries with the box of their object, 27293 database images. SCALES=1 is single scale,
# THESIS=1 computes by the thesis's words; discovery.mk has the other variables, and the targets
# figure-5.5 and figure-5.8.
DATA ?= data/instre
GROUND_TRUTH ?= $(DATA)/gnd_instre.mat
OUT ?= build/instre
NETWORK ?= vgg16
PHOTOS = $(DATA)
BOXES = $(GROUND_TRUTH)
GROUPS = $(GROUND_TRUTH)
GALLERY = $(GROUND_TRUTH)
include $(dir $(lastword $(MAKEFILE_LIST)))discovery.mk
