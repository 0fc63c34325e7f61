# The few commands there are. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The uv that local/bootstrap keeps, of the version that it pins.
UV := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/firn/uv/bin/uv
UV_COMPILE := $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	$(foreach p,firn firn-local firn-model firn-operator firn-runtime firn-services firn-simulator,--no-emit-package $(p))

.PHONY: help
help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

.PHONY: venv
venv: ## Make or update .venv from the lock file
	@local/bootstrap

.PHONY: demo
demo: venv ## Show all of Firn on this machine, setting up what is missing
	@.venv/bin/python -m firn_local demo

.PHONY: up
up: venv ## Make the local cluster, or repair it
	@.venv/bin/python -m firn_local up

.PHONY: images
images: venv ## Build Firn's images in the Docker there is
	@.venv/bin/python -m firn_local images

.PHONY: status
status: venv ## Say what runs
	@.venv/bin/python -m firn_local status

.PHONY: down
down: venv ## Take the local cluster away, with all it added to the machine
	@.venv/bin/python -m firn_local down

.PHONY: bench-resume
bench-resume: venv ## Measure resumes on the demo's cluster; the last line is JSON
	@.venv/bin/python bench/resume.py $(ARGS)

.PHONY: bench-sim
bench-sim: venv ## Simulate a day of 1,000 warehouses and a million statements; the last line is JSON
	@.venv/bin/python bench/sim.py $(ARGS)

.PHONY: bench-scale
bench-scale: venv ## Measure the operator with 1,000 warehouses and 10,000 fake nodes; the last line is JSON
	@.venv/bin/python bench/scale.py $(ARGS)

.PHONY: bench-fidelity
bench-fidelity: venv ## Run a small workload on the demo's cluster and simulated; the last line is JSON
	@.venv/bin/python bench/fidelity.py $(ARGS)

.PHONY: bench-cache
bench-cache: venv ## Simulate what the cache keeps, against an oracle; the last line is JSON
	@.venv/bin/python bench/cache.py $(ARGS)

.PHONY: bench-engine
bench-engine: venv ## Time the engine beside DataFusion and DuckDB on the same data; the last line is JSON
	@.venv/bin/python -m firn_local leaf
	@PYTHONPATH=. .venv/bin/python bench/engine.py $(ARGS)

.PHONY: bench-bounded
bench-bounded: venv ## Run the engine with little memory beside plenty, resumable; the last line is JSON
	@PYTHONPATH=. .venv/bin/python bench/bounded.py $(ARGS)

.PHONY: bench-steady
bench-steady: venv ## Run streams of TPC-H while nodes are killed, and look for what leaks; the last line is JSON
	@PYTHONPATH=. .venv/bin/python bench/steady.py $(ARGS)

.PHONY: verify
verify: venv ## Compare every answer with DuckDB's, in every setting, resumable; the last line is JSON
	@.venv/bin/python -m tests.verify $(ARGS)

.PHONY: lock
lock: venv ## Resolve dependencies again, keeping every pin that still fits
	$(UV_COMPILE) --group dev -o locks/workspace.txt pyproject.toml
	$(UV_COMPILE) -c locks/workspace.txt --extra traces -o locks/control.txt operator/pyproject.toml services/pyproject.toml
	$(UV_COMPILE) -c locks/workspace.txt --extra traces -o locks/node.txt runtime/pyproject.toml

.PHONY: lint
lint: venv ## Format check, lint, types, import rules
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.PHONY: crds
crds: venv ## Write crds/, the chart's copy and docs/reference/resources.md from the models
	@.venv/bin/python -m firn_model.crds write

.PHONY: test
test: venv ## Every test, end to end included, setting up what is missing
	@.venv/bin/python -m firn_local build
	.venv/bin/pytest -n 2 --no-loadscope-reorder

.PHONY: test-unit
test-unit: venv ## The quick tests: no cluster, no server
	.venv/bin/pytest -n 2 -m "not component and not e2e"
