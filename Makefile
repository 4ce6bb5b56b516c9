# The two commands of the README, each complete on a fresh machine: make demo, make test.
PYTHON ?= python3
# cpu or gpu: which faiss is installed (never both: they share a module).
FAISS ?= cpu
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
DEMO_OPTIONS ?=
JOBS ?= 2
# Of make rerank-bench: sets of photos, as pipelines/quality.mk takes them, and the network.
DATA ?= ../shared/data/retrieval
SETS ?= scenes oxford5k_subset grocery logos
NETWORK ?= efficientnet_lite0
WEIGHTS ?= auto
# Of make fuzz: how long, and which cases; of make kills: how many.
MINUTES ?= 5
KILLS ?= 1000
SEED ?= 0

.PHONY: demo figures test fuzz kills lint format docs bench rerank-bench whitening install clean
.DELETE_ON_ERROR:

demo: install
	$(BIN)/rrtool demo $(DEMO) $(DEMO_OPTIONS)

# The thesis's figures of the demo's scenes, or of photos: make figures DATA=~/photos
figures: install
	$(MAKE) -f pipelines/figures.mk RRTOOL=$(CURDIR)/$(BIN)/rrtool

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# Kill runs of every command at random operations on files, and compare what the next run leaves.
kills: install
	$(BIN)/python -m tests.kills --kills $(KILLS) --seed $(SEED)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install
	$(BIN)/python docs/reference.py docs

# Every benchmark that has an aim, and the table of what holds.
bench: install
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/coreset.py
	$(BIN)/python benchmarks/goals.py --write docs/goals.md

# Every re-ranking on the same descriptors and shortlists: mAP, time and memory a query.
rerank-bench: install
	$(MAKE) -f pipelines/quality.mk DATA=$(DATA) SETS='$(SETS)' NETWORK=$(NETWORK) \
	  WEIGHTS=$(WEIGHTS) RRTOOL=$(abspath $(BIN)/rrtool) PYTHON=$(abspath $(BIN)/python)
	$(BIN)/python benchmarks/rerank_bench.py build/quality/$(NETWORK) \
	  --ground-truth 'prefix:(.*)_' --sets $(SETS)

fuzz: install
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --seed $(SEED)

install: $(VENV)/installed-$(FAISS)

$(VENV)/installed-$(FAISS): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(FAISS),dev]'
	$(BIN)/python -m compileall -q rrtool
	$(BIN)/rrtool doctor --warm --quiet
	touch $@

# What the whitening that comes with rrtool gains on sets it has not seen; then learn it on all.
whitening: install
	$(BIN)/python benchmarks/shipped_whitening.py --write

clean:
	rm -rf $(VENV) $(DEMO)
