# lensfold: make owns the order, Python owns the work.
#
#   make folds train predict            the whole way, on the sample pack (made on first use)
#   make train EXPERIMENT=x FOLD=0      a first look at one fold
#   make grade                          play organiser: score the submission against a simulated pack's key
#   make leaderboard                    every run and submission, best first, into submissions/<pack>/README.md
#   make look                           pictures of the pack: objects of each lens size, the size histogram
#   make report                         a static HTML report of the pack's runs, runs/<pack>/report/index.html
#   make paper SCALE=smoke              the seed paper's tables and figures on a pack, into paper/README.md
#   make bench                          measure data layer, prediction, training and jobs, into benchmarks/README.md
#   make jobs                           what the pack still needs, job by job, and how far each is
#   make ray                            install what EXECUTOR=ray needs
#   make test | make check              tests | style and tests
#
# PACK=<name> or DATA=<folder> selects a pack, SUBMISSION=<name> the members, JOBS=<n> jobs at a time,
# EXECUTOR=local|ray|slurm runs the jobs, ADDRESS=<host:port> joins a Ray cluster (docs/scaling.md),
# TRAINED=<pack> predicts PACK with runs trained on another pack, SKIP_BAD=1 leaves unusable objects out,
# SCALE=smoke|default|full is how much of the paper runs,
# STAGE=<folder> reads caches from a local copy there, SORT=<score> sorts the leaderboard.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
REQUIREMENTS ?= requirements.txt
VENV ?= .venv
ifdef DATA
PACK ?= $(notdir $(abspath $(DATA)))
endif
PACK ?= sample
DATA ?= data/$(PACK)
TRAINED ?= $(PACK)
SUBMISSION ?= default
SKIP_BAD ?=
STAGE ?=
SCALE ?= default
EXECUTOR ?= local

export NO_ALBUMENTATIONS_UPDATE := 1
export TF_CPP_MIN_LOG_LEVEL := 2
LENSFOLD := $(VENV)/bin/python -m lensfold
SELECT := --pack $(PACK) --data $(DATA)

# the members of the submission, and the number of folds, from the files where a person writes them
# (and the runs of its second file, radius = ["..."] on one line)
MEMBERS := $(shell sed -n 's/^ *experiment *= *"\([^"]*\)".*/\1/p' submissions/$(SUBMISSION).toml 2>/dev/null)
RADIUS := $(shell sed -n 's/^ *radius *= *\[\([^]]*\)\].*/\1/p' submissions/$(SUBMISSION).toml 2>/dev/null | tr -d '",')
EXPERIMENT ?= $(MEMBERS) $(RADIUS)
K := $(shell sed -n 's/^ *k *= *\([0-9][0-9]*\).*/\1/p' folds/folds.toml)
ALL_FOLDS := $(shell seq 0 $$(($(or $(K),1) - 1)))
FOLD ?= $(ALL_FOLDS)

READY := $(VENV)/.installed
CATALOG := $(DATA)/image_catalog2.0train.csv
FOLDS_FILE := folds/$(PACK).csv
# a folder in data/ has one cache, whatever names it is used under
CACHED := $(if $(filter $(abspath data)/,$(dir $(abspath $(DATA)))),$(notdir $(abspath $(DATA))),$(PACK))
CACHE_TRAIN := data/$(CACHED)/cache/train/manifest.json
CACHE_TEST := data/$(CACHED)/cache/test/manifest.json
OOF := $(foreach e,$(EXPERIMENT),$(foreach f,$(FOLD),runs/$(PACK)/$(e)/fold$(f)/oof.csv))
TEST := $(foreach e,$(MEMBERS) $(RADIUS),$(foreach f,$(ALL_FOLDS),runs/$(TRAINED)/$(e)/fold$(f)/test/$(PACK).csv))
CSV := submissions/$(PACK)/$(SUBMISSION).csv

.PHONY: help ray folds cache train predict jobs grade leaderboard report paper look test check bench clean
help:
	@sed -n 's/^#   make/  make/p' Makefile

# ---- set-up: once, again only when the requirements change
$(READY): $(REQUIREMENTS) pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); ok or sys.exit("error: $(PYTHON) is Python %d.%d; lensfold runs on 3.11, 3.12 and 3.13. Choose one with PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Installing into $(VENV) (once)"
	@rm -rf $(VENV)
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	  uv pip install --quiet --python $(VENV)/bin/python -r $(REQUIREMENTS); \
	  uv pip install --quiet --python $(VENV)/bin/python --no-deps -e .; \
	else \
	  $(PYTHON) -m venv $(VENV); \
	  $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS); \
	  $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	fi
	@touch $@

# what EXECUTOR=ray needs besides
ray: $(READY)
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(VENV)/bin/python -e ".[ray]"; \
	else \
	  $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[ray]"; \
	fi

# ---- a pack: the simulated ones are made on first use
data/sample/image_catalog2.0train.csv data/smoke/image_catalog2.0train.csv data/challenge/image_catalog2.0train.csv: | $(READY)
	@$(LENSFOLD) simulate --data $(@D)

%/image_catalog2.0train.csv:
	@echo "error: $@ does not exist. Unpack the challenge's train pack and catalog there, or use PACK=sample." >&2; exit 1

# ---- folds and cache
LOCAL := $(filter local,$(EXECUTOR))
folds: $(FOLDS_FILE)
$(FOLDS_FILE): $(CATALOG) folds/folds.toml | $(READY)
	@$(LENSFOLD) folds $(SELECT)

cache: $(if $(LOCAL),$(CACHE_TRAIN) $(CACHE_TEST),$(CATALOG)) | $(READY)
	@$(if $(LOCAL),,$(RUN) --cache train --cache test)
$(CACHE_TRAIN): $(CATALOG) | $(READY)
	@$(LENSFOLD) cache $(SELECT) --split train $(if $(SKIP_BAD),--skip-bad)
$(CACHE_TEST): $(if $(filter $(PACK),$(TRAINED)),$(CATALOG)) | $(READY)
	@$(LENSFOLD) cache $(SELECT) --split test $(if $(SKIP_BAD),--skip-bad)

# ---- runs: config.json keeps its time when its content stays the same, so that only a real change retrains
define EXPERIMENT_RULES
runs/$(PACK)/$(1)/.configured: experiments/$(1).toml $(FOLDS_FILE) $(CACHE_TRAIN)
	@$(LENSFOLD) configure $(SELECT) --experiment $(1)
runs/$(PACK)/$(1)/config.json runs/$(PACK)/$(1)/predict.json: runs/$(PACK)/$(1)/.configured
	@test -f $$@ || $(LENSFOLD) configure $(SELECT) --experiment $(1)
endef
define FOLD_RULES
runs/$(PACK)/$(1)/fold$(2)/oof.csv: runs/$(PACK)/$(1)/config.json runs/$(PACK)/$(1)/predict.json
	@$(LENSFOLD) train-fold $(SELECT) --experiment $(1) $(2) $(if $(STAGE),--stage $(STAGE))
endef
define TEST_RULES
runs/$(TRAINED)/$(1)/fold$(2)/test/$(PACK).csv: runs/$(TRAINED)/$(1)/fold$(2)/oof.csv $(CACHE_TEST)
	@$(LENSFOLD) predict-fold $(SELECT) --trained-on $(TRAINED) --experiment $(1) $(2) $(if $(STAGE),--stage $(STAGE))
endef
EVERY := $(sort $(EXPERIMENT) $(MEMBERS) $(RADIUS))
# UP_TO_DATE asks whether there is anything to do, once the settings are resolved
ifndef UP_TO_DATE
$(foreach e,$(EVERY),$(eval $(call EXPERIMENT_RULES,$(e))))
endif
$(foreach e,$(EVERY),$(foreach f,$(ALL_FOLDS),$(eval $(call FOLD_RULES,$(e),$(f)))))
$(foreach e,$(MEMBERS) $(RADIUS),$(foreach f,$(ALL_FOLDS),$(eval $(call TEST_RULES,$(e),$(f)))))

experiments/%.toml:
	@echo "error: $@ does not exist. Experiments there: $(patsubst experiments/%.toml,%,$(wildcard experiments/*.toml))" >&2; exit 1

# ---- train and predict: jobs, which the executor runs side by side
ASK := $(MAKE) --no-print-directory -s
FRESH := $(if $(LOCAL),$(ASK) -q UP_TO_DATE=1,false)
RUN := $(LENSFOLD) run-jobs $(SELECT) --executor $(EXECUTOR) $(if $(JOBS),--jobs $(JOBS)) $(if $(ADDRESS),--address $(ADDRESS)) $(if $(PARTS),--parts $(PARTS)) $(if $(GPUS),--gpus $(GPUS)) $(if $(SKIP_BAD),--skip-bad) $(if $(STAGE),--stage $(STAGE))
TRAINING := $(EXPERIMENT:%=--experiment %) $(if $(filter command line environment,$(origin FOLD)),$(FOLD:%=--fold %))
PREDICTING := $(MEMBERS:%=--predict %) $(RADIUS:%=--predict %)
TRAINING_MEMBERS := $(MEMBERS:%=--experiment %) $(RADIUS:%=--experiment %)
HERE := $(filter $(PACK),$(TRAINED))
SLURM := $(filter slurm,$(EXECUTOR))
# `make train predict` hands out all jobs at once, so that a core that has no fold left predicts
ALSO := $(and $(filter train,$(MAKECMDGOALS)),$(filter predict,$(MAKECMDGOALS)),$(HERE),$(if $(filter command line environment,$(origin FOLD)),,yes))
# under SLURM what comes after the jobs waits for the same command, once they are done
DONE := $(if $(SLURM),$(ASK) -q UP_TO_DATE=1,true)

train: $(FOLDS_FILE) $(if $(LOCAL),$(CACHE_TRAIN) $(if $(ALSO),$(CACHE_TEST)))
	@test -n "$(strip $(EXPERIMENT))" || { echo "error: submissions/$(SUBMISSION).toml is absent or names no member." >&2; exit 1; }
	@$(if $(LOCAL),$(ASK) $(EXPERIMENT:%=runs/$(PACK)/%/config.json))
	@$(FRESH) $(OOF) $(if $(ALSO),$(TEST)) 2>/dev/null || $(RUN) $(TRAINING) $(if $(ALSO),$(TRAINING_MEMBERS) $(PREDICTING))
	@! $(DONE) $(OOF) 2>/dev/null || { $(ASK) $(EXPERIMENT:%=runs/$(PACK)/%/score.json) && echo "runs of pack $(PACK) are up to date: $(strip $(EXPERIMENT))"; }
$(EVERY:%=runs/$(PACK)/%/score.json): runs/$(PACK)/%/score.json: $(foreach f,$(FOLD),runs/$(PACK)/%/fold$(f)/oof.csv)
	@$(LENSFOLD) score $(SELECT) --experiment $* --brief

# every member's folds on the test split, then the submission and its scores
predict: $(if $(LOCAL),,$(if $(HERE),$(FOLDS_FILE))) | $(READY)
	@test -n "$(MEMBERS)" || { echo "error: submissions/$(SUBMISSION).toml is absent or names no member." >&2; exit 1; }
	@$(if $(LOCAL),$(ASK) $(CACHE_TEST) $(if $(HERE),$(MEMBERS:%=runs/$(PACK)/%/config.json) $(RADIUS:%=runs/$(PACK)/%/config.json)))
	@$(if $(and $(SLURM),$(ALSO)),true,$(FRESH) $(TEST) 2>/dev/null) || $(RUN) $(if $(HERE),$(TRAINING_MEMBERS),--trained-on $(TRAINED)) $(PREDICTING)
	@! $(DONE) $(TEST) 2>/dev/null || { $(ASK) $(CSV) && echo "$(CSV) is up to date"; }
$(CSV): submissions/$(SUBMISSION).toml $(TEST)
	@$(LENSFOLD) submit $(SELECT) --trained-on $(TRAINED) --submission $(SUBMISSION)

jobs: $(if $(HERE),$(CATALOG)) | $(READY)
	@$(LENSFOLD) jobs $(SELECT) $(if $(PARTS),--parts $(PARTS)) $(if $(HERE),$(TRAINING) $(TRAINING_MEMBERS),--trained-on $(TRAINED)) $(PREDICTING)

grade: $(CSV)
	@$(LENSFOLD) grade $(SELECT) --submission $(SUBMISSION)

# ---- what there is so far: reads the runs, makes none
leaderboard: $(READY)
	@$(LENSFOLD) leaderboard $(SELECT) $(if $(SORT),--sort '$(SORT)')

# ---- tests
# (a file of tests stays in one process, because its tests share what is slow to make)
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: $(READY)
	@$(PYTEST)
check: $(READY)
	@$(VENV)/bin/python -m ruff check
	@$(PYTEST)

look: $(CACHE_TRAIN)
	@$(LENSFOLD) look $(SELECT)

report: $(READY)
	@$(LENSFOLD) report $(SELECT) $(if $(SORT),--sort $(SORT))

ASKED := $(filter command line environment,$(origin PACK) $(origin DATA))
paper: $(READY) $(if $(ASKED),$(CATALOG))
	@$(LENSFOLD) paper --scale $(SCALE) $(if $(JOBS),--jobs $(JOBS)) $(if $(SKIP_BAD),--skip-bad) $(if $(filter command line environment,$(origin PACK)),--pack $(PACK)) $(if $(filter command line environment,$(origin DATA)),--data $(DATA))

bench: $(READY)
	@$(VENV)/bin/python -m benchmarks

clean:
	@echo "Nothing is deleted for you. Made by make: $(VENV) data/$(PACK) $(FOLDS_FILE) runs/$(PACK) submissions/$(PACK)"
