# What a newcomer and the CI call. Everything runs in .venv; nothing but python3 (3.11 or later) is needed.
PYTHON ?= python3
OUTPUTS ?= outputs
BIN := .venv/bin
HCPCS := $(BIN)/hcpcs

.PHONY: help setup demo test test-all refresh ui catalog check faults fuzz redaction subsets derived bench bench-annotate engines npm spark lock lowest newest clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' Makefile

setup: .venv/ready ## make .venv and install what the lock file pins

.venv/ready: requirements.lock .ci/installer.lock pyproject.toml
	@echo "making .venv and installing what requirements.lock pins: half a minute to three minutes, by network"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/installer.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@echo "compiling"
	@$(BIN)/python -m compileall -q hcpcs pipeline sources schemas
	@touch .venv/ready

demo: setup ## run the whole pipeline on the bundled sample
	@echo "building a version of the bundled sample: about 10 seconds"
	$(HCPCS) refresh --sample --outputs outputs/sample

# Each core has a process that tests: more threads of polars would only take turns, which costs a twelfth.
# Half more processes than cores: many tests wait for others that they start.
WORKERS = $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) * 3 // 2)")

test: setup ## run the tests, without the long fault and fuzz runs
	@echo "about four minutes on two cores; left out: kills, fuzzing and further places and engines (make test-all), and"
	@echo "what needs Java, Chromium, PostgreSQL or ../shared where those are missing, each with its reason at the end"
	POLARS_MAX_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "not slow"

test-all: setup ## run every test, the long ones as well
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

refresh: setup ## take releases in: make refresh FROM=folder
	$(HCPCS) refresh $(if $(FROM),--from $(FROM)) --outputs $(OUTPUTS)

ui: setup ## start Dagster's user interface on the loopback address
	$(HCPCS) ui --outputs $(OUTPUTS)

catalog: setup ## write the catalog of the latest version to outputs/catalog/index.html
	$(HCPCS) catalog --outputs $(OUTPUTS)

check: setup ## lint, format, types, Dagster's definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@mkdir -p .venv/dagster-checks && printf 'telemetry: {enabled: false}\n' > .venv/dagster-checks/dagster.yaml
	DAGSTER_HOME=$(CURDIR)/.venv/dagster-checks $(BIN)/dg check defs

derived: setup ## write anew what follows from the contracts: docs/commands.md, docs/tables.md, tests/golden
	$(BIN)/python -m pipeline.reference
	$(BIN)/python tests/test_schema_promises.py
	HCPCS_UPDATE_GOLDEN=1 $(BIN)/python -m pytest --quiet tests/pipeline/orchestration/test_graph.py

faults: setup ## kill refreshes at any moment, 200 times
	$(BIN)/python -m benchmarks.faults

fuzz: setup ## refresh from 2,000 damaged releases
	$(BIN)/python -m benchmarks.fuzz

redaction: setup ## look for planted texts in 200,000 odd lines that were redacted
	$(BIN)/python -m benchmarks.redaction --version $(OUTPUTS)/latest

subsets: setup ## publish all pairs and 200 random sets of real releases
	$(BIN)/python -m benchmarks.subsets

bench: .venv-bench/ready ## measure, against rivals, on this machine
	.venv-bench/bin/python -m benchmarks.run $(if $(FROM),--from $(FROM))

bench-annotate: .venv-bench/ready ## measure `hcpcs annotate` on 100 million made-up lines
	.venv-bench/bin/python -m benchmarks.annotate --version $(OUTPUTS)/latest

.venv-bench/ready: benchmarks/requirements.lock .venv/ready
	$(PYTHON) -m venv .venv-bench
	$(BIN)/uv pip install --quiet --python .venv-bench/bin/python --require-hashes --compile-bytecode -r benchmarks/requirements.lock
	$(BIN)/uv pip install --quiet --python .venv-bench/bin/python --no-deps --no-build-isolation --editable .
	@touch .venv-bench/ready

.venv-engines/ready: tests/engines.lock .venv/ready
	$(PYTHON) -m venv .venv-engines
	$(BIN)/uv pip install --quiet --python .venv-engines/bin/python --require-hashes -r tests/engines.lock
	@touch .venv-engines/ready

engines: .venv-engines/ready ## make .venv-engines: other readers of the tables, for tests that use them

tests/npm/node_modules/.package-lock.json: tests/npm/package-lock.json
	cd tests/npm && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

npm: tests/npm/node_modules/.package-lock.json ## install what reads FHIR packages, for the tests that use it; needs Node

# Without a cache: pyspark comes as source, which uv builds again each time and would keep at 1.4 GB a build.
spark: .venv/ready ## add Spark to .venv, for `hcpcs.spark`; needs a Java runtime
	$(BIN)/uv pip install --quiet --no-cache --python $(BIN)/python --require-hashes -r tests/spark.lock

lock: setup ## pin again what pyproject.toml asks for
	$(BIN)/uv pip compile pyproject.toml --group pipeline --group dev --universal --python-version 3.11 --no-strip-extras \
	  --generate-hashes --quiet --custom-compile-command "make lock" --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --group pipeline --group dev --group bench --universal --python-version 3.11 \
	  --no-strip-extras --generate-hashes --quiet --custom-compile-command "make lock" \
	  --constraints requirements.lock --output-file benchmarks/requirements.lock
	$(BIN)/uv pip compile tests/engines.in --universal --python-version 3.11 --no-strip-extras --generate-hashes --quiet \
	  --custom-compile-command "make lock" --output-file tests/engines.lock
	$(BIN)/uv pip compile pyproject.toml --extra spark --universal --python-version 3.11 --no-strip-extras \
	  --generate-hashes --quiet --custom-compile-command "make lock" \
	  --constraints requirements.lock --output-file tests/spark.lock
	$(BIN)/uv pip compile .ci/installer.in --universal --generate-hashes --quiet \
	  --custom-compile-command "make lock" --output-file .ci/installer.lock

lowest: setup ## refresh the sample on the oldest libraries that pyproject.toml allows
	$(PYTHON) -m venv --clear .venv-lowest
	$(BIN)/uv pip compile pyproject.toml --group pipeline --extra remote --extra duckdb --resolution lowest-direct \
	  --quiet --output-file .venv-lowest/requirements.txt
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python -r .venv-lowest/requirements.txt
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --no-deps --editable .
	rm -rf .venv-lowest/outputs
	.venv-lowest/bin/hcpcs refresh --sample --outputs .venv-lowest/outputs
	.venv-lowest/bin/hcpcs verify --deep --outputs .venv-lowest/outputs
	.venv-lowest/bin/hcpcs catalog --outputs .venv-lowest/outputs
	.venv-lowest/bin/hcpcs export --duckdb .venv-lowest/outputs/sample.duckdb --outputs .venv-lowest/outputs

newest: setup ## a short run of the tests on Python 3.13, where the machine has it, at the locked releases
	python3.13 -m venv --clear .venv-newest
	$(BIN)/uv pip install --quiet --python .venv-newest/bin/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python .venv-newest/bin/python --no-deps --no-build-isolation --editable .
	.venv-newest/bin/python -m pytest -q -p no:cacheprovider -m "not slow" tests/schemas tests/hcpcs/test_answers.py \
	  tests/pipeline/versions/test_verify.py

clean: ## remove what these commands made, but no outputs
	rm -rf .venv .venv-bench .venv-engines .venv-lowest .venv-newest
