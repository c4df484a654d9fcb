"""`nmf_workflow.script.run`: what every script shares."""

import logging
import os
import pty
import signal
import subprocess
import sys
import termios
import warnings
from pathlib import Path

import pytest
from helpers import fake_snakemake
from neuralNMF.errors import InputError
from nmf_workflow.script import run


@pytest.fixture
def snakemake(tmp_path: Path):
    return fake_snakemake(tmp_path / "logs" / "rule.log")


def test_log_and_warnings_go_to_the_file_and_to_stderr(snakemake, capsys):
    def main(given):
        assert given is snakemake
        logging.getLogger("neuralNMF.anything").info("one step done")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("take care", UserWarning, stacklevel=1)

    run(main, snakemake)
    text = Path(snakemake.log[0]).read_text()
    assert "one step done" in text
    assert "take care" in text
    assert "one step done" in capsys.readouterr().err


def test_an_error_of_the_user_is_one_sentence(snakemake, capsys):
    def main(_):
        raise InputError("The file has no cells.")

    with pytest.raises(SystemExit) as caught:
        run(main, snakemake)
    assert caught.value.code == 1
    for text in (Path(snakemake.log[0]).read_text(), capsys.readouterr().err):
        assert text.strip().endswith("The file has no cells.")
        assert len(text.splitlines()) == 1


def test_a_defect_keeps_its_traceback(snakemake, capsys):
    def main(_):
        raise KeyError("gone")

    with pytest.raises(SystemExit) as caught:
        run(main, snakemake)
    assert caught.value.code == 1
    assert "Traceback" in Path(snakemake.log[0]).read_text()
    assert "KeyError: 'gone'" in capsys.readouterr().err


def test_two_scripts_in_one_process_do_not_log_into_each_other(snakemake, tmp_path, capsys):
    other = fake_snakemake(tmp_path / "other.log")
    logger = logging.getLogger("neuralNMF")
    run(lambda _: logger.info("first"), snakemake)
    run(lambda _: logger.info("second"), other)
    assert "second" not in Path(snakemake.log[0]).read_text()
    assert "first" not in Path(other.log[0]).read_text()
    assert capsys.readouterr().err.count("second") == 1


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "11", "SLURM_ARRAY_TASK_ID": "3"}, "11_3"),
        ({"JOB_ID": "7"}, "7"),
        ({}, None),
    ],
)
def test_the_log_names_the_cluster_s_job(variables, job, snakemake, monkeypatch):
    for name in (
        "SLURM_JOB_ID",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "JOB_ID",
        "LSB_JOBID",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run(lambda _: None, snakemake)
    expected = f"cluster job {job}" if job else ""
    assert Path(snakemake.log[0]).read_text().strip().endswith(expected)
    assert ("cluster job" in Path(snakemake.log[0]).read_text()) == bool(job)


# A job with a bar, which logs a line while the bar is drawn.
WITH_A_BAR = """\
import logging, sys
from types import SimpleNamespace
from neuralNMF.progress import bar, counted
from nmf_workflow.script import run

def main(snakemake):
    with bar("halves", "fit", 3) as fits:
        fits.refresh()
        logging.getLogger("neuralNMF").info("one fit is done")
        fits.update(3)
        fits.refresh()
    assert list(counted("ab", "letters", "letter")) == ["a", "b"]

run(main, SimpleNamespace(log=[sys.argv[1]]))
"""


def printed_in_a_terminal(command: list[str]) -> str:
    """What a command writes to a terminal, as it is sent there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    subprocess.run(command, stderr=theirs, check=True)
    os.close(theirs)
    text = b""
    while True:
        try:
            text += os.read(ours, 1 << 16)
        except OSError:  # the other end is closed, and all is read
            break
    os.close(ours)
    return text.decode()


def test_bars_are_live_in_a_terminal_and_lines_stand_above_them(tmp_path):
    command = [sys.executable, "-c", WITH_A_BAR, str(tmp_path / "rule.log")]
    text = printed_in_a_terminal(command)
    assert "halves:   0%" in text
    assert "halves: 100%" in text
    line = next(line for line in text.split("\n") if "one fit is done" in line)
    # The bar before it was wiped out: what stands last between two returns is the line alone.
    assert "halves" not in line.rstrip("\r").rsplit("\r", 1)[-1]
    assert "halves" not in (tmp_path / "rule.log").read_text()


def test_bars_are_quiet_in_a_log(tmp_path):
    command = [sys.executable, "-c", WITH_A_BAR, str(tmp_path / "rule.log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.rstrip().endswith("one fit is done")


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(SystemExit, match=r"The log .* cannot be written: .*\(.*\): free some room"):
        run(lambda _: None, fake_snakemake(tmp_path / "logs" / "rule.log"))


def test_a_full_disk_is_no_defect(snakemake, capsys):
    def main(_):
        raise OSError(28, "No space left on device", "/some/cache")

    with pytest.raises(SystemExit):
        run(main, snakemake)
    text = Path(snakemake.log[0]).read_text()
    assert "'/some/cache' cannot be written (No space left on device)" in text
    assert "Traceback" not in text + capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_log_on_a_full_disk_says_nothing_of_itself(capsys):
    run(lambda _: logging.getLogger("neuralNMF").info("one step"), fake_snakemake("/dev/full"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("one step")


SCRIPT = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from neuralNMF.io.atomic import atomic_path
from nmf_workflow.script import run

def main(_):
    with atomic_path(sys.argv[1] + "/out.tsv") as path:
        path.write_text("half")
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
        signal.pause()

run(main, SimpleNamespace(log=[sys.argv[1] + "/rule.log"]))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_job_that_is_told_to_end_says_so_and_leaves_nothing(tmp_path, name):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), name], capture_output=True)
    assert done.returncode == 128 + getattr(signal, name)
    assert [path.name for path in tmp_path.iterdir()] == ["rule.log"]
    text = (tmp_path / "rule.log").read_text()
    assert f"stopped by {name}: nothing half-written is left" in text
    assert len(text.splitlines()) == 1 and b"Traceback" not in done.stderr


def test_a_crash_of_compiled_code_is_in_the_log(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), "SIGBUS"], capture_output=True
    )
    assert done.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in (tmp_path / "rule.log").read_text()
