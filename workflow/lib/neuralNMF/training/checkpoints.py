"""Checkpoints: the state of a fit in files beside its model, from which it goes on to the byte.

A folder holds the checkpoint of one model: of each of its fits (by consensus a model takes several)
``{fit}.stage``, what its training began from, written once a training; ``{fit}.training``, how far
that has come, written every so many minutes and where the process is told to end; and
``{fit}.result`` of a fit that is done. ``key`` says which model it is of.

Of several processes (`shards`) each keeps its own of these files, all at the same epoch, and the
last two of each kind: where they are killed while they write, all have the one before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn, Protocol

from torch import Tensor

from neuralNMF.errors import InputError, NeuralNMFError
from neuralNMF.io.states import put_aside, read_state, remove_states, write_state
from neuralNMF.team import ALONE, Team

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

    def result(self) -> State | None:
        """What the fit came to, if it was done before it was interrupted; None otherwise."""
        return None

    def done(self, result: State) -> State:
        """Say that the fit is done, and what it came to, which `result` is to give; gives it."""
        return result

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
    team : Team
        The processes that make this fit together, each of which has a checkpoint of its own and
        calls the same methods at the same moments.
    name : str
        Of the fit.
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        stop: Stop,
        team: Team = ALONE,
        name: str = "model",
    ) -> None:
        self._folder, self._minutes, self._stop, self._name = folder, minutes, stop, name
        self._team = team
        of = f".{team.rank}of{team.size}"
        self._slots = [""] if team.size == 1 else [f"{of}-a", f"{of}-b"]
        # Of each kind of file, the slot that is written next.
        self._next = {"stage": 0, "training": 0}
        self._key: State = {}
        self._number = 0
        self._stage_number: int | None = None  # of the stage that is on the disk
        self._stage_state: Callable[[], State] | None = None
        self._training: State | None = None
        self._last = time.monotonic()

    def belongs_to(self, key: Callable[[], State]) -> None:
        """See `Checkpoint.belongs_to`: one of another model is put aside."""
        self._key = _key_of_all(self._team.gathered(key()))
        changed: list[str] = []
        if self._team.leads and self._folder.is_dir():
            before = self._read("key") or {}
            names = sorted(self._key.keys() | before.keys())
            changed = [name for name in names if before.get(name) != self._key.get(name)]
        if changed:
            _log.warning(
                "The checkpoint in '%s' is of another fit (%s), and now lies in '%s'.",
                self._folder,
                ", ".join(_differences(before, self._key, changed)),
                put_aside(self._folder),
            )
        self._team.gathered(None)  # none reads what is put aside

    def part(self, name: str) -> Checkpoint:
        """See `Checkpoint.part`; a part is fitted by one process alone."""
        part = KeptCheckpoint(self._folder, self._minutes, self._stop, name=name)
        part._key = self._key
        return part

    def result(self) -> State | None:
        """See `Checkpoint.result`."""
        return self._read(f"{self._name}.result")

    def done(self, result: State) -> State:
        """See `Checkpoint.done`."""
        result = on_host(result)
        if self._write(f"{self._name}.result", result):
            for kind in ("stage", "training"):
                remove_states(self._folder / f"{self._name}.{kind}")
        return result

    def stage(self) -> State | None:
        """See `Checkpoint.stage`."""
        stage = self._newest("stage", lambda stage: (stage["number"],))
        if stage is None:
            return None
        self._number = self._stage_number = stage["number"]
        training = self._newest("training", lambda state: (state["number"], len(state["loss"])))
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
        due = time.monotonic() - self._last >= 60 * self._minutes
        # What one is asked for all do, and the time is that of the first.
        looks = self._team.gathered((self._stop.asked, due))
        asked = any(look[0] for look in looks)
        if not (asked or looks[0][1]):
            return
        kept = self._write_training(state)
        self._last = time.monotonic()
        if asked:
            self._stop.now(f"{epoch} is kept in '{self._folder}'" if kept else "no epoch is kept")

    def _write_training(self, state: Callable[[], State]) -> bool:
        if self._stage_number != self._number and self._stage_state is not None:
            if not self._keep("stage", self._stage_state()):
                return False
            self._stage_number = self._number
        return self._keep("training", state() | {"number": self._number})

    def _keep(self, kind: str, state: State) -> bool:
        """Whether each process could write its file; if not, the slot is the next one's, too."""
        own = self._write(f"{self._name}.{kind}{self._slots[self._next[kind]]}", state)
        kept = all(self._team.gathered(own))
        if kept:
            self._next[kind] = (self._next[kind] + 1) % len(self._slots)
        elif own:
            _log.warning("The fit goes on without a new checkpoint: not all could write theirs.")
        return kept

    def _newest(self, kind: str, order: Callable[[State], tuple[int, ...]]) -> State | None:
        """The newest state of a kind that all processes have, by ``order``; None for none."""
        slots: dict[tuple[int, ...], int] = {}
        state = None
        for slot, end in enumerate(self._slots):
            state = None  # two states at a time may be too large
            state = self._read(f"{self._name}.{kind}{end}")
            if state is not None:
                slots[order(state)] = slot
        of_all = set.intersection(*map(set, self._team.gathered(list(slots))))
        if not of_all:
            return None
        newest = slots[max(of_all)]
        self._next[kind] = (newest + 1) % len(self._slots)
        if newest != len(self._slots) - 1:
            state = None
            state = self._read(f"{self._name}.{kind}{self._slots[newest]}")
        return state

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


def _key_of_all(keys: Sequence[State]) -> State:
    """The key of a fit that several processes make; what differs between them is a list."""
    first, *others = keys
    same = {name: all(other[name] == value for other in others) for name, value in first.items()}
    of_all = {name: first[name] if same[name] else [key[name] for key in keys] for name in first}
    return of_all if len(keys) == 1 else of_all | {"processes": len(keys)}


def _differences(before: State, now: State, names: list[str]) -> list[str]:
    """What differs between two keys, in words; of options, which."""
    told = []
    for name in names:
        if isinstance(now.get(name), dict) and isinstance(before.get(name), dict):
            of_all = before[name].keys() | now[name].keys()
            told += sorted(key for key in of_all if before[name].get(key) != now[name].get(key))
        else:
            told.append(name)
    return told


def checkpoint_of(
    path: str | Path, minutes: float, stop: Stop | None, team: Team = ALONE
) -> Checkpoint:
    """The checkpoint of a model's fits, in a folder beside its file.

    Parameters
    ----------
    path : str or Path
        Where the model is to lie, ``layer1.h5nnmf``; the folder is ``layer1.checkpoint``.
    minutes : float
        Between two states of a training; 0 keeps nothing.
    stop : Stop or None
        Says when the process is told to end; None keeps nothing.
    team : Team
        The processes that fit the model together.
    """
    if minutes == 0 or stop is None:
        return NOTHING_KEPT
    return KeptCheckpoint(_folder_of(path), minutes, stop, team)


def remove_checkpoint(path: str | Path) -> None:
    """Remove the checkpoint of a model that stands, and one that was put aside."""
    folder = _folder_of(path)
    remove_states(folder)
    remove_states(folder.with_name(f"{folder.name}.aside"))


def _folder_of(path: str | Path) -> Path:
    return Path(path).with_suffix(".checkpoint")
