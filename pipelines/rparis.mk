# The full revisited protocol: make -f pipelines/rparis.mk DATA=<folder> [NETWORK=… WEIGHTS=…]
DATASET := rparis6k
include $(dir $(lastword $(MAKEFILE_LIST)))revisited.mk
