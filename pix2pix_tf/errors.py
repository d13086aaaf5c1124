"""Errors that users can cause or meet, each with a message of one line: what is wrong, where, what to do.

Messages spell settings as flags: ``--run-dir`` is ``run_dir`` in Python. The command line prints the message
without a traceback and exits with ``exit_code``.
"""


class Pix2pixError(Exception):
    """Base of all errors of this package; its message is one line."""

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(" ".join(message.splitlines()))  # text from a file may have several


class UserError(Pix2pixError):
    """The input is wrong: a flag, a file, a folder, a run directory."""

    exit_code = 2


class ConfigError(UserError):
    """A flag or a combination of flags is invalid."""


class DataError(UserError):
    """An image, a folder or a data set can't be used."""


class RunError(UserError):
    """A run directory can't be read, or can't be resumed with these settings."""


class DamagedCheckpoint(RunError):
    """A checkpoint exists but can't be read."""


class SystemFault(Pix2pixError):
    """The system failed: disk full, no network, no permission."""


class TrainingDiverged(Pix2pixError):
    """A loss or a weight is not finite."""

    exit_code = 3


class VerificationFailed(Pix2pixError):
    """An exported model's outputs differ from the trained model's; it was not published."""

    exit_code = 4


class HostLost(Pix2pixError):
    """Another host of the training is missing, so all hosts must be restarted.

    The exit code is SIGTERM's, like that of a host that was stopped and has saved: orchestrators restart it.
    """

    exit_code = 128 + 15


class Interrupted(Pix2pixError):
    """A command stopped on a signal, after saving; the exit code is 128 + ``signal_number``."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number
