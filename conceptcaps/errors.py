"""Which failures a user can mend: they become one line; anything else is a bug and shows its traceback."""

import dis
import re
from types import TracebackType

_OURS = ("conceptcaps", "entrypoints")
_PASSWORD = re.compile(
    r"(?P<user>://[^/\s:@\[]*:)(?:[^/\s]*@|(?!\d{0,5}/)\S*@)"  # with a slash in it, but no port and path
    r"|(?P<name>[?&][\w.-]*(?:password|passwd|token|secret\w*)=)[^&\s]+",
    re.IGNORECASE,
)


class Failure(Exception):
    """Something that cannot be done here and now, for a reason outside the code: ``str`` says what to do."""

    exit_code = 1


class Refused(Failure):
    """A gate that does not hold: nothing is broken, and nothing was changed."""

    exit_code = 3


def is_expected(error: BaseException) -> bool:
    """Whether a failure is not the code's fault: a ``Failure``, the machine's or the network's, or a refused input.

    A refused input is a ``ValueError`` that a ``raise`` statement of this project raised; ``int("x")``, or a
    ``ValueError`` out of a library, is a bug.

    >>> is_expected(Failure("no space")), is_expected(FileNotFoundError()), is_expected(KeyError("tags"))
    (True, True, False)
    """
    if isinstance(error, Failure | OSError):
        return True
    return isinstance(error, ValueError) and error.__traceback__ is not None and _raised_here(error.__traceback__)


def _raised_here(traceback: TracebackType) -> bool:
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    name = str(traceback.tb_frame.f_globals.get("__name__", ""))
    module = name if name != "__main__" else str(getattr(traceback.tb_frame.f_globals.get("__spec__"), "name", ""))
    instruction = traceback.tb_frame.f_code.co_code[traceback.tb_lasti]
    return module.split(".")[0] in _OURS and dis.opname[instruction] == "RAISE_VARARGS"


def one_line(error: BaseException) -> str:
    """An error's message without line breaks and passwords, or the name of its class if it has none."""
    return masked(" ".join(str(error).split())) or type(error).__name__


def masked(text: str) -> str:
    """A text with the passwords of its URLs left out.

    >>> masked("no answer from https://me:secret@example.org/mlflow")
    'no answer from https://me:***@example.org/mlflow'
    >>> masked("postgresql://host/db?user=me&password=secret&sslmode=require")
    'postgresql://host/db?user=me&password=***&sslmode=require'
    """
    return _PASSWORD.sub(lambda found: f"{found['user']}***@" if found["user"] else f"{found['name']}***", text)
