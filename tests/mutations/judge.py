"""What must be true of every file, whatever is in it: it is read, or refused with its name and a path; in time."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from samtranslator.translator import translator

from esm.errors import MappingError, TemplateError
from esm.templates.load import plan_of
from esm.templates.read import read_text
from esm.templates.template import Options
from tests.mutations.mutate import mutated

__all__ = ["Judgement", "judge"]

# SAM's transform checks its own policies for each template, which takes longer than all else; here it does so once.
translator.make_policy_template_for_function_plugin = cache(translator.make_policy_template_for_function_plugin)

FOLDER = Path(__file__).parent / "seeds"
SECOND = 1.0


@dataclass
class Judgement:
    """What became of many files. `faults`: seed and what was wrong; `slowest`: seconds and seed."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)


def judge(first: int, count: int) -> Judgement:
    """The seeds from `first` on."""
    options = Options(region="us-east-1", stack_name="shop", environ={})
    found = Judgement()
    for seed in range(first, first + count):
        name, data = mutated(seed)
        began = time.process_time()
        try:
            plan = plan_of(read_text(data, name), FOLDER / name, options)
            refused = sum(each.refusal is not None for each in plan.planned)
            found.outcomes[f"{plan.dialect}: read{', with refusals' if refused else ''}"] += 1
        except (TemplateError, MappingError) as error:
            found.outcomes["refused"] += 1
            if not str(error).startswith(name) or "\n" in str(error) or len(str(error)) > 2_000:
                found.faults.append((seed, f"a refusal that is no line, or of no file: {str(error)[:200]!r}"))
        except Exception as error:  # noqa: BLE001  # any other exception is what is looked for
            found.faults.append((seed, f"{type(error).__name__}: {error}"[:300]))
        took = time.process_time() - began
        found.slowest = max(found.slowest, (took, seed))
        if took > SECOND:
            found.faults.append((seed, f"took {took:.2f} s"))
    return found
