# Targets for development; CI runs the same ones. `make help` lists them.

ifneq (,$(findstring :,$(CURDIR)))
$(error the path of this directory has a colon, $(CURDIR), which PATH cannot hold. Move or rename it)
endif

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
# Without byte code, importing the libraries takes three times as long.
unexport PYTHONDONTWRITEBYTECODE
# Disable telemetry.
export DVC_NO_ANALYTICS := true
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := true

PORT ?= 3000
# What pipeline and service import; and all the rest, which tests, checks and monitoring bring when they are first used.
READY := .venv/.ready
DEVELOPMENT := .venv/.development
LINEAGE := artifacts/lineage.json
LOCK := uv pip compile --quiet --universal --generate-hashes --custom-compile-command 'make lock' pyproject.toml

# Recipes read these arguments from the environment, so that no value becomes part of a shell command.
export DATA TARGET TIME GROUP NAME QUERY KIND FORCE PART IN OUT ID UNTIL VERSION WHY FROM TO BASE
wants = for name in $(1); do printenv "$$name" | grep -q . || { echo "error: $$name is missing. Run: make $@ $(1:%=%=…)" >&2; exit 1; }; done

.PHONY: all
all: $(READY) ## Bring data, model, metrics and the tracked run up to date
	@python -m lifecycle.pipeline $(if $(UNTRACKED),--untracked)

.PHONY: setup
setup: $(DEVELOPMENT) ## Install everything into .venv

.PHONY: ingest
ingest: $(READY) ## Add the next period or batch to the data, or another one: PART=2030-07
	@python -m lifecycle.pipeline.ingest $${PART:+"$$PART"}

.PHONY: adopt
adopt: $(READY) ## Make this a project of your own: DATA=table.csv TARGET=column [TIME=column] [GROUP=column] [NAME=name]
	@$(call wants,DATA TARGET)
	@python -m lifecycle.adoption "$$DATA" "$$TARGET" --time "$$TIME" --group "$$GROUP" --name "$$NAME" --query "$$QUERY" \
		$${KIND:+--kind "$$KIND"} $${FORCE:+--force}

.PHONY: predict
predict: $(READY) ## Score a Parquet or CSV file: IN=rows.csv OUT=scored.csv
	@$(call wants,IN OUT)
	@python -m lifecycle.pipeline.predict "$$IN" "$$OUT"

.PHONY: score
score: $(READY) ## Score the new files of a directory with the champion, and log them: FROM=s3://bucket/new TO=s3://bucket/scored
	@$(call wants,FROM TO)
	@python -m lifecycle.scoring "$$FROM" "$$TO"

.PHONY: check
check: style ## Check your model: style, types, and the pipeline on a sample of your data
	@pytest tests/model

.PHONY: test test-long
# There is a process per core, so that more threads would only compete for the cores.
test test-long: export OMP_NUM_THREADS := 1
TEST_MACHINERY := pytest --numprocesses auto --dist loadfile --no-loadscope-reorder tests/lifecycle
test: $(DEVELOPMENT) ## Run all tests, your model's and the machinery's
	@pytest tests/model
	@$(TEST_MACHINERY) -m 'not long'
test-long: $(DEVELOPMENT) ## Run the machinery's slow tests, which `make test` skips
	@$(TEST_MACHINERY) -m long

.PHONY: lint style
lint: style ## Check style, format and types of the whole repository
	@# The machinery's tests import the `model` of tests/lifecycle/example instead of yours.
	MYPYPATH=tests/lifecycle/example mypy --cache-dir .mypy_cache/example tests benchmarks
style: $(DEVELOPMENT)
	ruff check
	ruff format --check
	mypy

.PHONY: format
format: $(DEVELOPMENT) ## Format the code and apply automatic fixes
	ruff check --fix
	ruff format

.PHONY: lock
lock: $(READY) ## Compile requirements/*.txt; UPGRADE=1 upgrades all packages
	$(LOCK) $(if $(UPGRADE),--upgrade) --group development --output-file requirements/development.txt
	for group in bootstrap pipeline serving; do \
		$(LOCK) --constraint requirements/development.txt --group $$group --output-file requirements/$$group.txt || exit 1; \
	done
	$(LOCK) --constraint requirements/serving.txt --group rivals --output-file requirements/rivals.txt

.PHONY: ui
ui: $(READY) ## Open the tracked runs in MLflow
	@python -m lifecycle.pipeline.track ui

.PHONY: serve
# Services that share BENTOML_HOME delete each other's metrics.
serve: export BENTOML_HOME := $(CURDIR)/state/bentoml
serve: $(LINEAGE) ## Serve the model on http://localhost:3000; PORT=… for another port
	@bentoml serve --port $(PORT) .

.PHONY: propose
propose: $(READY) ## Compare your model with the one in production; BASE=<commit>
	@python -m lifecycle.proposal --base '$(BASE)'

.PHONY: gates
gates: $(READY) ## Propose margins for the gates, from the differences of equally good models
	@python -m lifecycle.proposal.margins

.PHONY: rehearse
rehearse: $(DEVELOPMENT) ## Run the workflows locally, from proposal to rollback; ONLY_PROPOSAL=1
	@python -m tests.github.rehearse

.PHONY: registry
registry: $(READY) ## Show the registered versions; UI=1 opens them in MLflow
	@python -m lifecycle.registry $(if $(UI),ui)

.PHONY: history
history: $(READY) ## Show when each version was the champion, and why
	@python -m lifecycle.registry history

.PHONY: rollback
rollback: $(READY) ## Roll production back to an earlier version: VERSION=3 WHY='too many alarms'
	@$(call wants,VERSION WHY)
	@python -m lifecycle.release.rollback "$$VERSION" --why "$$WHY"

.PHONY: monitor
monitor: $(DEVELOPMENT) ## Check the model in production: UNTIL=YYYY-MM-DD, PAGE=1 for plots
	@python -m lifecycle.monitoring check $(if $(PAGE),--page) $(if $(UNTIL),--until "$$UNTIL")

.PHONY: explain
explain: $(DEVELOPMENT) ## Explain a prediction: ID=…
	@$(call wants,ID)
	@python -m lifecycle.monitoring explain "$$ID"

.PHONY: bento
bento: all ## Build a bento of the model and its service
	@python -m lifecycle.release.image --bento

.PHONY: image
image: all ## Build the container image; ENGINE=docker|podman, IMAGE_BASE=<image>
	@python -m lifecycle.release.image --engine '$(ENGINE)' --base '$(IMAGE_BASE)'

.PHONY: remote
remote: $(READY) ## Move the data to another DVC remote: URL=s3://bucket/path, or gs, azure, ssh, a directory
	@test -n '$(URL)' || { echo 'error: URL is missing. Run, for example: make remote URL=s3://bucket/path' >&2; exit 1; }
	dvc pull data.dvc
	$(if $(EXTRA),uv add --quiet --frozen --group pipeline 'dvc[$(EXTRA)]>=3.67')
	$(if $(EXTRA),$(MAKE) lock && $(MAKE) $(READY))
	dvc remote add --force storage '$(URL)'
	dvc remote modify storage verify true
	dvc push --remote storage data.dvc
	dvc remote default storage
	@echo 'The data is on the new remote, which is now the default. Commit: git add .dvc/config pyproject.toml requirements'
# The extra of DVC for the scheme of the URL; a directory needs none.
EXTRA = $(filter s3 gs azure ssh,$(firstword $(subst ://, ,$(URL))))

.PHONY: upgrade
upgrade: ## Merge a newer template; a dry run unless APPLY=1: FROM=<url> TO=<tag>
	@$(PYTHON) -m lifecycle.shared.upgrade --from "$$FROM" --to "$$TO" --base "$$BASE" $(if $(APPLY),--apply)

.PHONY: clean
clean: ## Remove everything that can be rebuilt; data, tracked runs and reports stay
	rm -rf .venv .venv-rivals artifacts .registry .dvc/cache .dvc/tmp .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/; s/make all\t/make\t/' | expand -t 26

# The lineage that the service reports. It contains the commit, so it is written on each run.
.PHONY: lineage
lineage: $(LINEAGE)
$(LINEAGE): all
	@python -m lifecycle.pipeline.lineage

# A target checks for the programs that it needs before it builds anything. tests/lifecycle/missing.py has their names.
comma := ,
need-%:
	@$(PYTHON) -m tests.lifecycle.missing $(subst $(comma), ,$*)
# A container engine that can run a container.
need-engine: $(DEVELOPMENT)
	@python -m tests.lifecycle.containers

SYNC = @.venv/bin/uv pip sync $$([ -t 2 ] || echo --quiet) --require-hashes
$(READY): requirements/bootstrap.txt requirements/pipeline.txt requirements/serving.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"error: Python 3.11 or newer is required, but this is {sys.version.split()[0]}. Choose another one: make PYTHON=python3.12")'
	@echo 'creating .venv (about 1.2 GB) …'
	@test -x .venv/bin/uv || { $(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/bootstrap.txt; }
	$(SYNC) $(if $(wildcard $(DEVELOPMENT)),requirements/development.txt,$^)
	@touch $@
$(DEVELOPMENT): requirements/development.txt $(READY)
	@echo 'adding the packages of tests, checks and monitoring to .venv (about 0.4 GB) …'
	$(SYNC) $<
	@touch $@
