"""What can't be trained on, as opening the folder has met it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pix2pix_tf.data.doctor.chart import Chart
from pix2pix_tf.data.doctor.findings import Case, Found
from pix2pix_tf.data.folder import Problem


def of_code(
    code: str, cases_of: Callable[[Chart, Problem], list[Case]] | None = None
) -> Callable[[Chart], Iterator[Found]]:
    """Returns what collects the problems of one code that opening the folder has met."""

    def find(chart: Chart) -> Iterator[Found]:
        every = [*chart.survey.problems, *chart.survey.bad_files.values()]
        of_code = [problem for problem in every if problem.code == code]
        if of_code:
            cases = [case for problem in of_code for case in (cases_of or _each_file)(chart, problem)]
            yield Found(cases, {"fix": of_code[0].fix})

    return find


def _each_file(chart: Chart, problem: Problem) -> list[Case]:
    """Returns each file and its reason, without the name."""
    return [
        Case((file,), reason if (reason := problem.what.removeprefix(f"{file}: ")) != problem.what else "")
        for file in problem.files
    ]


def together(chart: Chart, problem: Problem) -> list[Case]:
    """Returns the files that belong together."""
    return [Case(problem.files)]


def with_bands(chart: Chart, problem: Problem) -> list[Case]:
    """Returns the file that differs from its side, and in what."""

    def bands(file: Path) -> str:
        image = chart.survey.checked[file]
        return f"{image.channels}{' of measurements' if image.values else ''}"

    file, other = problem.files
    return [Case((file,), f"{bands(file)}, not {bands(other)}")]


def with_sizes(chart: Chart, problem: Problem) -> list[Case]:
    """Returns both files of a pair, and their sizes."""
    checked = [chart.survey.checked[file] for file in problem.files]
    return [Case(problem.files, " and ".join(f"{image.width}x{image.height}" for image in checked))]


def layout(chart: Chart) -> Iterator[Found]:
    """Yields what is wrong with the folders."""
    for problem in chart.survey.problems:
        if problem.code == "layout":
            yield Found([Case(problem.files)], {"what": problem.what, "fix": problem.fix})
