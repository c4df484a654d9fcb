"""The five lines that a run ends with: what was made or what failed, where, and what to look at.

The Snakefile's hooks call `of_success` and `of_failure` with Snakemake's jobs; tables that the run
has just written are read for it, line by line.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

Job = Any

# Of a run, the first to look at: what is there of these, best first.
FIRST = ("report.html", "tree.png", "hierarchy_l2.png", "theta_l1.png", "programs.tsv", "sizes.png")
# Names on a line, before it says how many more there are.
NAMES = 3
# Groups of jobs that are named after the folder that they fill.
RESULTS = "results"


def of_success(workflow: Any) -> str:
    """What a run has made, where, in what time, what to look at first, and what to doubt.

    Parameters
    ----------
    workflow
        Snakemake's, as its hooks have it.
    """
    ran = [job for job in jobs_of(workflow) if job.output]
    files = [str(file) for job in ran for file in job.output]
    folders = run_folders(files)
    judged = {folder: rows_of(folder / "programs.tsv") for folder in folders}
    return table(
        {
            "made": made(files, judged),
            "where": listed([f"{folder}/" for folder in folders or parents(files)]),
            "time": duration(datetime.now() - workflow.start_time) + slowest(ran),
            "look at": ", then ".join(first_looks(folders, files)),
            "doubt": doubts(judged),
        }
    )


def of_failure(workflow: Any) -> str:
    """What has failed, why as its log says, which log to read, what is done, and how to go on.

    Parameters
    ----------
    workflow
        Snakemake's, as its hooks have it.
    """
    failed = flat(workflow.scheduler.failed)
    logs = [str(job.log[0]) for job in failed if job.log]
    jobs = jobs_of(workflow)
    done = sum(workflow.dag.finished(job) for job in jobs)
    time = duration(datetime.now() - workflow.start_time)
    return table(
        {
            "failed": listed([name_of(job) for job in failed]) or "no job; the run was stopped",
            "why": next(filter(None, map(last_line, logs)), "the messages above say it"),
            "log": listed(logs) or "above",
            "done": f"{done} of {len(jobs)} jobs in {time}; what they made stays",
            "go on": "repair it and give the same command again",
        }
    )


def jobs_of(workflow: Any) -> list[Job]:
    """All jobs that a run had to do."""
    return flat(workflow.dag.needrun_jobs(exclude_finished=False))


def flat(jobs: Iterable[Job]) -> list[Job]:
    """Single jobs, also out of groups, by their names."""
    single = [job for each in jobs for job in (each.jobs if each.is_group() else [each])]
    return sorted(single, key=name_of)


def run_folders(files: Iterable[str]) -> list[Path]:
    """The folders of runs, ``results/{sample}/{run}``, that files are in."""
    found = {
        Path(*path.parts[:3])
        for path in map(Path, files)
        if path.parts[0] == RESULTS and len(path.parts) > 3
    }
    return sorted(found)


def parents(files: Iterable[str]) -> list[Path]:
    """The folders of files."""
    return sorted({Path(file).parent for file in files})


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table of programs; none where it is not there, or not ours."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        wanted = {"layer", "program", "believe"}
        return list(reader) if wanted <= set(reader.fieldnames or []) else []


def made(files: Sequence[str], judged: dict[Path, list[dict[str, str]]]) -> str:
    """The programs of each run by layer; where there are none, the files."""
    runs = []
    for folder, rows in judged.items():
        layers = Counter(row["layer"] for row in rows)
        if layers:
            numbers = ", ".join(str(layers[layer]) for layer in sorted(layers, key=int))
            runs.append(f"{folder.parts[1]}/{folder.parts[2]} with layers of {numbers} programs")
    return f"{count(len(files), 'file')}: {listed(runs or list(files))}"


def first_looks(folders: Sequence[Path], files: Sequence[str]) -> list[str]:
    """The best picture and the table of the first run; where there is no run, the last file."""
    for folder in folders:
        there = [str(folder / name) for name in FIRST if (folder / name).is_file()]
        if there:
            tables = [name for name in there if name.endswith(".tsv")]
            return list(dict.fromkeys([there[0], *tables]))
    return list(files[-1:])


def doubts(judged: dict[Path, list[dict[str, str]]]) -> str:
    """How many programs of each layer are flagged, and why."""
    found = []
    for folder, rows in judged.items():
        for layer in sorted({row["layer"] for row in rows}, key=int):
            of_layer = [row for row in rows if row["layer"] == layer]
            flagged = [row for row in of_layer if row["believe"] != "yes"]
            if flagged:
                reasons = [f"{row['program']} {why(row['believe'])}" for row in flagged]
                where = f"{folder.parts[1]}/{folder.parts[2]} " if len(judged) > 1 else ""
                found.append(
                    f"{len(flagged)} of {len(of_layer)} programs of {where}layer {layer} "
                    f"({listed(reasons)})"
                )
    if found:
        return listed(found, "; ")
    return "nothing that the tables tell" if any(judged.values()) else "no programs were judged"


def why(verdict: str) -> str:
    """``with care: ribosomal, no parent`` in as few words: the first reason."""
    return verdict.partition(": ")[2].partition(",")[0] or verdict


def slowest(jobs: Iterable[Job]) -> str:
    """The job that took longest, by the table that its rule's `benchmark` names."""
    seconds = {}
    for job in jobs:
        path = Path(str(job.benchmark)) if job.benchmark else None
        if path is not None and path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                times = [row.get("s") or "" for row in csv.DictReader(file, delimiter="\t")]
            if times and times[0].replace(".", "", 1).isdigit():
                seconds[name_of(job)] = float(times[0])
    if not seconds:
        return ""
    name = max(seconds, key=lambda each: seconds[each])
    return f"; longest: {name}, {duration(timedelta(seconds=seconds[name]))}"


def last_line(log: str) -> str:
    """The last line of a log, without its time and level."""
    path = Path(log)
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.partition(" ERROR ")[2].strip() or last.strip()


def name_of(job: Job) -> str:
    """A job as ``train_layer1 of pbmc/main``."""
    wildcards = list(job.wildcards_dict.values())
    return f"{job.rule.name} of {'/'.join(wildcards)}" if wildcards else str(job.rule.name)


def listed(names: Sequence[str], between: str = ", ") -> str:
    """Some names, and how many more there are."""
    more = len(names) - NAMES
    return between.join(names[:NAMES]) + (f" and {more} more" if more > 0 else "")


def count(number: int, what: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def duration(time: timedelta) -> str:
    """A time in words: ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def table(lines: dict[str, str]) -> str:
    """Lines with their titles, one below the other."""
    width = max(map(len, lines)) + 2
    return "\n".join(f"{f'{title}:':<{width}}{text}" for title, text in lines.items())
