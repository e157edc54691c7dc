# make demo: see it work. make app: your own data. make test: all tests. make check: style, types, layers.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo app test check format clean

demo: $(VENV)/app-installed
	$(BIN)/python -m core demo --workspace workspace-demo
	LOBASS_WORKSPACE=workspace-demo $(BIN)/python -m ui.serve

app: $(VENV)/app-installed
	$(BIN)/python -m ui.serve

test: $(VENV)/dev-installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 10

check: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/app-installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/dev-installed: $(VENV)/app-installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) workspace-demo
