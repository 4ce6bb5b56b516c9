# Thesis table 3.3 on CIFAR-10: make -f pipelines/cifar10.mk DATA=<folder> table
#
# DATA has the files of the Python or of the binary version. 100 labels a cycle, or 1000 with
# PRESET=cifar10-1000. See active_learning.mk for what can be made.
SET := cifar10
PRESET ?= cifar10-100
include $(dir $(lastword $(MAKEFILE_LIST)))active_learning.mk
