"""A tracking server that is down, that comes back, and passwords that must not reach it."""

import logging
import sys
from collections.abc import Mapping

import mlflow
import requests

from conceptcaps.errors import masked

_URLLIB3 = logging.getLogger("urllib3.connectionpool")


def require() -> None:
    """Fail at once where a tracking server is named that does not answer, before any work is done.

    Later, in the middle of a stage, MLflow's client waits some minutes for a server that is gone (it asks again after
    2, 4, 8 … seconds, ``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` times), and a line says so.

    Raises:
        ConnectionError: If ``/health`` of the server gives no answer within five seconds.
    """
    uri = mlflow.get_tracking_uri()
    if uri.startswith(("http://", "https://")):
        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=5).raise_for_status()
        except requests.RequestException as error:
            raise ConnectionError(
                f"expected a tracking server at MLFLOW_TRACKING_URI={masked(uri)}, got {type(error).__name__}; "
                "start it (make server) or unset the variable to use the local store"
            ) from None
        if not any(isinstance(one, _SayThatItWaits) for one in _URLLIB3.filters):
            _URLLIB3.addFilter(_SayThatItWaits())


class _SayThatItWaits(logging.Filter):
    """In place of urllib3's warning, which names its classes: who is waited for."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep all other records."""
        if not record.msg.startswith("Retrying (%r) after connection broken"):
            return True
        print(f"no answer from {masked(mlflow.get_tracking_uri())}: waiting for it", file=sys.stderr, flush=True)
        return False


class PasswordGiven(ValueError):
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
                "the URL and set PGPASSWORD, or write it into ~/.pgpass. The run is deleted (mlflow gc takes it away)"
            )
