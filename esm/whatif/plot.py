"""A sweep as a picture: latency and invocations against one setting, a line for each combination of the others."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from esm.errors import EsmError, NotInstalledError
from esm.whatif.trial import Outcome

__all__ = ["FORMATS", "check_plot", "plot"]

FORMATS = (".svg", ".png")
_PERCENTILE = 99


def check_plot(path: Path) -> None:
    """Nothing, when such a picture can be made there. Raises `EsmError` that says why not, `NotInstalledError`."""
    if not path.name:
        raise EsmError("the name is empty; a plot is a file .svg or .png")
    if path.suffix.lower() not in FORMATS:
        raise EsmError(f"{path}: a plot is a file .svg or .png")
    if not path.parent.is_dir():
        raise EsmError(f"{path}: there is no such folder")
    _matplotlib()


def plot(outcomes: Sequence[Outcome], path: Path, *, title: str) -> None:
    """Writes it. The first setting of more than one value is the axis. Raises `EsmError` where it cannot be written."""
    names = list(outcomes[0].settings)
    varied = [name for name in names if len({outcome.settings[name] for outcome in outcomes}) > 1]
    axis = (varied or names)[0]
    figure = _matplotlib().Figure(figsize=(8, 7), layout="constrained")
    latency, calls = figure.subplots(2, 1, sharex=True)
    for label, line in _lines(outcomes, axis).items():
        at = [outcome.settings[axis] for outcome in line]
        latency.plot(at, [outcome.latency_ms.get(_PERCENTILE, 0) for outcome in line], marker="o", label=label)
        calls.plot(at, [outcome.invocations for outcome in line], marker="o", label=label)
    places = sorted({outcome.settings[axis] for outcome in outcomes})
    latency.set(title=title, ylabel=f"latency of a record, p{_PERCENTILE}, ms", ylim=(0, None))
    calls.set(xlabel=axis, ylabel="invocations", ylim=(0, None), xscale="log" if places[0] else "linear")
    calls.set_xticks(places, [str(place) for place in places], minor=False)
    calls.minorticks_off()
    if len(varied) > 1:
        latency.legend(fontsize="small")
    try:
        figure.savefig(path, metadata=None if path.suffix.lower() == ".png" else {"Date": None})
    except OSError as error:
        raise EsmError(f"{path}: cannot be written: {error.strerror}") from None


def _lines(outcomes: Sequence[Outcome], axis: str) -> dict[str, list[Outcome]]:
    lines: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        others = [f"{name}={value}" for name, value in outcome.settings.items() if name != axis]
        lines.setdefault(", ".join(others), []).append(outcome)
    return {label: sorted(line, key=lambda outcome: outcome.settings[axis]) for label, line in lines.items()}


def _matplotlib() -> Any:
    try:
        return import_module("matplotlib.figure")
    except ImportError:
        raise NotInstalledError("a plot", "matplotlib", "plot") from None
