"""Holds a child process before each of its file operations, and lets the parent decide what becomes of it.

The kernel does it (``seccomp``'s user notification, Linux 5.19 and newer, no privileges, no compiler): every
operation of every thread and every descendant is stopped on entry, TensorFlow's in C++ as Python's. The
parent may let it happen, answer it with an error, copy the files as they are at that instant, or kill.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import fcntl
import functools
import os
import platform
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

# Of x86-64: how each call names its file. "fd": an open file in argument 0; a number: a path in that
# argument; "at": a path in argument 1, below the folder that argument 0 is.
_CALLS: dict[int, tuple[str, str | int]] = {
    1: ("write", "fd"),
    18: ("write", "fd"),  # pwrite64
    20: ("write", "fd"),  # writev
    40: ("write", "fd"),  # sendfile
    296: ("write", "fd"),  # pwritev
    74: ("fsync", "fd"),
    75: ("fsync", "fd"),  # fdatasync
    77: ("truncate", "fd"),  # ftruncate
    76: ("truncate", 0),
    82: ("rename", 0),
    264: ("rename", "at"),  # renameat
    316: ("rename", "at"),  # renameat2
    83: ("mkdir", 0),
    258: ("mkdir", "at"),  # mkdirat
    84: ("unlink", 0),  # rmdir
    87: ("unlink", 0),
    263: ("unlink", "at"),  # unlinkat
    2: ("open", 0),
    257: ("open", "at"),  # openat
}
_FLAGS_OF_OPEN = {2: 1, 257: 2}  # in which argument
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_AT_FDCWD = -100
_SYS_SECCOMP, _SYS_GETPPID, _PR_SET_NO_NEW_PRIVS = 317, 110, 38
_SET_MODE_FILTER = 1
# The second: a signal that can be caught interrupts no held call, as it would interrupt none on a file.
_NEW_LISTENER, _WAIT_KILLABLE = 8, 32
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_NOTIFICATION, _ANSWER = struct.Struct("<QIIiIQ6Q"), struct.Struct("<QqiI")


@dataclasses.dataclass(frozen=True)
class Operation:
    """What a process is about to do.

    Args:
        kind: open (for writing), write, fsync, truncate, rename, unlink or mkdir.
        path: of the file or folder; of a rename, what it was called before.
    """

    kind: str
    path: str


Decide = Callable[[Operation], int]
"""Returns 0 to let an operation happen, or the number of the error that it ends with."""


@functools.cache
def missing() -> str:
    """Says why there is no injector here; nothing where there is one."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "the injector knows Linux on x86-64 only"
    try:
        child = Child(lambda: 0, Path("/"))
        code = child.watch(lambda operation: 0)
    except OSError as error:
        return f"the kernel, or what surrounds it, allows no seccomp notifications ({error.strerror})"
    return "" if code == 0 else "seccomp notifications don't work here"


class Child:
    """A process forked from this one, whose file operations below a folder are held.

    TensorFlow may be imported before, which saves seconds, but must not have computed anything yet.

    Args:
        work: what it does; returns its exit code.
        root: operations elsewhere just happen.
        output: the file that its standard output and error go to.
    """

    def __init__(self, work: Callable[[], int], root: Path, output: Path | None = None):
        self._is_killed = False
        self._root = os.path.join(os.path.realpath(root), "")
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.pid = os.fork()
            if not self.pid:
                _be_the_child(work, theirs, output)
            theirs.close()
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if not descriptors:
            os.waitpid(self.pid, 0)
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        [self._listener] = descriptors

    def watch(self, decide: Decide) -> int:
        """Asks for each operation, until the process and all that it started have ended.

        Returns:
            The exit code; -9 where ``decide`` has killed it.
        """
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            [(_, event)] = poll.poll()
            if not event & select.POLLIN:  # nobody is left
                break
            self._answer(decide)
        os.close(self._listener)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send(self, number: int) -> None:
        """Sends the process, and none that it started, a signal."""
        self._is_killed = number == signal.SIGKILL
        os.kill(self.pid, number)

    def _answer(self, decide: Decide) -> None:
        received = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, received, True)
            identity, thread, _, call, _, _, *arguments = _NOTIFICATION.unpack(received)
            operation = _operation(thread, call, arguments)
            below = operation is not None and operation.path.startswith(self._root)
            error = decide(operation) if operation is not None and below else 0
            if self._is_killed and below:  # an answer might be quicker than death
                return
            flags = 0 if error else _CONTINUE
            fcntl.ioctl(self._listener, _SEND, bytearray(_ANSWER.pack(identity, 0, -error, flags)), True)
        except (FileNotFoundError, ProcessLookupError):  # killed meanwhile
            return


def _operation(thread: int, call: int, arguments: list[int]) -> Operation | None:
    """Reads what a held thread is about to do; ``None`` if that can't be told."""
    kind, where = _CALLS[call]
    try:
        if where == "fd":
            return Operation(kind, os.readlink(f"/proc/{thread}/fd/{_signed(arguments[0])}"))
        place = arguments[1 if where == "at" else 0]
        with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
            memory.seek(place)
            path = os.fsdecode(memory.read(4096).split(b"\0")[0])
        relative = where == "at" and _signed(arguments[0]) != _AT_FDCWD
        folder = os.readlink(f"/proc/{thread}/" + (f"fd/{_signed(arguments[0])}" if relative else "cwd"))
        parent, name = os.path.split(os.path.join(folder, path))
        return Operation(kind, os.path.join(os.path.realpath(parent), name))
    except OSError:
        return None


def _signed(argument: int) -> int:
    return ctypes.c_int32(argument & 0xFFFFFFFF).value


# ---------------------------------------------------------------- in the child


def _be_the_child(work: Callable[[], int], channel: socket.socket, output: Path | None) -> None:
    """Arms the filter, hands the listener over, works, and never returns."""
    code = 70
    try:
        listener = _armed()
        socket.send_fds(channel, [b"x"], [listener])
        os.close(listener)
        channel.close()
        if output is not None:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(file, 1)
            os.dup2(file, 2)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _armed() -> int:
    """Makes the kernel hold this process' file operations; returns the descriptor that tells of them."""
    program = _program()
    code = (ctypes.c_uint64 * len(program))(*program)
    filter_ = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, filter_)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return listener


def _program() -> list[int]:
    """The filter: which calls are held, as instructions of Berkeley's packet filter."""

    def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> int:
        return int.from_bytes(struct.pack("<HBBI", code, if_true, if_false, value), "little")

    load, equal, any_bit, leave = 0x20, 0x15, 0x45, 0x06
    number, first_argument = 0, 16
    program = []
    for call in _CALLS:
        flags = _FLAGS_OF_OPEN.get(call)
        program.append(instruction(load, number))
        if flags is None:
            program += [instruction(equal, call, 0, 1), instruction(leave, _NOTIFY)]
        else:
            program += [
                instruction(equal, call, 0, 3),
                instruction(load, first_argument + 8 * flags),
                instruction(any_bit, _WRITING, 0, 1),
                instruction(leave, _NOTIFY),
            ]
    return [*program, instruction(leave, _ALLOW)]
