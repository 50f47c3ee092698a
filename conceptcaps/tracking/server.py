"""The tracking server: whether it answers, waiting for it, what is in it, and passwords that must not reach it."""

import collections
import logging
import os
import sys
import time
from collections.abc import Mapping

import mlflow
import requests
from mlflow.exceptions import MlflowException

from conceptcaps.errors import InputError, masked, one_line
from conceptcaps.tracking.store import client, search

_UNAUTHORIZED = 401
_PATIENCE, _PAUSE = 300.0, 5.0  # seconds
_URLLIB3 = logging.getLogger("urllib3.connectionpool")


def require(*, patient: bool = False) -> None:
    """Fail at once, before any work is done, if the named tracking server does not answer.

    Later, in the middle of a stage, MLflow's client waits some minutes for a server that is gone (it asks again after
    2, 4, 8 … seconds, ``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` times), and a line says so.

    Args:
        patient: Wait five minutes for it, as a step of a pipeline that has work behind it.

    Raises:
        ConnectionError: If ``/health`` of the server gives no answer within five seconds, or it does not let us in.
    """
    uri = mlflow.get_tracking_uri()
    if uri.startswith(("http://", "https://")):
        end, said = time.monotonic() + (_PATIENCE if patient else 0), False
        while (fault := _unhealthy(uri)) is not None:
            if time.monotonic() >= end:
                raise ConnectionError(
                    f"expected a tracking server at MLFLOW_TRACKING_URI={masked(uri)}, got {fault}; "
                    "start it (make server) or unset the variable to use the local store"
                )
            if not said:
                print(f"waiting for the tracking server at {masked(uri)}: {fault}", file=sys.stderr, flush=True)
                said = True
            time.sleep(_PAUSE)
        _require_login(uri)
        if not any(isinstance(one, _SayThatItWaits) for one in _URLLIB3.filters):
            _URLLIB3.addFilter(_SayThatItWaits())


def _unhealthy(uri: str) -> str | None:
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=5).raise_for_status()
    except requests.RequestException as error:
        return type(error).__name__
    return None


def _require_login(uri: str) -> None:
    try:
        client().search_experiments(max_results=1)
    except MlflowException as error:
        if error.get_http_status_code() != _UNAUTHORIZED and f"error code {_UNAUTHORIZED}" not in str(error):
            raise
        raise ConnectionError(
            f"expected MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of an account of {masked(uri)}, "
            f"got {'others' if os.environ.get('MLFLOW_TRACKING_USERNAME') else 'none'}"
        ) from None


def require_permission(error: MlflowException) -> None:
    """Say which permission a refused request lacks.

    Raises:
        ConnectionError: If the server refused because the user may not write.
    """
    if error.error_code == "PERMISSION_DENIED":
        raise ConnectionError(
            f"expected a user of {masked(mlflow.get_tracking_uri())} who may write to the experiment, got "
            f"{os.environ.get('MLFLOW_TRACKING_USERNAME', 'one')!r} who may only read: ask its owner for EDIT"
        ) from None


def state() -> str:
    """What is in the store, in words: its address, runs by status, models and their champions.

    Raises:
        ConnectionError: If a server does not answer or does not let us in.
    """
    require()
    try:
        runs = search("attributes.status != ''")
        models = {model.name: dict(model.aliases) for model in client().search_registered_models()}
    except MlflowException as error:
        raise ConnectionError(f"{masked(mlflow.get_tracking_uri())}: {one_line(error)}") from None
    counts = collections.Counter(str(run.info.status) for run in runs)
    crowned = [f"{name} champion {aliases.get('champion', 'none')}" for name, aliases in models.items()]
    words = [f"{number} {status}" for status, number in sorted(counts.items())] or ["no runs"]
    return f"{masked(mlflow.get_tracking_uri())}: {', '.join([*words, *crowned])}"


class _SayThatItWaits(logging.Filter):
    """In place of urllib3's warning, which names its classes: who is waited for."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep all other records."""
        if not record.msg.startswith("Retrying (%r) after connection broken"):
            return True
        print(f"no answer from {masked(mlflow.get_tracking_uri())}: waiting for it", file=sys.stderr, flush=True)
        return False


class PasswordGiven(InputError):
    """A parameter holds a password, and parameters are kept."""


def refuse_passwords(params: Mapping[str, object]) -> None:
    """Refuse a parameter that is a URL with a password.

    Raises:
        PasswordGiven: If there is one. ``mlflow run`` has logged it by then: its run must be deleted.
    """
    for name, value in params.items():
        if masked(str(value)) != str(value):
            raise PasswordGiven(
                f"expected {name} without a password, got {masked(str(value))}: parameters are logged; leave it out of "
                "the URL and set PGPASSWORD, or write it into ~/.pgpass. The run is deleted (mlflow gc removes it)"
            )
