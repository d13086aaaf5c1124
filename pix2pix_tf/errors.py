"""The errors that a user can cause or meet, each one line that says what, where and what to do.

A message spells settings as flags: ``--run-dir`` is ``run_dir`` in Python. The command line prints it after
``pix2pix: error:`` and leaves with ``exit_code``; nobody should ever read a traceback for one of these.
"""


class Pix2pixError(Exception):
    """Base of all errors below. The message is one line: what is wrong, where, what to do."""

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(" ".join(message.splitlines()))  # what it quotes from a file may have several


class UserError(Pix2pixError):
    """Something that was given is wrong: a flag, a file, a folder, a run directory."""

    exit_code = 2


class ConfigError(UserError):
    """A flag or a combination of flags has no meaning."""


class DataError(UserError):
    """An image, a folder or a data set can't be used."""


class RunError(UserError):
    """A run directory can't be read or can't be continued as asked."""


class DamagedCheckpoint(RunError):
    """A checkpoint's files are there, and can't be read."""


class SystemFault(Pix2pixError):
    """The system failed, not the user: disk full, no network, no permission."""

    exit_code = 1


class TrainingDiverged(Pix2pixError):
    """A loss or a weight is no longer finite."""

    exit_code = 3


class VerificationFailed(Pix2pixError):
    """The outputs of an exported model are not the trained model's; it was not published."""

    exit_code = 4


class HostLost(Pix2pixError):
    """Another host of the training did not come, or is gone: all are to be started again.

    Orchestrators do that by the exit code: SIGTERM's, as for a host that was to stop and has saved.
    """

    exit_code = 128 + 15


class Interrupted(Pix2pixError):
    """Training stopped on a signal, after saving.

    Args:
        message: what was saved, and how to go on.
        signal_number: the signal that stopped it; the exit code is 128 more.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number
