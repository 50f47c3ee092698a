"""The database of a study that processes share: it may restart while they run, and any of them may die."""

import functools
import inspect
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError, ProgrammingError

from conceptcaps.errors import masked, one_line

_HEARTBEAT = 30  # seconds between signs of life of a running trial; after twice as many it counts as dead
_PATIENCE = 300  # seconds for which a database that is gone is waited for
_POLL = 1  # seconds between two questions to it
_GONE = (OperationalError, InterfaceError, StorageInternalError)
_TAKEN = ("already exists", "UNIQUE constraint", "duplicate key")  # another process made this table, or row, just now
_TRIES = 10


def _waiting(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a storage, asked again while the database is gone."""

    @functools.wraps(method)
    def ask(*arguments: Any, **named: Any) -> Any:
        started = time.monotonic()
        while True:
            try:
                return method(*arguments, **named)
            except _GONE:
                if time.monotonic() - started > _PATIENCE:
                    raise
                logging.getLogger(__name__).warning("no answer from the study's database: waiting for it")
                time.sleep(_POLL)

    return ask


class _Patient(RDBStorage):
    """Optuna's storage, which waits for a database that is restarted in the middle of a sweep."""


for _name, _method in vars(RDBStorage).items():
    if inspect.isfunction(_method) and not _name.startswith("__"):
        setattr(_Patient, _name, _waiting(_method))


class Storage(_Patient):
    """The storage of a study that processes share, any of which may die."""

    def __init__(self, url: str) -> None:
        """Open the database; a new one gets its tables, which other processes may be making at that moment.

        Raises:
            ConnectionError: If it does not answer or does not let us in.
        """
        for tries in range(_TRIES, 0, -1):
            try:
                super().__init__(
                    url,
                    engine_kwargs={} if url.startswith("sqlite:") else {"pool_pre_ping": True},
                    heartbeat_interval=_HEARTBEAT,
                    grace_period=2 * _HEARTBEAT,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
                )
                return
            except (IntegrityError, ProgrammingError, *_GONE) as error:
                reason = one_line(error.__cause__ or error).partition(" (Background")[0]
                if tries == 1 or not any(text in reason for text in _TAKEN):
                    raise ConnectionError(f"expected a database at storage={masked(url)}, got: {reason}") from None
                time.sleep(random.uniform(0, _POLL))

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """As Optuna's, with a first sign of life: a trial without any is waited for for ever, once its process died."""
        trial = super()._create_new_trial(study_id, template_trial)
        if trial.state == TrialState.RUNNING:
            self.record_heartbeat(trial._trial_id)
        return trial

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's, with a sign of life before a waiting trial is run."""
        if state == TrialState.RUNNING:
            self.record_heartbeat(trial_id)
        return super().set_trial_state_values(trial_id, state, values)
