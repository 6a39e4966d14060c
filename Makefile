# make demo    simulate a small sweep, process it to merged intensities, compare with the truth
# make test    all checks and fast tests          (make test ARGS="-m slow" runs the slow tests)
# make docs    build the documentation into docs/_build/html
# Each makes its environment in .venv first if it is not there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
ARGS ?=

.PHONY: help demo test check docs clean

help:
	@sed -n 's/^# //p' Makefile

$(VENV)/installed: pyproject.toml
	@echo "Installing puredials into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what tests and documentation need ..."
	@$(INSTALL) --editable '.[dev,docs]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python -m puredials.cli.demo

test: check docs
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(VENV)/installed-dev
	$(BIN)/python -m sphinx --quiet --fail-on-warning --builder html docs docs/_build/html

clean:
	rm -rf $(VENV) docs/_build demo
