# Thesis table 3.3 on CIFAR-100, 1000 labels a cycle: make -f pipelines/cifar100.mk DATA=<folder> table
#
# DATA has the files of the Python or of the binary version. See active_learning.mk for what can be
# made.
SET := cifar100
PRESET := cifar100
include $(dir $(lastword $(MAKEFILE_LIST)))active_learning.mk
