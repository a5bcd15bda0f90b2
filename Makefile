# Two commands: `make run` and `make test`. They need git, make and python3, and see to the rest.
# Everything Python goes into $(VENV), because the system's Python is not ours to change (PEP 668).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST ?= $(BIN)/python -m pytest
SHOW := --durations=20 -rs

# A 32-bit userland on a 64-bit kernel must not be told that it is 64-bit, or pip takes the wrong
# TFLite runtime.
ARCH := $(shell [ "$$(getconf LONG_BIT)" = 32 ] && [ "$$(uname -m)" = aarch64 ] && echo setarch linux32)
PIP := $(ARCH) $(BIN)/python -m pip install --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: model search search-runs help run test test-slow prove-updates test-systemd lint perf perf-load perf-arm prove-arm install uninstall example clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/run.stamp  ## listen to the microphone, or show the demo recordings where there is none
	@if $(BIN)/earwitness devices >/dev/null 2>&1; then \
	  echo "Listening to the microphone; Ctrl-C ends it."; \
	  $(BIN)/earwitness run $(ARGS); \
	else \
	  $(BIN)/earwitness devices || true; \
	  echo "So here are the two demo recordings, first a person, then a synthetic voice:"; \
	  $(BIN)/earwitness run --source edge/demo/human.flac $(ARGS) && \
	  $(BIN)/earwitness run --source edge/demo/synthetic.flac $(ARGS); \
	fi

# Converted networks must load in the older runtime too, which has wheels up to Python 3.11.
OTHER := $(VENV)/tflite-runtime

# TensorFlow takes a gigabyte in each process that imports it; the other tests mostly wait.
WITH_TENSORFLOW := tests/training tests/convert

test: $(VENV)/test.stamp $(VENV)/other.stamp lint  ## linters, types and all tests but the slow ones
	@export EARWITNESS_TFLITE_RUNTIME_PYTHON="$$(ls $(CURDIR)/$(OTHER)/bin/python 2>/dev/null)"; \
	set -x; status=0; \
	$(PYTEST) -m "not slow" $(WITH_TENSORFLOW:%=--ignore=%) -n 4 --dist loadfile \
	  --no-loadscope-reorder $(SHOW) $(ARGS) || status=1; \
	$(PYTEST) -m "not slow" $(WITH_TENSORFLOW) $(SHOW) $(ARGS) || status=1; \
	exit $$status

test-slow: $(VENV)/test.stamp  ## the proofs that take minutes to hours
	$(PYTEST) -m "slow or hypothesis" --hypothesis-profile=thorough -rP --ignore=tests/systemd $(ARGS)

prove-updates: $(VENV)/test.stamp  ## attacks, kills, power cuts, bad models and a fleet (as root)
	$(PYTEST) -m slow -rP tests/edge/updates $(ARGS)

test-systemd: $(VENV)/test.stamp  ## the service under a real systemd (as root)
	$(PYTEST) -m slow -rP tests/systemd $(ARGS)

lint: $(VENV)/test.stamp  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

include training/recipes/model.mk
include training/recipes/search.mk

perf: $(VENV)/test.stamp  ## what everything costs on this machine, into docs/performance.md
	$(BIN)/python -m perf $(ARGS)

perf-load: $(VENV)/test.stamp  ## the same, and how many streams one core carries (a quiet machine)
	$(BIN)/python -m perf --load $(ARGS)

perf-arm: $(VENV)/test.stamp  ## instructions per hop on ARM, held against the committed ones
	PYTHON=$(PYTHON) .ci/debian-packages arm
	$(BIN)/python -m perf.arm $(ARGS)

prove-arm: $(VENV)/test.stamp  ## install and score on emulated 64- and 32-bit ARM
	PYTHON=$(PYTHON) .ci/debian-packages arm
	$(BIN)/python -m perf.arm --prove $(ARGS)

install:  ## install as a systemd service (as root); leaves an edited configuration alone
	systemd/install.sh install $(ROOT)

uninstall:  ## take the service away (as root)
	systemd/install.sh uninstall

example: $(VENV)/run.stamp  ## write systemd/earwitness.yaml anew
	$(BIN)/earwitness config example > systemd/earwitness.yaml.new
	mv systemd/earwitness.yaml.new systemd/earwitness.yaml

clean:  ## remove the virtual environment and what tools have left behind
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made anew when what it installs has changed; the package itself is linked to
# this folder, so edits take effect at once. A stamp is touched only when all has gone well.
$(BIN)/python:
	PYTHON=$(PYTHON) .ci/debian-packages run
	$(ARCH) $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools wheel

$(VENV)/run.stamp: setup.cfg pyproject.toml | $(BIN)/python
	PYTHON=$(PYTHON) .ci/debian-packages run
	$(PIP) --editable '.[mqtt,metrics]'
	touch $@

$(VENV)/other.stamp: | $(BIN)/python
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then \
	  $(PYTHON) -m venv $(OTHER) && $(OTHER)/bin/pip install --quiet --disable-pip-version-check \
	    tflite-runtime==2.14.0 'numpy<2' scipy soundfile; \
	fi
	touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml | $(BIN)/python
	PYTHON=$(PYTHON) .ci/debian-packages test
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/run.stamp
