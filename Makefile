# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PY := .venv/bin/python
# Of the tests; each has portals of its own (about 4 GB).
PROCESSES ?= 2
export PYTHONPATH := scripts/dev:deployment/quickstart:streamlit-service

.PHONY: help demo demo-down demo-clean test check lint types faults images soak screenshots bench share error-codes lock lock-image venv engine browser
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: engine ## The whole portal on this machine, with the main job done once
	@python3 scripts/dev/demo.py up

demo-down: ## Stop everything that the demo started
	@if docker version >/dev/null 2>&1; then python3 scripts/dev/demo.py down; fi
	@scripts/dev/engine.sh down

demo-clean: ## Stop the demo and delete its data
	@if [ -e .demo ]; then scripts/dev/engine.sh up && python3 scripts/dev/demo.py clean; else echo "No demo was started here."; fi
	@scripts/dev/engine.sh down

check: lint ## The quick part: linters, types, unit tests
	@$(PY) -m pytest -n $(PROCESSES) tests/unit

lint: venv types ## Linters and types alone
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check -q .
	@.venv/bin/lint-imports --no-logo > .lint-imports.log || { cat .lint-imports.log; exit 1; }
	@.venv/bin/shellcheck $$(git ls-files '*.sh' .ci/run)
	@for f in $$(git ls-files '*Dockerfile*' | grep -v dockerignore); do .venv/bin/hadolint -c .hadolint.yaml $$f || exit 1; done

types: venv
	@.venv/bin/mypy
	@cd streamlit-service/front && PATH="$(CURDIR)/.venv/bin:$$PATH" npm run -s check

test: ## Everything, on a bare machine too
	@mkdir -p .cache
	@$(MAKE) --no-print-directory -j 2 lint browser
	@$(PY) -m pytest -n $(PROCESSES) --cov --cov-report= tests/unit
	@echo "Unit tests cover $$($(PY) -m coverage report --format=total) % of the source, branches included (.venv/bin/coverage report names files)."
	@$(PY) -m pytest -n $(PROCESSES) --dist loadfile tests/component tests/system

faults: venv engine ## Every fault: services killed at each step and under load, VMs, disks, registry, clock
	@PORTAL_FAULTS=all $(PY) -m pytest -v tests/unit/jobs/test_crash_points.py tests/unit/jobs/test_world.py tests/unit/db/test_backup_crashes.py tests/system/faults

images: venv engine ## Every image through the whole pipeline (make test: without those with frameworks)
	@PORTAL_EVERY_IMAGE=1 $(PY) -m pytest -v tests/system/test_gpu_images.py

soak: venv engine ## Half an hour of work and faults: no service grows (MINUTES=30)
	@PORTAL_SOAK_MINUTES=$(or $(MINUTES),30) $(PY) -m pytest -q -s tests/system/soak.py

screenshots: browser venv ## Take the pictures of the guides anew
	@PORTAL_SCREENSHOTS=1 $(PY) -m pytest $$(grep -lE 'photograph\(' tests/system/test_*.py)

bench: venv browser demo ## Speed of the demo, as ratios in one run (ROWS="start authz" for some)
	@PYTHONPATH=$(PYTHONPATH):tests/system $(PY) scripts/dev/benchmarks/bench.py $(ROWS)

share: ## Copy what all images share (images/shared) into each image's folder
	@scripts/dev/share.sh

error-codes: venv ## docs/ERROR_CODES.md anew from the list of error codes
	@$(PY) scripts/dev/error_codes.py

lock: venv ## Resolve requirements anew
	@for f in streamlit-service/requirements streamlit-service/requirements-uv requirements-dev; do \
	  .venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -q $$f.in -o $$f.txt; done
	@.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -q streamlit-service/front/requirements.in -o streamlit-service/front/requirements.txt
	@cd streamlit-service/front && PATH="$(CURDIR)/.venv/bin:$$PATH" npm update --ignore-scripts --no-audit --no-fund --silent
	@.venv/bin/uv pip compile --python-version 3.11 --generate-hashes --no-header --no-emit-index-url -q streamlit-service/publishing/requirements.in -o streamlit-service/publishing/requirements.txt
	@cp streamlit-service/requirements-uv.txt images/shared/
	@$(MAKE) -s lock-image

IMAGE_LOCKS = ml-cpu/requirements:3.11 gpu-jupyter/requirements:3.10 gpu-pytorch/requirements:3.11 \
    gpu-pytorch/requirements-kernel:3.11 gpu-tensorflow/requirements:3.11 gpu-tensorflow/requirements-kernel:3.11 \
    gpu-tensorflow/requirements-cuda:3.10
lock-image: venv ## Resolve the requirements of one image anew: IMAGE=ml-cpu
	@for one in $(if $(IMAGE),$(filter $(IMAGE)/%,$(IMAGE_LOCKS)),$(IMAGE_LOCKS)); do \
	  .venv/bin/uv pip compile --universal --python-version $${one#*:} --generate-hashes --no-header --no-emit-index-url \
	    --allow-unsafe -q images/$${one%:*}.in -o images/$${one%:*}.txt; done

venv:
	@scripts/dev/venv.sh

engine:
	@scripts/dev/engine.sh up

browser: engine  # both may install packages
	@scripts/dev/browser.sh
