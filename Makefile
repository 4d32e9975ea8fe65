# The two main commands are make figures and make test. `make` lists all targets.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 3

# Options of make figures. PROFILE: smoke, quick, paper or published; empty: paper with an NVIDIA card, else quick.
# NOTEBOOKS: run only these, for example NOTEBOOKS=03_comparison; empty: all.
PROFILE ?=
# Passed through the environment, which preserves quotes.
export DATASETS ?= casting cloud
PROTOCOL ?= paper grouped
SEED ?= 0
DATA ?= auto
ON_ERROR ?= raise
RESIZE ?= letterbox
PUBLISH ?=
NOTEBOOKS ?=

# Options of make sets: folders, comma-separated methods (empty: all), minutes per training.
SETS ?=
METHODS ?=
MINUTES ?= 5

# Options of make experiments: minutes, steps of GANomaly and of DCGAN, names of questions.
BUDGET ?= 20
STEPS ?= 300
DCGAN_STEPS ?= 600
QUESTIONS ?= all

# Option of make torture: the number of kills.
KILLS ?= 20

# Options of make bench: repetitions of each pair, and training steps of the 128x128 networks.
REPEATS ?= 3
TRAIN ?= 100

.DEFAULT_GOAL := help
.PHONY: help setup figures experiments sets docs example test test-browser coverage torture test-oldest audit bench lint format lab clean clean-all

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'
	@echo 'Options of make figures: PROFILE=smoke|quick|paper|published DATASETS="casting cloud FOLDER" PROTOCOL="paper grouped" SEED=0 DATA=auto|kaggle|generated|FOLDER ON_ERROR=raise|skip RESIZE=letterbox|crop|squeeze PUBLISH=1 NOTEBOOKS=03_comparison'

setup: $(VENV)/ready ## create .venv and install the requirements (other targets do this automatically)

# With an NVIDIA card, install TensorFlow's CUDA build instead of the CPU build.
$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "Error: $(PYTHON) is $$($(PYTHON) --version 2>&1), but TensorFlow requires 3.11, 3.12 or" \
	       "3.13. Install one and pass its name, for example make PYTHON=python3.12." >&2; \
	  exit 1; }
	@echo "Setting up $(VENV) (about three minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@if nvidia-smi -L >/dev/null 2>&1; then \
	  sed 's/^tensorflow-cpu==/tensorflow[and-cuda]==/' requirements.txt; \
	else cat requirements.txt; fi > $(VENV)/requirements.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-compile -r $(VENV)/requirements.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
# pip would compile on one core. Some packages contain files that do not compile.
	@$(RUN) -m compileall -q -j 0 -x '/tests/' $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

figures: $(VENV)/ready ## execute the notebooks that are not up to date; figures go to figures/<profile>-local (-generated without real images); PUBLISH=1: to figures/<profile>, which git tracks
	@$(RUN) -m ganlib.pipeline --profile "$(PROFILE)" --datasets "$$DATASETS" --protocols $(PROTOCOL) --seeds $(SEED) --data "$(DATA)" --on-error "$(ON_ERROR)" --resize "$(RESIZE)" --publish "$(PUBLISH)" --notebooks $(NOTEBOOKS)

# Kernel output goes to the log. On an error, its last line is printed.
experiments: PLACE = runs/$(or $(PROFILE),quick)
experiments: SEED = 0 1 2
experiments: $(VENV)/ready ## execute 07_experiments, which judges the paper's claims, or continue where it stopped: BUDGET=20 (minutes) STEPS=300 DCGAN_STEPS=600 QUESTIONS="size latent" SEED="0 1 2"; other options as for make figures
	@mkdir -p $(PLACE)
	@echo "Training for at most $(BUDGET) minutes, then drawing figures: see $(PLACE)/07_experiments.ipynb ..."
	@cd notebooks && GANLIB_PUBLISH="$(PUBLISH)" GANLIB_DATA="$(abspath $(GANLIB_DATA))" ../$(RUN) -m papermill 07_experiments.ipynb ../$(PLACE)/07_experiments.ipynb --kernel python3 --no-progress-bar -r profile "$(or $(PROFILE),quick)" -r datasets "$$DATASETS" -r protocols "$(PROTOCOL)" -r seeds "$(SEED)" -r source "$(if $(filter auto kaggle generated,$(DATA)),$(DATA),$(abspath $(DATA)))" -r questions "$(QUESTIONS)" -p budget_minutes "$(BUDGET)" -p steps "$(STEPS)" -p dcgan_steps "$(DCGAN_STEPS)" 2> ../$(PLACE)/07_experiments.log || { grep . ../$(PLACE)/07_experiments.log | tail -n 1 >&2; exit 1; }
	@touch $(PLACE)/07_experiments.done.json  # for make docs
	@echo "Figures: figures/$(or $(PROFILE),quick)*/experiment*"

sets: $(VENV)/ready ## compare methods on folders of images: SETS="folder 'my folder'" METHODS=auto,GANomaly MINUTES=5 SEED=0
	@$(RUN) -m ganlib sets $(SETS) --methods "$(METHODS)" --minutes "$(MINUTES)" --seed "$(SEED)"

example: $(VENV)/ready ## draw castings, train a small detector on good ones and score others, in example/
	@rm -rf example
	@$(RUN) -m benchmarks.example
	@$(RUN) -m ganlib train example/good --output example/castings.keras --method segmentator --image-size 64 --filters 8 --steps 150 --minutes 2
	@echo "Try these commands next (run here once):"
	$(VENV)/bin/ganlib score example/castings.keras example/parts
	$(VENV)/bin/ganlib score example/castings.keras example/parts --report example/report.html

$(VENV)-docs/ready: docs/requirements.txt
	@$(PYTHON) -m venv $(VENV)-docs
	@$(VENV)-docs/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

docs: $(VENV)/ready $(VENV)-docs/ready ## build a site with the pages, executed notebooks, API and command-line help in site/
	@rm -rf build/docs && mkdir -p build/docs
	@$(RUN) -m typer ganlib.__main__ utils docs --name ganlib > build/docs/command-line.md
	@NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --quiet
	@echo "Open site/index.html. Search requires a server: python3 -m http.server -d site"

test: $(VENV)/ready ## run the tests
	@$(RUN) -m pytest -n 2 --dist worksteal

test-browser: $(VENV)/ready ## open every notebook in JupyterLab in headless Chromium, and run its cells
	@$(RUN) -m pytest -m browser -n 2 --dist loadfile

coverage: $(VENV)/ready ## run the tests and list the lines of ganlib that none of them covers
	@$(RUN) -m pytest -n 2 --dist worksteal --cov=ganlib --cov-report=term-missing:skip-covered --cov-fail-under=95

torture: $(VENV)/ready ## kill runs at random moments, read damaged files, and print a table of what was lost; KILLS=20
	@$(RUN) tests/torture.py --kills "$(KILLS)"

test-oldest: ## run the tests with the oldest versions that pyproject.toml allows, in a separate environment
	@$(PYTHON) -m venv $(VENV)-oldest
	@$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/oldest.txt
	@PYTHONPATH=. $(VENV)-oldest/bin/python -m pytest -n 2 --dist worksteal

audit: $(VENV)/ready ## check installed packages for known vulnerabilities, and ganlib for unsafe code
	@$(PYTHON) -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 bandit==1.9.4
	@$(VENV)-audit/bin/bandit --quiet --recursive ganlib --severity-level medium
	@$(VENV)-audit/bin/pip-audit --strict --requirement requirements.txt

bench: $(VENV)/ready ## measure the speed of ganlib and of the published loops; REPEATS=5 TRAIN=300 for a longer run
	@$(RUN) -m benchmarks --data "$(DATA)" --repeats "$(REPEATS)" --train "$(TRAIN)"

lint: $(VENV)/ready ## check style, imports, and that notebooks have no output
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(VENV)/bin/lint-imports --no-cache
	@$(RUN) -m nbstripout --verify notebooks/*.ipynb

format: $(VENV)/ready ## fix style and strip notebooks
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .
	@$(RUN) -m nbstripout notebooks/*.ipynb

lab: $(VENV)/ready ## open the notebooks in JupyterLab
	@$(RUN) -m jupyter lab notebooks

clean: ## delete runs, site, example, decoded images and caches; keep figures, .venv and the images
	@rm -rf runs data/cache .pytest_cache .ruff_cache .coverage build site example *.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean ## also delete .venv and generated images
	@rm -rf $(VENV) $(VENV)-oldest $(VENV)-audit $(VENV)-docs data/generated
