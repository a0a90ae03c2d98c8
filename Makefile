# make run    the server, with configuration.json
# make test   lint, types and all tests, with all that they need
# make check  lint and types only
# make bench  the benchmarks
# Python 3.11 or newer is all that has to be there; PYTHON=... chooses one.

VENV := .venv
BIN := $(VENV)/bin
CONFIGURATION ?= configuration.json

.PHONY: run test check bench clean programs

run: $(VENV)/.run
	$(BIN)/orthanc-trio $(CONFIGURATION)

# In the order of the files: else those with few tests come last, and one process waits for the longest of them.
test: programs check
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python -m bench

# A stamp is older than pyproject.toml when the dependencies may have changed.
$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test $(VENV)/.bench: $(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[$*]'
	@touch $@ $(VENV)/.run

$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or newer is needed; python3 is: $$(python3 --version 2>&1)" >&2; exit 1; \
	fi; \
	if "$$found" -m venv $(VENV); then exit 0; fi; \
	rm -rf $(VENV); \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv && "$$found" -m venv $(VENV); \
	else \
		echo "$$found cannot make virtual environments: install python3-venv" >&2; exit 1; \
	fi

# The other programs that tests call, by the Debian package that has them.
programs:
	@missing=; \
	for pair in storescu:dcmtk unzip:unzip 7z:p7zip-full curl:curl openssl:openssl; do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair#*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
	else \
		echo "Missing programs. As root: apt-get install$$missing" >&2; exit 1; \
	fi

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
