# Two commands do everything on a fresh machine: `make demo` and `make test`. `make` alone says what else there is.
# Needed: Python 3.11 or later, Node 20 (a local AWS server in the tests runs on it), make, the package registries.

VENV ?= .venv
DEMO_VENV ?= .venv-demo
OLDEST_VENV ?= .venv-oldest
DEMO_DATA := vega_datasets==0.9.0
WORKERS ?= 3
SEEDS ?= 300
ROUNDS ?= 100
MINUTES ?= 30
FILES ?= 100000
SEED ?=
FLOOR ?= 90

# The first interpreter that runs and is new enough; a name that only stands on the path, as a shim may, is passed over.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

BIN := $(VENV)/bin
CODE := esm tests $(wildcard examples)
PURE := esm/records/*,esm/mapping/*,esm/filtering/*,esm/machine/*,esm/leasing/*
SERVERS := .emulators/.installed
COMPILED := .compiled

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# Nothing of the caller's own Python or AWS set-up changes the outcome, and no test waits for an instance's metadata.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_USER AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL
export AWS_EC2_METADATA_DISABLED := true
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

say = @printf '\n== %s\n'

.PHONY: help
help: ## this list
	@printf 'esm: Lambda event source mappings in your own process\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\nThe first run of each makes its own environment here; later runs start at once. CONTRIBUTING.md says more.\n'

.PHONY: demo
demo: $(DEMO_VENV)/.installed ## a local AWS, real data, your own eyes: what the library does, in a minute
	@$(DEMO_VENV)/bin/python -m examples.demo

.PHONY: demo-table
demo-table: $(DEMO_VENV)/.installed ## the same for a table: its changes, a filter and a windowed sum
	@$(DEMO_VENV)/bin/python -m examples.table_demo

.PHONY: test
test: $(VENV)/.installed $(SERVERS) ## everything that must hold: lint, types, contracts, tests, coverage
	@$(MAKE) lint
	$(say) "tests, on $(WORKERS) workers"
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal
	@$(MAKE) coverage
	$(say) "make test: formatting, lint, types, import contracts, tests and coverage passed"

.PHONY: lint
lint: $(VENV)/.installed ## formatting, lint, types and import contracts
	$(say) "formatting"
	@$(BIN)/ruff format --check .
	$(say) "lint"
	@$(BIN)/ruff check .
	$(say) "types"
	@$(BIN)/mypy $(CODE)
	$(say) "import contracts"
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: $(VENV)/.installed ## formats the code, and mends what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: unit
unit: $(VENV)/.installed ## the pure rooms' own tests, in seconds, without a server
	@$(BIN)/pytest tests/unit tests/tidy

# Reads what `make test` measured.
.PHONY: coverage
coverage:
	$(say) "coverage: every branch of the pure rooms, $(FLOOR) % of the whole"
	@$(BIN)/coverage combine --quiet
	@rm -f .coverage.*  # what is left is torn: of processes that the tests kill
	@$(BIN)/coverage report --skip-covered --skip-empty --show-missing --fail-under=$(FLOOR)
	@$(BIN)/coverage report --skip-covered --skip-empty --show-missing --include='$(PURE)' --fail-under=100

.PHONY: simulate
simulate: $(VENV)/.installed ## whole runs under virtual time: SEEDS=10000 for many, SEED=7 to replay one
	@$(BIN)/pytest tests/simulation -n $(if $(SEED),0,$(WORKERS)) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

.PHONY: recorded
recorded: $(VENV)/.installed $(SERVERS) ## 100,000 records of a local AWS, recorded and replayed: the very same events
	@ESM_RECORDED=100000 $(BIN)/pytest tests/service/test_recordings.py -k test_a_stream --timeout 900 -o faulthandler_timeout=0

.PHONY: bench-replay
bench-replay: $(VENV)/.installed ## a replay of 1 GB beside reading the same lines with orjson alone
	@$(BIN)/python -m tests.bench.replay

.PHONY: kill
kill: $(VENV)/.installed $(SERVERS) ## workers killed with SIGKILL at named points: ROUNDS=100, SEED=7 to replay
	@$(BIN)/python -m tests.kill --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

.PHONY: soak
soak: $(VENV)/.installed ## functions that fail, hang, leak and crash, at full load: MINUTES=30
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

.PHONY: mutate
mutate: $(VENV)/.installed ## changed files of settings, read or refused: FILES=100000, SEED=7 to replay
	@$(BIN)/python -m tests.mutations --count $(FILES) --jobs $(WORKERS) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: $(VENV)/.installed ## records and messages a second and CPU of each, beside other pollers
	@$(BIN)/python -m tests.bench.peers
	@$(BIN)/python -m tests.bench

.PHONY: bench-compiled
bench-compiled: compiled ## what compiling brings, and the budget with it
	@$(BIN)/python -m tests.bench.peers
	@$(BIN)/python -m tests.bench.compiled
	@cd $(COMPILED) && PYTHONPATH=$(abspath $(COMPILED)) $(abspath $(BIN))/python -m tests.bench --budget --minute
	@mkdir -p tests/bench/results/compiled && cp $(COMPILED)/tests/bench/results/budget.* tests/bench/results/compiled/

# What an sdist holds, with what the compiled wheel made of it; the wheel lies in its dist. Takes a C compiler.
.PHONY: compiled
compiled: $(VENV)/.installed ## the wheel whose hot paths are compiled, in .compiled/dist
	$(say) "compiling (a minute)"
	@rm -rf $(COMPILED) && mkdir $(COMPILED) && ln -s ../.emulators $(COMPILED)/.emulators
	@HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(BIN)/python -m build --no-isolation --outdir $(COMPILED)/dist >$(COMPILED)/build.log 2>&1 \
		|| { tail -n 20 $(COMPILED)/build.log; exit 1; }
	@tar -xzf $(COMPILED)/dist/*.tar.gz --strip-components 1 -C $(COMPILED)
	@$(BIN)/python -m zipfile -e $(COMPILED)/dist/*.whl $(COMPILED) && ls $(COMPILED)/dist/*.whl

.PHONY: test-compiled
test-compiled: compiled $(SERVERS) ## the tests, on what is compiled
	@cd $(COMPILED) && PYTHONPATH=$(abspath $(COMPILED)) $(abspath $(BIN))/python -m pytest -n $(WORKERS) --dist worksteal \
		-m 'not interpreted' --ignore tests/tidy --ignore tests/typing

.PHONY: oldest
oldest: $(OLDEST_VENV)/.installed $(SERVERS) ## the tests, on the oldest releases that pyproject.toml allows
	@$(OLDEST_VENV)/bin/pytest -n $(WORKERS) --dist worksteal --ignore tests/tidy --ignore tests/typing

.PHONY: clean
clean: ## removes what tests and builds leave behind
	@rm -rf build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find esm tests $(wildcard examples) -name __pycache__ -type d -prune -exec rm -rf {} +
	@find esm -name '*.so' -delete && rm -f *__mypyc.*.so  # what pip compiled here would run for the sources

.PHONY: pristine
pristine: clean ## as clean, and the environments and local servers too
	@rm -rf $(VENV) $(DEMO_VENV) $(OLDEST_VENV) $(COMPILED) .emulators *.egg-info

# A stamp is written last, so an installation that broke off is made again.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(say) "installing esm and its tools into $(VENV) (a minute, once)"
	@$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

$(DEMO_VENV)/.installed: pyproject.toml | $(DEMO_VENV)/bin/python
	$(say) "installing the demo into $(DEMO_VENV) (a minute, once)"
	@$(DEMO_VENV)/bin/python -m pip install --quiet --editable '.[demo]'
	@$(DEMO_VENV)/bin/python -m pip install --quiet --no-deps $(DEMO_DATA) # its files are read without its library
	@touch $@

$(OLDEST_VENV)/.installed: pyproject.toml tests/tidy/oldest.py | $(OLDEST_VENV)/bin/python
	$(say) "installing the oldest allowed releases into $(OLDEST_VENV)"
	@$(OLDEST_VENV)/bin/python tests/tidy/oldest.py >$(OLDEST_VENV)/oldest.txt
	@$(OLDEST_VENV)/bin/python -m pip install --quiet --editable '.[all]' --group test \
		--constraint $(OLDEST_VENV)/oldest.txt
	@touch $@

$(SERVERS): $(wildcard tests/servers/install.py tests/servers/*.json tests/servers/*.txt) | $(VENV)/.installed
	$(say) "installing the local AWS servers into .emulators (a minute, once)"
	@$(BIN)/python tests/servers/install.py
	@mkdir -p .emulators && touch $@

# pip 25.1 is the first that installs dependency groups.
%/bin/python:
	@test -n '$(PYTHON)' || { echo 'esm needs Python 3.11 or later: none of python3.11, python3.12, python3.13, python3 is.' \
		'Install one, or name it: make test PYTHON=/path/to/python' >&2; exit 1; }
	$(say) "making $* with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $* || { echo 'this Python makes no virtual environments: on Debian, install python3-venv' >&2; exit 1; }
	@$@ -m pip install --quiet --upgrade 'pip>=25.1'
