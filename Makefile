# Everything happens in .venv, made on first use; a stamp file in it remembers which requirements are installed.

PYTHON ?= python3
# Not ?=: some shells export HOST as the machine's own name, and nobody should listen there unasked.
HOST = $(or $(GLIMPSE_HOST),127.0.0.1)
PORT ?= $(or $(GLIMPSE_PORT),8000)
TORCH ?= torch==2.13.0
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# As many processes as tests/conftest.py says, shared out as tests/support/scheduling.py says.
PYTEST := $(BIN)/python -m pytest -n auto --no-loadscope-reorder
PACKAGES := scenes trainer models service glimpse benchmarks
COMPILE := $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest \
	--generate-hashes --no-header --no-annotate

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve test test-all browser digits check format lock clean

help:
	@echo "make serve    start the server at $(HOST):$(PORT)  (PORT=, HOST= change that)"
	@echo "make test     run the tests but the slow ones     (ARGS='-k scenes' picks some)"
	@echo "make test-all run every test, as .ci/run does     (ARGS='-n 0' takes one process)"
	@echo "make digits   download MNIST, which the tests and the trainer read"
	@echo "make check    format, lint and types, changing nothing"
	@echo "make format   let ruff format the code and mend what it safely can"
	@echo "make lock     write requirements/*.txt anew       (ARGS=--upgrade takes new versions)"
	@echo "make clean    remove .venv and the caches"
	@echo
	@echo "PYTHON=python3.12 picks the interpreter that .venv is made with;"
	@echo "GLIMPSE_MNIST_DIR names a folder that holds MNIST's four files."

serve: .venv/.service
	exec $(BIN)/python -m service --host $(HOST) --port $(PORT)

test: .venv/.dev browser
	$(PYTEST) -m "not slow and not soak" $(ARGS)

test-all: .venv/.dev browser
	$(PYTEST) --durations=20 $(ARGS)

browser:
	@tests/page/install_chromium.sh

digits: .venv/.dev
	$(BIN)/python -m scenes download

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy $(PACKAGES) examples tests

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/.made
	$(PIP) install --quiet uv==0.13.9
	$(COMPILE) $(ARGS) pyproject.toml --output-file requirements/service.txt
	$(COMPILE) $(ARGS) pyproject.toml --extra trainer --extra dev --excludes requirements/not-locked.txt \
		--constraint requirements/service.txt --output-file requirements/dev.txt
	$(COMPILE) $(ARGS) pyproject.toml --extra gpu \
		--constraint requirements/dev.txt --output-file requirements/gpu.txt
	$(COMPILE) $(ARGS) pyproject.toml --extra trainer --excludes requirements/not-locked.txt \
		--constraint requirements/dev.txt --output-file requirements/trainer.txt

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
		"Glimpse needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + \
		". Name another one: make $(MAKECMDGOALS) PYTHON=python3.12")'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@touch $@

.venv/.service: requirements/service.txt | .venv/.made
	$(PIP) install --require-hashes -r requirements/service.txt
	@touch $@

# dev.txt holds everything of service.txt in the same versions, so the one environment serves and tests.
# Torch stands apart, without hashes: which build fits (CPU, CUDA) depends on the machine.
.venv/.dev: requirements/dev.txt Makefile | .venv/.made
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install "$(TORCH)"
	@touch $@ .venv/.service
