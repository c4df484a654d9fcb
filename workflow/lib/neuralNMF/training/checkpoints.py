"""Checkpoints: the state of a fit in files beside its model, from which it goes on to the byte.

A folder holds the checkpoint of one model: of each of its fits (by consensus a model takes several)
``{fit}.stage``, what its training began from, written once a training; ``{fit}.training``, how far
that has come, written every so many minutes and where the process is told to end; and
``{fit}.result`` of a fit that is done. ``key`` says which model it is of.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn, Protocol

from torch import Tensor

from neuralNMF.errors import InputError, NeuralNMFError
from neuralNMF.io.states import put_aside, read_state, remove_states, write_state

_log = logging.getLogger(__name__)

State = dict[str, Any]


class Stop(Protocol):
    """Whether the process was told to end, by whoever listens to signals."""

    @property
    def asked(self) -> bool:
        """Whether it was."""

    def later(self) -> AbstractContextManager[None]:
        """For as long as it lasts, do not end where the process is told to, but at its end."""

    def now(self, kept: str) -> NoReturn:
        """End; ``kept`` says, for the log, what is kept."""


class Checkpoint:
    """What a fit tells of its state while it runs. This one keeps nothing."""

    def belongs_to(self, key: Callable[[], State]) -> None:
        """Say which model this is of, before anything else; ``key`` gives it in plain types."""

    def part(self, name: str) -> Checkpoint:
        """The checkpoint of one of several fits that a model takes."""
        return self

    def result(self, make: Callable[[], State]) -> State:
        """What ``make`` gives, by which a fit is done; if it was done before, what it gave then."""
        return make()

    def stage(self) -> State | None:
        """The stage that the fit had come to when it was interrupted; None where it begins."""
        return None

    def training(self) -> State | None:
        """How far training had come in that stage; None where it begins."""
        return None

    def begin(self, number: int, state: Callable[[], State]) -> None:
        """Say that the stage of this number begins; ``state`` gives what `stage` is to give."""

    def running(self) -> AbstractContextManager[None]:
        """Around training, which is told in `after_epoch` to end, and not before."""
        return nullcontext()

    def after_epoch(self, epoch: str, state: Callable[[], State]) -> None:
        """Keep what ``state`` gives for `training`, if it is time; end, if the process is to."""

    def remove(self) -> None:
        """Remove all of it: the model stands."""


NOTHING_KEPT = Checkpoint()


class KeptCheckpoint(Checkpoint):
    """A checkpoint in a folder.

    Parameters
    ----------
    folder : Path
        Of the files; nothing else lies in it.
    minutes : float
        Between two states of a training.
    stop : Stop
    name : str
        Of the fit.
    """

    def __init__(self, folder: Path, minutes: float, stop: Stop, name: str = "model") -> None:
        self._folder, self._minutes, self._stop, self._name = folder, minutes, stop, name
        self._key: State = {}
        self._number = 0
        self._stage_number: int | None = None  # of the stage that is on the disk
        self._stage_state: Callable[[], State] | None = None
        self._training: State | None = None
        self._last = time.monotonic()

    def belongs_to(self, key: Callable[[], State]) -> None:
        """See `Checkpoint.belongs_to`: one of another model is put aside."""
        self._key = key()
        if not self._folder.is_dir():
            return
        before = self._read("key") or {}
        changed = [name for name in self._key if before.get(name) != self._key[name]]
        if changed:
            _log.warning(
                "The checkpoint in '%s' is of another fit (%s), and now lies in '%s'.",
                self._folder,
                ", ".join(_differences(before, self._key, changed)),
                put_aside(self._folder),
            )

    def part(self, name: str) -> Checkpoint:
        """See `Checkpoint.part`."""
        part = KeptCheckpoint(self._folder, self._minutes, self._stop, name)
        part._key = self._key
        return part

    def result(self, make: Callable[[], State]) -> State:
        """See `Checkpoint.result`."""
        found = self._read(f"{self._name}.result")
        if found is None:
            found = on_host(make())
            if self._write(f"{self._name}.result", found):
                for kind in ("stage", "training"):
                    remove_states(self._folder / f"{self._name}.{kind}")
        return found

    def stage(self) -> State | None:
        """See `Checkpoint.stage`."""
        stage = self._read(f"{self._name}.stage")
        if stage is None:
            return None
        self._number = self._stage_number = stage["number"]
        training = self._read(f"{self._name}.training")
        if training is not None and training["number"] == self._number:
            self._training = training
        return stage

    def training(self) -> State | None:
        """See `Checkpoint.training`; gives it once, since its arrays become the fit's."""
        training, self._training = self._training, None
        return training

    def begin(self, number: int, state: Callable[[], State]) -> None:
        """See `Checkpoint.begin`."""
        self._number, self._stage_state = number, state

    @contextmanager
    def running(self) -> Iterator[None]:
        """See `Checkpoint.running`."""
        with self._stop.later():
            yield
        self._stage_state = None  # its arrays

    def after_epoch(self, epoch: str, state: Callable[[], State]) -> None:
        """See `Checkpoint.after_epoch`."""
        asked = self._stop.asked
        if not asked and time.monotonic() - self._last < 60 * self._minutes:
            return
        kept = self._write_training(state)
        self._last = time.monotonic()
        if asked:
            self._stop.now(f"{epoch} is kept in '{self._folder}'" if kept else "no epoch is kept")

    def remove(self) -> None:
        """See `Checkpoint.remove`."""
        remove_states(self._folder)
        remove_states(self._folder.with_name(f"{self._folder.name}.aside"))

    def _write_training(self, state: Callable[[], State]) -> bool:
        if self._stage_number != self._number and self._stage_state is not None:
            if not self._write(f"{self._name}.stage", self._stage_state()):
                return False
            self._stage_number = self._number
        return self._write(f"{self._name}.training", state() | {"number": self._number})

    def _write(self, name: str, state: State) -> bool:
        """Whether it could be written; a disk that is full is no reason to end a fit."""
        try:
            if not (self._folder / "key").exists():
                write_state(self._folder / "key", self._key)
            write_state(self._folder / name, on_host(state))
        except NeuralNMFError as error:
            _log.warning("The fit goes on without a new checkpoint: %s", error)
            return False
        return True

    def _read(self, name: str) -> State | None:
        """A file's state; None where there is none, or it was damaged."""
        try:
            return read_state(self._folder / name)
        except InputError as error:
            _log.warning("A file of the checkpoint is not used: %s", error)
            return None


def on_host(state: Any) -> Any:
    """A state with arrays in the place of tensors."""
    if isinstance(state, Tensor):
        return state.detach().cpu().numpy()
    if isinstance(state, dict):
        return {name: on_host(entry) for name, entry in state.items()}
    if isinstance(state, list | tuple):
        return [on_host(entry) for entry in state]
    return state


def _differences(before: State, now: State, names: list[str]) -> list[str]:
    """What differs between two keys, in words; of options, which."""
    told = []
    for name in names:
        if isinstance(now[name], dict) and isinstance(before.get(name), dict):
            of_all = before[name].keys() | now[name].keys()
            told += sorted(key for key in of_all if before[name].get(key) != now[name].get(key))
        else:
            told.append(name)
    return told


def checkpoint_of(path: str | Path, minutes: float, stop: Stop) -> Checkpoint:
    """The checkpoint of a model's fits, in a folder beside its file.

    Parameters
    ----------
    path : str or Path
        Where the model is to lie, ``layer1.h5nnmf``; the folder is ``layer1.checkpoint``.
    minutes : float
        Between two states of a training; 0 keeps nothing.
    stop : Stop
        Says when the process is told to end.
    """
    if minutes == 0:
        return NOTHING_KEPT
    return KeptCheckpoint(Path(path).with_suffix(".checkpoint"), minutes, stop)
