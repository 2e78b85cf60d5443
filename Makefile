# rekur's two commands are `make demo` and `make test`; each makes its own environment first.

PYTHON ?= python3
# Where the plain torch pin would pull a CUDA build: the address of PyTorch's CPU wheel index.
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.done

.PHONY: help env demo test lint format clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'
	@echo
	@echo "  PYTHON=python3.12    the Python to make the environment with (3.11 or newer)"
	@echo "  TORCH_INDEX=...      PyTorch's CPU wheel index, where the plain pin would pull a CUDA build"

env: $(READY) ## make the environment in .venv, with exact versions

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"rekur needs Python 3.11 or newer: make env PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: env ## train a small LSTM for some minutes and watch it learn to write
	$(BIN)/rekur demo

test: lint ## everything that CI checks
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: env ## style and types only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: env ## put the code in the house's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove the environment and the tools' caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
