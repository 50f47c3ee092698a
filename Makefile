# make demo    the whole pipeline on this machine, with the models that the package index carries
# make test    the whole test suite      make check   format, lint, types, tests, doctests
# Both build what they need: git, make and Python 3.11 with venv are enough to begin with.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
LAUNCHER := .launcher
VENV := .venv
RUN := $(VENV)/bin/python -m
UV := $(LAUNCHER)/bin/uv
HOST ?= 127.0.0.1
PORT ?= 5000

export PATH := $(CURDIR)/$(LAUNCHER)/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY ?= true
export GIT_PYTHON_REFRESH ?= quiet
# Compiled once at installation; every stage is a process of its own and would compile again where caches are off.
export UV_COMPILE_BYTECODE ?= 1

.PHONY: demo ui server test check format lint types doctest fast bench mutants vllm lock notebooks sample real mlproject docs clean

demo: $(LAUNCHER)/.done $(LAUNCHER)/quiet/uv
	@echo "The first time, the environment of the stages is installed before they begin."
	@PATH="$(abspath $(LAUNCHER)/quiet):$$PATH" MLFLOW_LOGGING_LEVEL=WARNING \
	  $(LAUNCHER)/bin/mlflow run . --env-manager uv --experiment-name conceptcaps

ui: $(LAUNCHER)/.done
	$(LAUNCHER)/bin/mlflow ui

# MLflow with accounts on sqlite, in the folder server/; the first start makes the user admin with the password given.
server: $(LAUNCHER)/.done
	@test -n "$$MLFLOW_AUTH_ADMIN_PASSWORD" || test -f server/accounts.db || \
	  { echo "expected MLFLOW_AUTH_ADMIN_PASSWORD, of 12 characters or more, got none: it will be admin's"; exit 2; }
	@mkdir -p server && umask 077 && cd server && \
	  { test -f secret || $(PYTHON) -c "import secrets; print(secrets.token_hex(32))" > secret; } && \
	  printf '%s\n' '[mlflow]' 'default_permission = READ' 'database_uri = sqlite:///accounts.db' \
	    'admin_username = admin' \
	    'authorization_function = mlflow.server.auth:authenticate_request_basic_auth' > accounts.ini
	cd server && MLFLOW_FLASK_SERVER_SECRET_KEY="$$(cat secret)" MLFLOW_AUTH_CONFIG_PATH=accounts.ini \
	  ../$(LAUNCHER)/bin/mlflow server --app-name basic-auth --workers 1 --host $(HOST) --port $(PORT) \
	    --backend-store-uri sqlite:///mlflow.db --artifacts-destination artifacts

# Two processes of one thread each: threads of both would wait for one another on two cores.
PYTEST := OMP_NUM_THREADS=1 $(RUN) pytest -n 2 --dist loadfile

test: $(VENV)/.done
	$(PYTEST)

fast: $(VENV)/.done
	$(PYTEST) -m "not slow"

check: format lint types doctest docs test

format: $(VENV)/.done
	$(RUN) ruff format --check

lint: $(VENV)/.done
	$(RUN) ruff check

types: $(VENV)/.done
	$(RUN) mypy

doctest: $(VENV)/.done
	$(RUN) pytest --doctest-modules conceptcaps --ignore conceptcaps/audio/audiocraft_worker.py  # of another environment

bench: $(VENV)/.done
	for file in benchmarks/[a-z]*.py; do $(RUN) benchmarks.$$(basename $$file .py) || exit 1; done

# Not a part of check: two hours or so on one core. COUNT mutants of each group (tools/mutants.py), drawn by seed.
COUNT ?= 60
mutants: $(VENV)/.done
	$(RUN) tools.mutants --count $(COUNT)

docs: $(VENV)/.done
	DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(RUN) mkdocs build --quiet --strict

# Their outputs are those of the newest runs of the tracking store: of a demo, run after make demo.
notebooks: $(VENV)/.done
	PYTHONPATH=. $(RUN) tools.notebooks

# Fifty rows of the newest dataset of the tracking store.
sample: $(VENV)/.done
	$(RUN) tools.sample

# Recordings of Debian's free games, heard by the detectors of the tracking store.
real: $(VENV)/.done
	$(RUN) tools.real

mlproject: $(VENV)/.done
	$(RUN) tools.mlproject

# An environment of its own for write_captions with engine=vllm: vLLM brings the torch that it was built for.
vllm: $(LAUNCHER)/.done
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .vllm
	$(UV) pip install --quiet --python .vllm/bin/python -r requirements-vllm.txt

COMPILE := pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11
# audiocraft pins a torch of 2023, a codec that has to be built, and a web page: ours, any, and none.
lock: $(LAUNCHER)/.done
	$(UV) $(COMPILE) requirements.in -o requirements.txt
	$(UV) $(COMPILE) requirements-dev.in -o requirements-dev.txt
	{ grep -v '^torch' requirements.in; echo 'vllm>=0.33'; } | $(UV) $(COMPILE) - -o requirements-vllm.txt
	{ grep '^torch' requirements.in; printf 'av\nxformers\ngradio; python_version < "3"\ntorchtext; python_version < "3"\n'; } > .overrides
	echo 'audiocraft==1.3.0' | $(UV) $(COMPILE) - --overrides .overrides -c requirements.txt -o requirements-audiocraft.txt
	rm .overrides

# The launcher holds MLflow and uv as they are locked; uv itself is the one package that pip installs, by its hashes.
$(LAUNCHER)/.done: requirements.txt
	@echo "The launcher, MLflow and uv, is installed in $(LAUNCHER)."
	@$(PYTHON) -m venv $(LAUNCHER)
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.txt > $(LAUNCHER)/uv.txt
	@$(LAUNCHER)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r $(LAUNCHER)/uv.txt
	@$(UV) pip install --quiet --python $(LAUNCHER)/bin/python -c requirements.txt 'mlflow[auth]' uv
	@touch $@

# uv as MLflow calls it, without its line for each of two hundred packages; its errors are shown. No setting says so.
$(LAUNCHER)/quiet/uv:
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nexec "%s" --quiet "$$@"\n' "$(abspath $(UV))" > $@
	@chmod +x $@

$(VENV)/.done: requirements.txt requirements-dev.txt $(LAUNCHER)/.done
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(VENV)/bin/python -r requirements.txt -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(LAUNCHER) $(VENV) .vllm site outputs mlruns mlartifacts mlflow.db
