"""The stages. Importing this package sets up a stage's process and silences its libraries before they are imported."""

import logging
import os
import sys

from conceptcaps.workspace import cache, quiet

quiet.libraries()
for _name, _value in {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "TORCHINDUCTOR_CACHE_DIR": str(cache.root() / "torchinductor"),  # made at import, else in the temporary folder
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}.items():
    os.environ.setdefault(_name, _value)
for _name in ("alembic", "mlflow", "optuna", "httpx", "filelock"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# None stands for a package that is not there. trl imports this one if it can, and it makes folders that a kill leaves.
sys.modules["wandb"] = None  # type: ignore[assignment]
