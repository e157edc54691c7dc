# make demo: see it work. make app: your own data. make test: all tests. make check: style, types, layers.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
BIN := $(VENV)/bin
TORCH_BRINGS := torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti \
	nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver \
	nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: audit bench bench-gpu lock demo app test soak check format wheel clean

demo: $(VENV)/app-installed
	$(BIN)/python -m core demo --workspace workspace-demo
	LOBASS_WORKSPACE=workspace-demo $(BIN)/python -m ui.serve

app: $(VENV)/app-installed
	$(BIN)/python -m ui.serve

test: $(VENV)/dev-installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 10

# Kills at random moments, and every write point of every operation on a disk that fails: takes an hour or so.
soak: $(VENV)/dev-installed
	$(BIN)/python -m tests.soak --rounds 200
	LOBASS_TEST_WRITE_POINTS=1000 $(BIN)/python -m pytest -q tests/core/test_disk_faults.py

# Alone on the machine; BENCH_MODELS=FOLDER:FOLDER adds real models, BENCH_OPTIONS=--large ten million rows.
bench: $(VENV)/dev-installed $(VENV)-lm-eval/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m bench --lm-eval $(VENV)-lm-eval/bin/python --json bench.json $(BENCH_OPTIONS)

bench-gpu: $(VENV)/dev-installed
	$(BIN)/python -m bench.gpu --models demo/base $(subst :, ,$(BENCH_MODELS)) --json bench-gpu.json

$(VENV)-lm-eval/installed: bench/requirements-lm-eval.txt
	$(PYTHON) -m venv $(VENV)-lm-eval
	$(VENV)-lm-eval/bin/python -m pip install --quiet -r bench/requirements-lm-eval.txt
	touch $@

check: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# dist/lobass-VERSION-py3-none-any.whl, which installs the command `lobass` and the package of that name.
wheel: $(VENV)/dev-installed
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

$(VENV)/app-installed: requirements.lock requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	# Everything but torch by its hash; torch by its version, since each machine has its own build of it.
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/dev-installed: $(VENV)/app-installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

# Needs the network: the advisories are in a database online. So it is no part of .ci/run, which works without.
audit: $(VENV)/app-installed
	$(BIN)/python -m pip install --quiet pip-audit==2.10.1
	$(BIN)/python -m pip_audit --skip-editable

lock: $(VENV)/app-installed
	$(BIN)/python -m pip install --quiet uv==0.13.9
	$(BIN)/uv pip compile requirements.txt --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--quiet --output-file requirements.lock $(addprefix --no-emit-package ,$(TORCH_BRINGS))

clean:
	rm -rf $(VENV) $(VENV)-lm-eval workspace-demo
