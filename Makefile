# make demo         an example on 500 MB of real flights, beside pandas
# make test         everything that a change usually breaks, in minutes
# make test-all     the rest: clusters, browsers, stores, faults, other suites, oldest versions, coverage
# make test-faults  hundreds of rounds of functions and workers that misbehave
# make test-cluster  clusters of SLURM, SSH, Dask Gateway, MPI and the command line, where these are installed
# make test-pandas  pandas' and pyarrow's own tests of reading, each reading also done in chunks
# make docs         the documentation, as pages for a browser: build/docs/index.html
# make bench        ordinary jobs beside Polars, DuckDB, pandas and Dask: benchmarks/RESULTS.md
# make bench-large  how time and memory grow, skew, and what sizes of chunks cost
# make bench-cluster  clusters that are far away, grow or fail, beside Dask's own map; a thousand workers, simulated
# make cluster-managers  installs what test-cluster needs, on Debian or Ubuntu
# make cluster-matrix  more of test-cluster, and its table in docs/reliability.md
# make test-lowest  the tests of `make test` against the oldest versions that pyproject.toml allows
#
# Each sets itself up from Python >= 3.11 and pip: a virtual environment in this folder, made again
# when pyproject.toml or the constraints change. Another Python: make test PYTHON=python3.13

SHELL := /bin/sh
# Workers that are started anew would compile the whole package each time.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help

# The first of these that is new enough; else python3, so that the message below can name it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; \
	done; echo python3)

VENV := .venv
LOWEST := .venv-lowest
PINS := .venv-pins
BIN := $(VENV)/bin
# Named after what went in, so that a changed file, and nothing else, calls for another set-up.
KEY = $(shell cat pyproject.toml $(1) 2>/dev/null | cksum | cut -d' ' -f1)
READY := $(VENV)/.ready-$(call KEY,constraints.txt)
LOWEST_READY := $(LOWEST)/.ready-$(call KEY,constraints-lowest.txt)

say = @printf '\n== %s\n' $(1)

.PHONY: help
help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

.PHONY: demo
demo: $(READY)
	@$(BIN)/taskinity-data demo

# Three for two cores: tests wait for processes as long as they compute. What a module starts, its tests
# share; --dist loadgroup would do, but has no effect in pytest 9.2 with pytest-xdist 3.8.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: test
test: $(READY)
	@$(MAKE) --no-print-directory -j 2 static fast

.PHONY: static
static: $(READY)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

.PHONY: fast
fast: $(READY)
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m 'not thorough'

# What `make test` runs is measured while it runs against the oldest versions; against the pinned ones runs what
# takes long, needs them, or tries more examples here. Both together are held to the threshold.
MEASURED := --cov --cov-report= --cov-fail-under=0

.PHONY: test-all
test-all: $(READY) $(LOWEST_READY)
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory test-lowest LOWEST_OPTIONS='$(MEASURED)' COVERAGE_FILE=.coverage.lowest
	$(call say,'thorough tests and all examples of properties')
	@COVERAGE_FILE=.coverage.pinned HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest $(SIDE_BY_SIDE) \
		$(MEASURED) --ignore=tests/faults --ignore=tests/cluster -m 'thorough or pinned or hypothesis'
	$(call say,'branch coverage')
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report
	@$(MAKE) --no-print-directory test-faults test-pandas test-cluster

# FAULT_ROUNDS=10 runs ten times as many. A file starts nothing that its tests share.
.PHONY: test-faults
test-faults: export FAULT_ROUNDS ?= 1
test-faults: $(READY)
	$(call say,'rounds of faults')
	@$(BIN)/python -m pytest -n 3 --dist worksteal -q tests/faults

.PHONY: test-pandas
test-pandas: $(READY)
	$(call say,'the tests of pandas that read CSV')
	@$(BIN)/python tests/pandas_suite/run.py
	$(call say,'the tests of pyarrow that read Parquet')
	@$(BIN)/python tests/pyarrow_suite/run.py

# CLUSTER_TESTS=required: a manager that is missing is a failure.
.PHONY: test-cluster
test-cluster: $(READY)
	$(call say,'clusters of real managers')
	@$(BIN)/python -m pytest -n 2 --dist worksteal tests/cluster -m 'not matrix'

.PHONY: cluster-managers
cluster-managers: $(READY)
	@tests/cluster/install.sh $(BIN)/python

.PHONY: cluster-matrix
cluster-matrix: $(READY)
	@$(BIN)/python tests/cluster/matrix.py

.PHONY: test-lowest
test-lowest: $(LOWEST_READY)
	$(call say,'the tests of a change against the oldest versions allowed')
	@$(LOWEST)/bin/python -m pytest $(SIDE_BY_SIDE) $(LOWEST_OPTIONS) tests -m 'not thorough and not pinned'

# -W: a warning, such as a link that leads nowhere, is an error.
.PHONY: docs
docs: $(READY)
	@$(BIN)/python -m sphinx -q -W --keep-going -d build/docs-cache docs build/docs
	$(call say,'build/docs/index.html')

.PHONY: bench
bench: $(READY)
	@$(BIN)/python benchmarks/bench_data.py > /dev/null
	@$(BIN)/python benchmarks/bench.py
	@$(BIN)/python benchmarks/readme_table.py

.PHONY: bench-large
bench-large: $(READY)
	@$(BIN)/python benchmarks/bench_large.py

.PHONY: bench-cluster
bench-cluster: $(READY)
	@$(BIN)/python benchmarks/cluster.py
	@$(BIN)/python benchmarks/thousand_workers.py

# Pins for everyone, from empty environments; to be run under Python 3.11 and committed.
.PHONY: constraints
constraints: export PIP_DISABLE_PIP_VERSION_CHECK = 1
constraints:
	@$(PYTHON) -m venv --clear $(PINS)
	@$(PINS)/bin/python -m pip install -qq -e '.[dev,contracts,az]'
	@$(PINS)/bin/python -m pip freeze --exclude-editable > constraints.txt
	@$(PYTHON) -m venv --clear $(PINS)
	@$(PYTHON) -c "$$LOWER_BOUNDS" > $(PINS)/lower-bounds.txt
	@$(PINS)/bin/python -m pip install -qq -c $(PINS)/lower-bounds.txt -e '.[test]'
	@$(PINS)/bin/python -m pip freeze --exclude-editable > constraints-lowest.txt
	@rm -r $(PINS)
	@git --no-pager diff --stat -- constraints.txt constraints-lowest.txt

define LOWER_BOUNDS
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
for needed in project["dependencies"] + project["optional-dependencies"]["polars"]:
    print(needed.replace("[distributed]", "").replace(">=", "=="))
endef
export LOWER_BOUNDS

.PHONY: clean
clean:
	rm -rf $(VENV) $(LOWEST) $(PINS) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "taskinity_data needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)."; \
		echo "Name another one:  make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Setting up $(1) with $$($(PYTHON) --version): about a minute, only this once"
	@$(PYTHON) -m venv --clear $(1) || { \
		echo "No virtual environment could be made: install your system's venv package (python3-venv)."; exit 1; }
	@$(1)/bin/python -m pip install -qq --disable-pip-version-check -c $(2) -e '.[$(3)]'
	@touch $@
endef

$(READY): 
	$(call make_venv,$(VENV),constraints.txt,dev)

$(LOWEST_READY):
	$(call make_venv,$(LOWEST),constraints-lowest.txt,test)
