# Everything a stranger needs: `make demo` and `make test`. Both set up .venv first; a second run reuses it in seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests start thousands of commands: where nobody may keep compiled modules, each compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# The machine's own, else the one that setup puts into .venv.
UV = $(or $(shell command -v uv 2>/dev/null),$(BIN)/uv)

.PHONY: setup demo examples test test-all test-sdk test-sdk-v2 test-sdk-v3 test-ray test-oldest fuzz lint bench lock clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml scripts/setup
	@PYTHON="$(PYTHON)" VENV="$(VENV)" UV="$(UV)" bash scripts/setup
	@touch $@

demo: setup
	@$(BIN)/python examples/demo.py

# The other examples, each by its own one command; those for SageMaker's SDKs are run by test-sdk.
examples: setup
	@VENV="$(abspath $(VENV))" bash scripts/run-examples

test: setup
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --durations 40

# Slow suites of their own; CI runs what `make test` holds.
test-all: setup
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m ""

# Each major of SageMaker's SDK in an environment of its own (0.5 GB each), against a real server; names are not looked up.
test-sdk: test-sdk-v2 test-sdk-v3

test-sdk-v2 test-sdk-v3: test-sdk-%: setup
	@PYTHON="$(PYTHON)" VENV="$(VENV)" UV="$(UV)" bash scripts/setup-beside sdk-$*
	@REKINDLE_COMMAND="$(abspath $(BIN))/rekindle" $(VENV)-sdk-$*/bin/python -m pytest -q -c tests/sdk/pytest.ini tests/sdk

# Training jobs on a real Ray cluster of one node; RAY_TESTS=tests/ray/test_ray_jobs.py is the share that CI has.
RAY_TESTS ?= -m "" tests/ray
test-ray: setup
	@PYTHON="$(PYTHON)" VENV="$(VENV)" UV="$(UV)" bash scripts/setup-beside ray
	@RAY_COMMAND="$(abspath $(VENV))-ray/bin/ray" $(BIN)/python -m pytest -q --durations 10 $(RAY_TESTS)

# The oldest versions of libraries that pyproject.toml allows.
test-oldest: setup
	@PYTHON="$(PYTHON)" VENV="$(VENV)" UV="$(UV)" bash scripts/test-oldest

# Generated requests, over 100,000 in all at the default: the last line says how many were answered; histories of a
# search; and whole tuning jobs, as many as a hundredth of that. About a quarter of an hour.
FUZZ ?= 20000
fuzz: setup
	@REKINDLE_HYPOTHESIS=fuzz REKINDLE_FUZZ_EXAMPLES=$(FUZZ) $(BIN)/python -m pytest -q --timeout 0 tests/wire/test_api_generated.py tests/wire/test_served_generated.py tests/wire/test_whole_jobs_generated.py tests/unit/search/test_black_box.py

bench: setup
	@$(BIN)/python benchmarks/overhead.py
	@$(BIN)/python -m benchmarks.latency

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

lock:
	@$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/dev.txt
	@for name in sdk-v2 sdk-v3 ray; do $(UV) pip compile requirements/$$name.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/$$name.txt; done

clean:
	rm -rf $(VENV) $(VENV)-sdk-* $(VENV)-ray $(VENV)-oldest build dist .pytest_cache .mypy_cache .ruff_cache
