"""The code that MLflow runs to load a registered model ("models from code"); nothing of it is pickled.

It stands on its own: beside it lies ``code/conceptcaps.zip`` with the part of the library that the model needs.
"""

import importlib
import json
import logging
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT as TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR
from mlflow.pyfunc import PythonModel, PythonModelContext

WEIGHTS = "weights"
ARCHIVE = "conceptcaps.zip"
PATIENCE = 3600  # seconds: on CPUs a request of some hundred captions takes many minutes


class Answer(MlflowException):
    """An error as the server answers it: one sentence, without the request's rows and the server's paths."""

    def __init__(self, sentence: str, error_code: int) -> None:
        """Keep the sentence, which the scoring server would put the whole request in front of."""
        super().__init__(sentence, error_code=error_code)
        self._sentence = sentence

    def serialize_as_json(self) -> str:
        """The body of the answer."""
        return json.dumps({"error_code": self.error_code, "message": self._sentence})


class LibraryModel(PythonModel):
    """Serves a folder of weights with ``load`` and ``predict`` of the library module that wrote it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights once, when the server starts, and let a request take an hour unless the user said how long.

        The server reads its limit after this. MLflow's own, a minute, reaches it as if it had been asked for.
        """
        if TIMEOUT.get() == TIMEOUT.default:
            os.environ[TIMEOUT.name] = str(PATIENCE)
        self._library = importlib.import_module(context.model_config["module"])
        self._model = self._library.load(Path(context.artifacts[WEIGHTS]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row of the library module's answer for each row; columns that a request leaves out have their defaults.

        Raises:
            Answer: 400 for rows that the library refuses, 500 for a fault of its own, which the server's log shows.
        """
        from conceptcaps.errors import InputError  # of the archive, which is open by now

        defaults = getattr(self._library, "DEFAULTS", {})
        missing = {name: value for name, value in defaults.items() if name not in model_input.columns}
        try:
            return self._library.predict(self._model, model_input.assign(**missing), **(params or {}))
        except InputError as error:
            raise Answer(" ".join(str(error).split()), BAD_REQUEST) from None
        except Exception:
            logging.getLogger(__name__).exception("the model failed")
            raise Answer("the model failed on these rows; the server's log says why", INTERNAL_ERROR) from None


_archive = Path(__file__).parent / "code" / ARCHIVE
if _archive.exists() and "conceptcaps" not in sys.modules:
    _unpacked = tempfile.TemporaryDirectory(prefix="conceptcaps-")
    zipfile.ZipFile(_archive).extractall(_unpacked.name)
    sys.path.insert(0, _unpacked.name)
set_model(LibraryModel())
