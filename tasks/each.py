"""A walk over all pipelines: one that fails affects no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.errors import PerennialError

T = TypeVar("T")


class SetAside(BaseModel):
    """A pipeline that could not be seen to, and why."""

    pipeline: str
    why: str

    def __str__(self) -> str:
        return f"{self.pipeline}: {self.why}"


def for_each(pipelines: Iterable[str], do: Callable[[str], T]) -> tuple[list[T], list[SetAside]]:
    """Do something for each pipeline; one for which it fails is set aside, and the others go on.

    Whatever goes wrong counts, also what nobody foresaw: that goes to the log with its stack.

    Returns:
        What came of the others, and who was set aside.
    """
    done: list[T] = []
    aside: list[SetAside] = []
    for name in pipelines:
        try:
            done.append(do(name))
        except PerennialError as error:
            aside.append(SetAside(pipeline=name, why=str(error)))
        except Exception as error:
            get_run_logger().exception("%s is set aside", name)
            aside.append(SetAside(pipeline=name, why=f"{type(error).__name__}: {error}"))
    for one in aside:
        get_run_logger().error("set aside: %s", one)
    return done, aside
