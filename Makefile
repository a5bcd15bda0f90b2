# make run    listen, window by window (sets up everything on first use)
# make test   what must pass before a change is shared

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: run test lint typecheck unit test-slow test-systemd install uninstall clean

run: $(VENV)/.device
	@scripts/run.sh

$(VENV)/.device: setup.cfg scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh
	@touch $@

$(VENV)/.dev: setup.cfg scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh dev
	@touch $@ $(VENV)/.device

# The older runtime, in which each converted network must load too; it has wheels up to Python 3.11.
$(VENV)/.tflite-runtime: setup.cfg
	@if $(PYTHON) -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))'; then \
		$(PYTHON) -m venv $(VENV)/tflite-runtime && \
		$(VENV)/tflite-runtime/bin/pip install --quiet --disable-pip-version-check \
			"tflite-runtime==2.14.0" "numpy<2" scipy soundfile; \
	fi
	@touch $@

test: lint typecheck unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .

typecheck: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev $(VENV)/.tflite-runtime
	EARWITNESS_TFLITE_RUNTIME_PYTHON="$$(ls $(CURDIR)/$(VENV)/tflite-runtime/bin/python 2>/dev/null)" \
		$(PYTEST) -m "not slow" --durations=15 $(PYTEST_ARGS)

# The long proofs; their figures are in docs/reliability.md and docs/updates.md.
test-slow: $(VENV)/.dev
	$(PYTEST) -m slow -rP --ignore=tests/systemd $(PYTEST_ARGS)

test-systemd: $(VENV)/.dev
	$(PYTEST) -m slow -rP tests/systemd $(PYTEST_ARGS)

install:
	systemd/install.sh install

uninstall:
	systemd/install.sh uninstall

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
