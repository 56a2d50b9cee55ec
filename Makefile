# lensfold: make sets up and makes simulated packs; `lensfold run` decides what is left to do, and does it.
#
#   make folds train predict            the whole way, on the sample pack (made on first use)
#   make train EXPERIMENT=x FOLD=0      a first look at one fold
#   make jobs                           what the pack still needs, job by job, and how far each is
#   make rank CUTOUTS=<folder>          Euclid cutouts in, a ranked list and a page to look at out
#   make grade                          play organiser: score the submission against a simulated pack's key
#   make leaderboard | make report      every run and submission, best first | HTML pages of them
#   make look | make bench              pictures of the pack | what the kit costs
#   make paper SCALE=smoke              the seed paper's tables and figures on a pack, into paper/README.md
#   make test | make check | make ray   tests | style, types, all tests | install what EXECUTOR=ray needs
#   make torture HOURS=1 SEED=0         kill, damage and edit a small project at random: the right bytes, or a refusal
#
# PACK=<name> or DATA=<folder> selects a pack, SUBMISSION=<name> the members, EXPERIMENT="<names>" what is trained,
# FOLD="<numbers>" which folds, TRAINED=<pack> predicts with another pack's runs, SKIP_BAD=1 skips unusable objects,
# EXECUTOR=local|ray|slurm runs jobs, JOBS=<n> at a time, ADDRESS=<host:port> joins Ray, PARTS=<n> divides the splits,
# GPUS=<n> a network's job under SLURM, STAGE=<folder> copies caches there, PREVALENCE=<share> and TEACH=<n> are for rank,
# SORT=<score> sorts, SCALE=smoke|default|full sizes the paper, MAGZERO=<list> TABLE=<csv> read cutouts.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.SUFFIXES:
PYTHON ?= python3
REQUIREMENTS ?= requirements.txt
VENV ?= .venv
SCALE ?= default
# values reach the shell as they were typed, in single quotes, FOLD="0 1" as --fold '0' --fold '1', and nothing else
unexport PACK DATA EXPERIMENT FOLD SUBMISSION TRAINED EXECUTOR JOBS ADDRESS PARTS GPUS STAGE PREVALENCE SORT CUTOUTS SKIP_BAD MAGZERO TABLE HOURS SEED TEACH
export NO_ALBUMENTATIONS_UPDATE := 1
export TF_CPP_MIN_LOG_LEVEL := 2
LENSFOLD := $(VENV)/bin/python -m lensfold
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check
INSTALL = $(if $(shell command -v uv),uv pip install --python $(VENV)/bin/python,$(PIP)) --quiet
READY := $(VENV)/.installed
STEPS := folds cache train predict
SIMULATED := $(if $(value DATA),,$(filter sample smoke challenge challenge-1 euclid away euclid-10,$(or $(value PACK),sample)))

quoted = '$(subst ','\'',$1)'
option = $(foreach one,$(value $1),--$2 $(call quoted,$(one)))
whole = $(if $(value $1),--$2 $(call quoted,$(value $1)))
PLACE = $(call whole,PACK,pack) $(call whole,DATA,data)
TRAINING = $(call option,EXPERIMENT,experiment) $(call option,FOLD,fold) $(call whole,SUBMISSION,submission)
TRAINING += $(call whole,TRAINED,trained-on) $(call whole,PARTS,parts)
RUNNING = $(call whole,EXECUTOR,executor) $(call whole,JOBS,jobs) $(call whole,GPUS,gpus) $(call whole,ADDRESS,address)
RUNNING += $(call whole,STAGE,stage) $(if $(value SKIP_BAD),--skip-bad)

.PHONY: help run $(STEPS) rank jobs grade leaderboard report look paper test check bench torture ray
help: ;@sed -n 's/^#   make/  make/p' Makefile

# by content, since git gives every file that it checks out a new time
$(READY): $(REQUIREMENTS) pyproject.toml
	@if cat $^ | cmp -s - $@; then touch $@; exit; fi; \
	$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] <= (3, 13); ok or sys.exit("error: $(PYTHON) is Python %d.%d; lensfold runs on 3.11, 3.12 and 3.13. Choose one with PYTHON=python3.12" % sys.version_info[:2])'; \
	$(PYTHON) src/lensfold/platforms.py; \
	echo "Installing into $(VENV) (once)"; \
	rm -rf $(VENV); $(PYTHON) -m venv $(VENV); \
	$(INSTALL) -r $(REQUIREMENTS); $(INSTALL) --no-deps --no-build-isolation -e .; \
	cat $^ > $@
ray: $(READY) ;@$(INSTALL) -r requirements-ray.txt

data/%/image_catalog2.0train.csv: | $(READY)
	@$(LENSFOLD) simulate --data $(@D) --twins $(if $(filter %-10,$*),--profile $(*:-10=) --side 100)

$(STEPS): run ;@:
run: $(READY) $(SIMULATED:%=data/%/image_catalog2.0train.csv)
	@$(LENSFOLD) run $(filter $(STEPS),$(MAKECMDGOALS)) $(PLACE) $(TRAINING) $(RUNNING)
rank: $(READY)
	@$(LENSFOLD) rank $(PLACE) $(call whole,TRAINED,trained-on) $(call whole,SUBMISSION,submission) $(call whole,MAGZERO,magzero) $(call whole,TABLE,table) $(call whole,PREVALENCE,prevalence) $(call whole,TEACH,teach) $(if $(value CUTOUTS),-- $(call quoted,$(value CUTOUTS)))
jobs grade leaderboard report look: $(READY)
	@$(LENSFOLD) $@ $(PLACE) $(if $(filter grade,$@),$(call whole,SUBMISSION,submission)) $(if $(filter jobs,$@),$(TRAINING)) $(if $(filter look,$@),$(if $(value SKIP_BAD),--skip-bad)) $(if $(filter leaderboard report,$@),$(call whole,SORT,sort))
paper: $(READY)
	@$(LENSFOLD) paper --scale $(call quoted,$(SCALE)) $(PLACE) $(call whole,JOBS,jobs) $(if $(value SKIP_BAD),--skip-bad)
bench: $(READY) ;@$(VENV)/bin/python -m benchmarks
torture: $(READY) ;@$(VENV)/bin/python tests/torture.py $(call whole,HOURS,hours) $(call whole,SEED,seed)
test: $(READY) ;@$(PYTEST) -m "not ray and not slurm and not browser"
check: $(READY)
	@$(VENV)/bin/python -m ruff check
	@$(VENV)/bin/python -m mypy
	@$(PYTEST)
