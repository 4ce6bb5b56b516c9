# The full revisited protocol: make -f pipelines/roxford.mk DATA=<folder> [NETWORK=… WEIGHTS=…]
DATASET := roxford5k
include $(dir $(lastword $(MAKEFILE_LIST)))revisited.mk
