# Thesis table 3.3 on SVHN, 100 labels a cycle: make -f pipelines/svhn.mk DATA=<folder> table
#
# DATA has train_32x32.mat and test_32x32.mat. See active_learning.mk for what can be made.
SET := svhn
PRESET := svhn
include $(dir $(lastword $(MAKEFILE_LIST)))active_learning.mk
