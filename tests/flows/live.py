"""Live traffic without a server: the log as servers write it, row by row."""

from __future__ import annotations

import io
import json
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ulid import ULID

from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.registry import State, read_file, read_manifest, read_signature, read_state
from perennial.registry.manifest import MODEL_FILE
from perennial.serving.router import Route, place
from perennial.store import Store, layout
from perennial.store.lease import utc_now
from tests.flows.conftest import frame


@dataclass
class Traffic:
    """Requests to the pipeline ``line`` and their truth."""

    store: Store
    slope: float
    """Of the world."""
    latency: dict[str, int] = field(default_factory=dict)
    """Microseconds, by role."""
    honest_split: bool = True
    """Whether the router does as the state says."""
    unit: float = 1.0
    """What x is multiplied by before it is sent."""
    sent: int = 0
    begins: datetime | None = None
    """Of hourly rows: the time of the first."""
    _weight: float = 0.0
    _moment: datetime = field(default_factory=utc_now)

    def send(self, rows: int, *, labelled: bool = True) -> None:
        """Let ``rows`` requests be answered as the state says, in its present stage."""
        state = read_state(self.store, "line").state
        data = frame(rows, self.slope, seed=100 + self.sent)
        data["y"] += np.random.default_rng(self.sent + 5000).normal(size=rows)
        data["x"] *= self.unit
        if self.begins is not None:
            hours = [self.begins + timedelta(hours=self.sent + n) for n in range(rows)]
            data["ts"] = [hour.isoformat() for hour in hours]
        ids = [f"live-{self.sent + n}" for n in range(rows)]
        self.sent += rows
        asked = [self._asks_challenger(state, name) for name in ids]
        self._weight = state.weight
        self._moment = utc_now()
        for version, role in self._cast(state):
            chosen = np.array(
                [role == "shadow" or (role == "challenger") == is_theirs for is_theirs in asked]
            )
            if chosen.any():
                names = [name for name, it in zip(ids, chosen, strict=True) if it]
                self._log(version, role, names, data[chosen])
        if labelled:
            self._tell(dict(zip(ids, data["y"], strict=True)))

    def _asks_challenger(self, state: State, name: str) -> bool:
        weight = state.weight if self.honest_split else state.weight / 3
        return Route(place(name, str(state.challenger)), weight).to_challenger

    def _cast(self, state: State) -> list[tuple[str, str]]:
        assert state.champion is not None
        cast = [(state.champion, "champion")]
        if state.stage == "canary":
            cast.append((str(state.challenger), "challenger"))
        if state.stage == "shadow":
            cast.append((str(state.challenger), "shadow"))
        return cast

    def _log(self, version: str, role: str, names: list[str], data: Any) -> None:
        manifest = read_manifest(self.store, "line", version)
        signature = read_signature(self.store, manifest)
        model = Predictor(read_file(self.store, manifest, MODEL_FILE), signature)
        output = model.predict(*encode_frame(signature, data))
        sent = [*(f.name for f in signature.features), *signature.context]
        table = pa.table(
            {
                "id": names,
                "time": [self._moment] * len(names),
                "pipeline": ["line"] * len(names),
                "version": [version] * len(names),
                "role": [role] * len(names),
                "latency": pa.array([self.latency.get(role, 900)] * len(names), pa.int32()),
                "features": data[sent].to_dict("records"),
                "output": [[float(v) for v in row] for row in output],
                "key": [zlib.crc32(name.encode()) if self._weight else None for name in names],
                "weight": [self._weight] * len(names),
            },
            schema=prediction_schema(signature),
        )
        self._put(layout.prediction_log("line"), table)

    def _tell(self, labels: dict[str, float]) -> None:
        table = pa.table(
            {
                "id": list(labels),
                "time": [utc_now()] * len(labels),
                "label": [json.dumps(label) for label in labels.values()],
            },
            schema=FEEDBACK_SCHEMA,
        )
        self._put(layout.feedback_log("line"), table)

    def _put(self, prefix: str, table: pa.Table) -> None:
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.store.put(layout.log_segment(prefix, str(ULID()), table.num_rows), buffer.getvalue())
