"""Errors that a user can act on: one sentence that says what is wrong, where, and what to do."""


class NeuralNMFError(Exception):
    """Base of all errors raised on purpose; scripts print its text without a traceback.

    Attributes
    ----------
    of_all : bool
        Whether every process that takes part in the work raises it, at the same place: then all may
        go on with something else. Others wait for one that fails alone.
    """

    of_all = False

    def __str__(self) -> str:
        # Names from a damaged file may hold anything: it stays one line.
        return "".join(sign if sign.isprintable() else "?" for sign in super().__str__())


class InputError(NeuralNMFError, ValueError):
    """A file, a matrix or an option is not what the library can work with."""


class FitError(NeuralNMFError, ArithmeticError):
    """A fit has left the range of numbers: seen in sums over all cells, so by every process."""

    of_all = True


class OutputError(NeuralNMFError, OSError):
    """A file cannot be written, for want of room or of permission."""


class DeviceError(NeuralNMFError, RuntimeError):
    """A compute device was asked for that this machine or this torch build does not have."""


class ProcessError(NeuralNMFError, RuntimeError):
    """One of the processes that fit a model together ended before it was done."""
