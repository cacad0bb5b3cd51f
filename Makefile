# Python 3.11 or newer; everything goes into .venv. Another interpreter: make PYTHON=python3.12 …
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# a file's tests stay in one process: what they share, such as a batch that was run, is made once and not in each
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
OUT ?= hasten-out/demo
DEMO_THREADS ?= auto
DEMO_TIME ?= 10m
DEMO := Generate an emoji-sd3 pipeline using the FlowMatchEuler sampler with 25 steps, accelerated by TaylorSeer with 1.5x speedup and precision loss not exceeding 0.02

# also what builds hasten, such as hatchling, is that of the constraints; pip before 25.3 takes the first for it
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: install demo docs test test-full lint format clean

install: $(STAMP)

# an environment that is there stays: another interpreter laid over it would find the first one's libraries.
# torch first and from the constraints: later packages find it satisfied and pull in nothing larger
$(STAMP): pyproject.toml constraints.txt
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

# auto: the fastest number of threads here; with OMP_NUM_THREADS=1 that number
demo: $(STAMP)
	$(BIN)/hasten run "$(DEMO)" --threads $(DEMO_THREADS) --num-samples 20 --max-time $(DEMO_TIME) --out $(OUT) --storage $(OUT)/trials.db

# the pages of docs/ as a site; any warning fails
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --fresh-env --keep-going --quiet -d build/doctrees docs build/docs
	@echo build/docs/index.html

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# of each guarantee its representatives; whole matrices and what takes long are in test-full, and both
# together are all tests, once
test: $(STAMP)
	$(PYTEST) -m "not full"

test-full: $(STAMP)
	$(PYTEST) -m full

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) hasten-out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
