"""What Prefect's engine does at a run's start and a flow need not wait for.

It asks the server up to three times where results are kept by default, and it opens a websocket to
hear of a suspension before the flow may begin: a tenth of a second of each run.
"""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

_ENTRYPOINT = "PREFECT__FLOW_ENTRYPOINT"


def start_sooner() -> None:
    """Have the engine of this process, and of its forks, begin a flow sooner."""
    import prefect.flow_engine as engine
    from prefect import results

    ask = results._read_server_default_result_storage_block_id
    results._read_server_default_result_storage_block_id = functools.cache(ask)
    engine.observe_flow_run_suspension = beside(engine.observe_flow_run_suspension)


def beside(wait: Callable[..., AbstractContextManager[None]]) -> Callable[..., Any]:
    """Enter a context in a thread of its own while what stands in it begins already."""

    @contextmanager
    def enter(*arguments: Any) -> Iterator[None]:
        context = wait(*arguments)
        variables = contextvars.copy_context()
        thread = threading.Thread(target=variables.run, args=(context.__enter__,))
        thread.start()
        try:
            yield
        finally:
            thread.join()
            context.__exit__(None, None, None)

    return enter


def use_imported_flow() -> None:
    """Name this process's flow by its module where that is imported: its file would run again."""
    path, _, name = os.environ.get(_ENTRYPOINT, "").rpartition(":")
    module = path.removesuffix(".py").replace("/", ".")
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is not None and Path(file) == Path(path).absolute():
        os.environ[_ENTRYPOINT] = f"{module}:{name}"
