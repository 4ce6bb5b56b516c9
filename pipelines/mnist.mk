# Thesis table 3.3 on MNIST, 10 labels a cycle: make -f pipelines/mnist.mk DATA=<folder> table
#
# DATA has the four idx files, gzipped or not. See active_learning.mk for what can be made.
SET := mnist
PRESET := mnist
include $(dir $(lastword $(MAKEFILE_LIST)))active_learning.mk
