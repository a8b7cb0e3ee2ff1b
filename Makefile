NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$name -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# What takes minutes is left to `check`, and to who leaves this empty.
CHOICE = -m "promise or not (browser or slow)"
TEST = $(BIN)/python -m pytest $(COVERAGE) $(CHOICE) --numprocesses auto --maxschedchunk 1

.PHONY: help run test test-busy mutants check static format audit bench soak screenshots

help:  ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

run: $(VENV)/run.ready  ## Set up what is missing and open the app
	$(BIN)/streamlit run app.py

test: $(VENV)/test.ready  ## Set up what is missing, a browser included, and run the quick tests and the promises
	$(TEST)

test-busy: $(VENV)/test.ready  ## Run the same tests while something else keeps every core busy
	for core in $$(seq $$(getconf _NPROCESSORS_ONLN)); do \
		while kill -0 $$$$ 2>/dev/null; do :; done & done; $(TEST)

mutants: $(VENV)/test.ready  ## See whether the quick tests notice small changes to the code
	$(BIN)/python -m tests.mutants

static: $(VENV)/test.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: COVERAGE = --cov
check: CHOICE =
check: static test  ## Check format, lint and types, run all tests, and see what they leave out

format: $(VENV)/test.ready  ## Put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/test.ready  ## Measure speed against the least a page can do, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench

soak: $(VENV)/test.ready  ## Let thirty browsers do random things for ten minutes, and write docs/benchmarks.md
	$(BIN)/python -m tests.soak --write

screenshots: $(VENV)/test.ready  ## Make the pictures of the documents from the real app
	$(BIN)/python -m tests.screenshots

audit: $(VENV)/test.ready  ## Look for known holes in what is installed, and for secrets in what is committed
	$(BIN)/pip install --quiet "detect-secrets>=1.5,<2" "pip-audit>=2.10,<3"
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --disable-plugin KeywordDetector
	$(BIN)/pip-audit --requirement requirements-shared.txt

$(VENV)/run.ready: requirements.txt
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { echo "This needs Python 3.11 or newer: \
	install it, or say which one to take: make PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV) || { $(AS_ROOT) apt-get update && \
		$(AS_ROOT) apt-get install --yes --no-install-recommends \
			$$("$(PYTHON)" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])') && \
		"$(PYTHON)" -m venv --clear $(VENV); }
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

$(VENV)/test.ready: $(VENV)/run.ready requirements-dev.txt requirements-shared.txt tests/browser.py
	$(BIN)/pip install --quiet -r requirements-dev.txt
	$(BIN)/python -m tests.browser
	touch $@

SERVERS := .venv-servers

.PHONY: test-servers

test-servers: $(VENV)/test.ready $(SERVERS)/ready  ## Set up real gateways and servers by others, and test against them
	$(BIN)/python -m pytest tests/servers

# Node comes from the Python index like all else: the system's may be missing or too old.
$(SERVERS)/ready: tests/servers/requirements.txt tests/servers/package.json $(VENV)/run.ready
	$(BIN)/python -m venv --clear $(SERVERS)
	$(SERVERS)/bin/pip install --quiet -r tests/servers/requirements.txt
	cp tests/servers/package.json $(SERVERS)
	$(SERVERS)/bin/npm install --prefix $(SERVERS) --silent --no-audit --no-fund --ignore-scripts
	touch $@

.PHONY: bench-agents

bench-agents: $(VENV)/test.ready  ## Measure a hundred agents that wait for twenty people, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench.agents

.PHONY: test-cluster bench-cluster

test-cluster: $(VENV)/cluster.ready  ## Set up a real proxy, and test several servers that share a real store
	$(BIN)/python -m pytest --numprocesses auto --maxschedchunk 1 tests/cluster

bench-cluster: $(VENV)/cluster.ready  ## Measure one, two and three servers side by side, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench.cluster

$(VENV)/cluster.ready: $(VENV)/test.ready tests/cluster/caddy.py
	$(BIN)/python -m tests.cluster.caddy
	touch $@
