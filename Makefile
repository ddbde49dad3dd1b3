# `make run` and `make test` need Python 3.11 or newer and make, and nothing else.
# Everything they install is pinned by hash and goes into $(VENV).

# 3.11 first: it is what the lock files are made with. Asked to do something, because a version manager's
# stand-in is found by name and then refuses to start.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13 3.14,$(shell python$(v) -c 'print("python$(v)")' 2>/dev/null)) python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input

RUN_READY := $(VENV)/.run-ready
DEV_READY := $(VENV)/.dev-ready

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench soak lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: $(RUN_READY)  ## start the gateway on http://127.0.0.1:8400 (ARGS="--port 9000" goes to `gateway run`)
	@exec $(BIN)/gateway run $(ARGS)

# Three on two cores, because much of the time is spent waiting. A file's tests stay together: many share a server that
# takes seconds to start. JOBS=0 runs all in one process.
JOBS ?= 3

test: $(DEV_READY)  ## run the tests but the soak (ARGS="-k failover" goes to pytest)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(DEV_READY)  ## style, types, import rules, alert rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py
	@if command -v promtool >/dev/null; then \
		cd grafana/prometheus && promtool check config --lint=all prometheus.yml && promtool test rules rules.test.yml; \
	else \
		echo "promtool is not installed (Debian: prometheus); alert rules not checked"; \
	fi

format: $(DEV_READY)  ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_READY)  ## measure against nginx and the peers that are installed (ARGS go to the benchmark)
	$(BIN)/python -m bench $(ARGS)
	@$(BIN)/python -m tests.sim.cost

soak: $(DEV_READY)  ## kill the gateway a thousand times under load and count what its ledger lost (CYCLES=1000)
	GATEWAY_SOAK_CYCLES=$(or $(CYCLES),1000) $(BIN)/python -m pytest tests/soak $(ARGS)

# Dev first, so that the smaller files hold the same versions. No index or path is written into them.
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe \
	--strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options $(ARGS)

# The clients that the tests run have environments of their own, which only uv resolves in seconds.
UV_COMPILE = $(abspath $(BIN))/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--custom-compile-command "make lock" --no-emit-index-url $(ARGS)

lock: $(DEV_READY)  ## refresh the lock files (ARGS=--upgrade takes newer versions)
	$(COMPILE) --extra dev --extra redis --extra postgres --extra otel -o requirements-dev.lock pyproject.toml
	$(COMPILE) -c requirements-dev.lock -o requirements.lock pyproject.toml
	$(COMPILE) -c requirements-dev.lock --extra redis --extra postgres -o requirements-team.lock pyproject.toml
	$(COMPILE) -c requirements-dev.lock --only-build-deps --build-deps-for wheel --build-deps-for editable \
		-o requirements-build.lock pyproject.toml
	@for each in recent older; do \
		(cd tests/clients/environments && $(UV_COMPILE) -o $$each.lock $$each.in) || exit 1; \
	done

clean:  ## remove the environment, caches and build results
	rm -rf $(VENV) build dist *.egg-info tests/clients/node_modules tests/clients/environments/.[a-z]* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv $(VENV)

# The build back-end comes from a lock file too: with build isolation pip would fetch it unpinned.
$(RUN_READY): requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once, and again when a lock file changes) ..."
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_READY): requirements-dev.lock $(RUN_READY)
	@echo "Installing the development tools into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
