# What one types: `make up` to run Tollgate, `make test` and `make lint` before a commit, `make bench` for numbers.

BIN := .venv/bin
INSTALLED := .venv/.installed
JOBS := $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$cores -gt 2 ] && echo $$cores || echo 2)

.DEFAULT_GOAL := help
.PHONY: help up test lint format bench bench-billing screenshots mutate clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

$(INSTALLED): pyproject.toml uv.lock .ci/install
	@.ci/install
	@touch $@

up: $(INSTALLED) ## install and run everything, print the address and a key; Ctrl-C stops it
	@exec $(BIN)/python -m portal.stack up

test: $(INSTALLED) ## the whole suite, on servers of its own
	@exec $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(INSTALLED) ## ruff, mypy and the walls between the packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

format: $(INSTALLED) ## let ruff put imports and layout right
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## measure the gateway on this machine
	@exec $(BIN)/python -m bench $(ARGS)

bench-billing: $(INSTALLED) ## measure posting and closing a month of 1, 3 and 10 million calls
	@exec $(BIN)/python -m bench.closing $(ARGS)

screenshots: $(INSTALLED) ## pictures of every page, light, dark and phone, in screenshots/, and what axe says of each
	@exec $(BIN)/python -m tests.gallery $(ARGS)

mutate: $(INSTALLED) ## change the code of money in small ways and show what no test notices; ARGS="money pricing"
	@exec $(BIN)/python -m tests.mutation $(ARGS)

clean: ## remove what was installed and cached; the state in .tollgate stays
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
