"""Which failures a user can mend: they become one line; anything else is a bug and shows its traceback."""

import re

_PASSWORD = re.compile(
    r"(?P<user>://[^/\s:@\[]*:)(?:[^/\s]*@|(?!\d{0,5}/)\S*@)"  # with a slash in it, but no port and path
    r"|(?P<name>[?&][\w.-]*(?:password|passwd|token|secret\w*)=)[^&\s]+",
    re.IGNORECASE,
)


class Failure(Exception):
    """Something that cannot be done here and now, for a reason outside the code: ``str`` says what to do."""

    exit_code = 1


class Refused(Failure):
    """A gate that refused: nothing is broken, and nothing was changed."""

    exit_code = 3


class InputError(Failure, ValueError):
    """What was given is not what was expected: ``str`` says what was expected, what came, and what to do."""


def is_expected(error: BaseException) -> bool:
    """Whether a failure is not the code's fault: a ``Failure``, or the machine's or the network's (``OSError``).

    >>> is_expected(InputError("expected a tag")), is_expected(FileNotFoundError()), is_expected(ValueError("int"))
    (True, True, False)
    """
    return isinstance(error, Failure | OSError)


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
