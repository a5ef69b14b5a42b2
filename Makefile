# What runs here runs in CI by the same name. `make help` lists the targets.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
# Importing the libraries takes three times as long where their byte code is not kept.
unexport PYTHONDONTWRITEBYTECODE
# Nothing here reports home.
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := true

PORT ?= 3000
# What pipeline and service import; and all the rest, which tests, checks and monitoring bring when they are first used.
READY := .venv/.ready
DEVELOPMENT := .venv/.development
LINEAGE := artifacts/lineage.json
LOCK := uv pip compile --quiet --universal --generate-hashes --custom-compile-command 'make lock' pyproject.toml

# What a target is told, it reads from the environment: no value becomes a part of a command.
export MONTH IN OUT ID UNTIL VERSION WHY FROM TO BASE
wants = for name in $(1); do printenv "$$name" | grep -q . || { echo "error: say $$name=…, as in: make $@ $(1:%=%=…)" >&2; exit 1; }; done

.PHONY: all
all: $(READY) ## Bring data, model, metrics and the tracked run up to date
	@python -m lifecycle.pipeline $(if $(UNTRACKED),--untracked)

.PHONY: setup
setup: $(DEVELOPMENT) ## Install everything into .venv, and do nothing else

.PHONY: ingest
ingest: $(READY) ## Add a month to the data: MONTH=YYYY-MM
	@$(call wants,MONTH)
	@python -m lifecycle.pipeline.ingest "$$MONTH"

.PHONY: predict
predict: $(READY) ## Score a Parquet or CSV file: IN=rows.csv OUT=scored.csv
	@$(call wants,IN OUT)
	@python -m lifecycle.pipeline.predict "$$IN" "$$OUT"

.PHONY: check
check: style ## Check your model: style, types, and the pipeline on a sample of your data
	@pytest tests/model

.PHONY: test test-long
# Each core has a process: threads of theirs would wait for one another.
test test-long: export OMP_NUM_THREADS := 1
TEST_MACHINERY := pytest --numprocesses auto --dist loadfile --no-loadscope-reorder tests/lifecycle
test: $(DEVELOPMENT) ## Run all tests, your model's and the machinery's
	@pytest tests/model
	@$(TEST_MACHINERY) -m 'not long'
test-long: $(DEVELOPMENT) ## Run the machinery's slower tests, too long for `make test`
	@$(TEST_MACHINERY) -m long

.PHONY: lint style
lint: style ## Check style, types and format of everything
	@# The machinery's tests have a `model` of their own, whatever yours is.
	MYPYPATH=tests/lifecycle/example mypy --cache-dir .mypy_cache/example tests benchmarks
style: $(DEVELOPMENT)
	ruff check
	ruff format --check
	mypy

.PHONY: format
format: $(DEVELOPMENT) ## Format the code and mend what can be mended
	ruff check --fix
	ruff format

.PHONY: lock
lock: $(READY) ## Compile requirements/*.txt; UPGRADE=1 takes the newest versions
	$(LOCK) $(if $(UPGRADE),--upgrade) --group development --output-file requirements/development.txt
	for group in bootstrap pipeline serving; do \
		$(LOCK) --constraint requirements/development.txt --group $$group --output-file requirements/$$group.txt || exit 1; \
	done
	$(LOCK) --constraint requirements/serving.txt --group rivals --output-file requirements/rivals.txt

.PHONY: ui
ui: $(READY) ## Open the tracked runs in MLflow
	@python -m lifecycle.pipeline.track ui

.PHONY: serve
# Services that share BentoML's home wipe each other's metrics.
serve: export BENTOML_HOME := $(CURDIR)/state/bentoml
serve: $(LINEAGE) ## Serve the model on http://localhost:3000; PORT=… for another port
	@bentoml serve --port $(PORT) .

.PHONY: propose
propose: $(READY) ## Compare with the model in production and write the report; BASE=<commit>
	@python -m lifecycle.proposal --base '$(BASE)'

.PHONY: gates
gates: $(READY) ## Propose margins for the gates, from how much equal models differ on your data
	@python -m lifecycle.proposal.margins

.PHONY: rehearse
rehearse: $(DEVELOPMENT) ## Play proposal, comment, merge, release and rollback here; ONLY_PROPOSAL=1
	@python -m tests.github.rehearse

.PHONY: registry
registry: $(READY) ## Show the registered versions; UI=1 opens them in MLflow
	@python -m lifecycle.registry $(if $(UI),ui)

.PHONY: history
history: $(READY) ## Show which version was champion from when to when, and why
	@python -m lifecycle.registry history

.PHONY: rollback
rollback: $(READY) ## Put an earlier version back into production: VERSION=3 WHY='too many alarms'
	@$(call wants,VERSION WHY)
	@python -m lifecycle.release.rollback "$$VERSION" --why "$$WHY"

.PHONY: monitor
monitor: $(DEVELOPMENT) ## Check the model in production: UNTIL=YYYY-MM-DD, PAGE=1 for pictures
	@python -m lifecycle.monitoring check $(if $(PAGE),--page) $(if $(UNTIL),--until "$$UNTIL")

.PHONY: explain
explain: $(DEVELOPMENT) ## Explain a prediction: ID=…
	@$(call wants,ID)
	@python -m lifecycle.monitoring explain "$$ID"

.PHONY: bento
bento: all ## Pack the model with its service as a bento
	@python -m lifecycle.release.image --bento

.PHONY: image
image: all ## Make a container image of it; ENGINE=docker|podman, IMAGE_BASE=<to build on>
	@python -m lifecycle.release.image --engine '$(ENGINE)' --base '$(IMAGE_BASE)'

.PHONY: remote
remote: $(READY) ## Move the data to another DVC remote: URL=s3://bucket/path, or gs, azure, ssh, a folder
	@test -n '$(URL)' || { echo 'error: say where to, for example: make remote URL=s3://bucket/path' >&2; exit 1; }
	dvc pull data.dvc
	$(if $(EXTRA),uv add --quiet --frozen --group pipeline 'dvc[$(EXTRA)]>=3.67')
	$(if $(EXTRA),$(MAKE) lock && $(MAKE) $(READY))
	dvc remote add --force storage '$(URL)'
	dvc push --remote storage data.dvc
	dvc remote default storage
	@echo 'The data is there, and in .dvc/config. Commit: git add .dvc/config pyproject.toml requirements'
# What DVC needs beside itself for the scheme of the URL; a folder needs nothing.
EXTRA = $(filter s3 gs azure ssh,$(firstword $(subst ://, ,$(URL))))

.PHONY: upgrade
upgrade: ## Merge a newer template, as a dry run unless APPLY=1: FROM=<url> TO=<tag>
	@$(PYTHON) -m lifecycle.shared.upgrade --from "$$FROM" --to "$$TO" --base "$$BASE" $(if $(APPLY),--apply)

.PHONY: clean
clean: ## Remove what can be made again; data, tracked runs and reports stay
	rm -rf .venv .venv-rivals artifacts .registry .dvc/cache .dvc/tmp .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/; s/make all\t/make\t/' | expand -t 26

# What the service tells of its model. It names the commit, and so is written each time.
.PHONY: lineage
lineage: $(LINEAGE)
$(LINEAGE): all
	@python -m lifecycle.pipeline.lineage

# Programs that a target uses are asked for before anything is made. The names are those of tests/lifecycle/missing.py.
comma := ,
need-%:
	@$(PYTHON) -m tests.lifecycle.missing $(subst $(comma), ,$*)
# One that has been seen to run something.
need-engine: $(DEVELOPMENT)
	@python -m tests.lifecycle.containers

SYNC = @.venv/bin/uv pip sync $$([ -t 2 ] || echo --quiet) --require-hashes
$(READY): requirements/bootstrap.txt requirements/pipeline.txt requirements/serving.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Name another one: make PYTHON=python3.12")'
	@echo 'making .venv (about 1.0 GB) …'
	@test -x .venv/bin/uv || { $(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/bootstrap.txt; }
	$(SYNC) $(if $(wildcard $(DEVELOPMENT)),requirements/development.txt,$^)
	@touch $@
$(DEVELOPMENT): requirements/development.txt $(READY)
	@echo 'adding what tests, checks and monitoring need to .venv (about 0.5 GB) …'
	$(SYNC) $<
	@touch $@
