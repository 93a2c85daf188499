"""A multilayer perceptron with an embedding for each category (Guo & Berkhahn 2016), in torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import nn

from perennial.errors import ModelError
from perennial.packaging.graph import Graph
from perennial.spec import EstimatorName, MetricName, Task
from perennial.threads import one_thread
from perennial.training.estimator import Columns, TrainingSet, both, in_chunks
from perennial.training.levels import Levels, index_levels, learn_levels, lookup_levels
from perennial.training.scaling import Scaler
from perennial.training.source import with_format, without_format
from perennial.training.split import Fold, forward_folds
from perennial.training.trial import Behind, FoldTrial, choose_rounds
from perennial.training.waves import add_waves, waves_to_graph, waves_width

MAX_ROWS = 60_000
"""More rows are thinned out evenly to these, for the time it takes."""
HIDDEN = (128, 64)
DROPOUT = 0.1
MAX_EPOCHS = 30
MIN_EPOCHS = 2
DEFAULT_EPOCHS = 20
PATIENCE = 5
LEARNING_RATE = 3e-3
LEARNING_RATE_DECAY = 0.9
"""An epoch."""
WEIGHT_DECAY = 0.1
EMBEDDING_DECAY = 3.0
"""Strong, so that a category of few rows stays close to none in particular."""
GLANCE = 3
"""Epochs after which a network that is clearly behind another family is given up."""
MIN_STOPPING_ROWS = 20
MAX_LEVELS = 10_000
MAX_EMBEDDING = 16
HIDDEN_LEVELS = 0.02
"""Share of categories that are shown as unseen, so that "unseen" is learned too."""


@dataclass(frozen=True, eq=False)
class Network:
    """Embeddings beside scaled numbers, into rectified layers, into raw scores."""

    embeddings: nn.ModuleList
    layers: nn.Sequential

    @classmethod
    def create(cls, numeric: int, levels: tuple[Levels, ...], outputs: int) -> Network:
        """Draw initial weights from torch's global generator."""
        sizes = [(known.size, _embedding_width(known.size)) for known in levels]
        embeddings = nn.ModuleList([nn.Embedding(*size) for size in sizes])
        for embedding in embeddings:
            nn.init.normal_(embedding.weight, std=0.1)
        widths = [numeric + sum(width for _, width in sizes), *HIDDEN]
        layers: list[Any] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(DROPOUT)]
        return cls(embeddings, nn.Sequential(*layers, nn.Linear(widths[-1], outputs)))

    def __call__(self, scaled: Any, index: Any) -> Any:
        """Compute raw scores (rows, outputs) of float32 (rows, numbers), int64 (rows, columns)."""
        codes = [embedding(index[:, j]) for j, embedding in enumerate(self.embeddings)]
        return self.layers(torch.cat([scaled, *codes], dim=1))

    @property
    def modules(self) -> nn.ModuleList:
        """Everything that is learned."""
        return nn.ModuleList([self.embeddings, self.layers])


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """A trained network with its preprocessing; regression scores are standardised."""

    task: Task
    width: int
    scaler: Scaler
    levels: tuple[Levels, ...]
    network: Network
    centre: float
    scale: float
    rounds: int

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer by torch: float64 (rows, width)."""
        numeric, categorical = both(numeric, categorical)
        with torch.no_grad():
            scores = [
                self.network(
                    torch.from_numpy(add_waves(self.scaler.transform(numeric[rows]))),
                    torch.from_numpy(index_levels(self.levels, categorical[rows])),
                ).double()
                for rows in in_chunks(len(numeric))
            ]
        raw = torch.cat(scores)
        if self.task == "regression":
            values: NDArray[Any] = raw.numpy() * self.scale + self.centre
            return values
        if raw.shape[1] == 1:
            chances: NDArray[Any] = torch.sigmoid(raw).numpy()
            return chances if self.width == 1 else np.hstack([1 - chances, chances])
        many: NDArray[Any] = torch.softmax(raw, dim=1).numpy()
        return many

    def to_onnx(self) -> ModelProto:
        """Write one graph: a table for each embedding, a Gemm for each layer."""
        graph = Graph()
        tables = tuple(_array(embedding.weight) for embedding in self.network.embeddings)
        scaled = self.scaler.to_graph(graph)
        parts = waves_to_graph(graph, graph.concat(scaled)) if scaled else []
        parts += lookup_levels(graph, self.levels, tables)
        x = graph.concat(parts)
        *hidden, last = [layer for layer in self.network.layers if isinstance(layer, nn.Linear)]
        for layer in hidden:
            x = graph.add("Relu", graph.affine(x, _array(layer.weight).T, _array(layer.bias)))
        x = graph.affine(x, _array(last.weight).T, _array(last.bias))
        if self.task == "regression":
            spread = graph.add("Mul", x, graph.constant(np.array([self.scale])))
            x = graph.add("Add", spread, graph.constant(np.array([self.centre])))
        else:
            x = graph.probabilities(x, last.out_features, self.width)
        return graph.finish(x, self.width)

    def to_source(self) -> bytes:
        """Write weights as safetensors, and as JSON in their header how they are used."""
        description = {
            "task": self.task,
            "width": self.width,
            "levels": [known.names for known in self.levels],
            "centre": self.centre,
            "scale": self.scale,
            "rounds": self.rounds,
        }
        scaler = {f"scaler.{name}": values for name, values in self.scaler.arrays.items()}
        weights = {f"network.{k}": w.numpy() for k, w in self.network.modules.state_dict().items()}
        tensors = {name: np.ascontiguousarray(v) for name, v in {**scaler, **weights}.items()}
        metadata = {"perennial": json.dumps(with_format(description))}
        data: bytes = safetensors.numpy.save(tensors, metadata)
        return data


class Mlp:
    """A perceptron, in as many epochs as do best on the newest rows."""

    name: EstimatorName = "mlp"
    source_file = "source.safetensors"

    def from_source(self, data: bytes) -> FittedNetwork:
        """Read what `FittedNetwork.to_source` wrote; see `source`."""
        try:
            tensors = safetensors.numpy.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        except safetensors.SafetensorError as error:
            raise ModelError(f"the source model is no safetensors file: {error}") from None
        told = without_format(json.loads(header["__metadata__"]["perennial"]))
        levels = tuple(Levels(tuple(names)) for names in told.pop("levels"))
        scaler = Scaler(**_below("scaler.", tensors))
        with _reproducible(0):
            network = Network.create(waves_width(scaler.width), levels, told["width"])
        weights = _below("network.", tensors)
        network.modules.load_state_dict({k: torch.from_numpy(w) for k, w in weights.items()})
        network.modules.eval()
        return FittedNetwork(scaler=scaler, levels=levels, network=network, **told)

    def cost(self, rows: int, columns: int, width: int) -> float:
        """Guess the seconds of one fit; see `Estimator`."""
        return 1.0 + 5e-5 * min(rows, MAX_ROWS) * (1 + columns / 50 + width / 50)

    def fit(self, data: TrainingSet, *, seed: int, rounds: int | None = None) -> FittedNetwork:
        """Fit for given epochs, or for as many as the newest fold says; see `Estimator`."""
        thinned = _thin_out(data)
        if rounds is None:
            tried = [self.trial(fold, seed=seed) for fold in forward_folds(thinned)[-1:]]
            rounds = self.rounds([trial for trial in tried if trial is not None])
        with _reproducible(seed):
            training = _Training(thinned, seed)
            for _ in range(rounds):
                training.one_epoch()
            return training.fitted(rounds)

    def trial(self, fold: Fold, *, seed: int, behind: Behind | None = None) -> FoldTrial | None:
        """Train until there is no use in more; see `Estimator`."""
        newer, outputs = fold.newer, []
        with _reproducible(seed):
            training = _Training(_thin_out(fold.older), seed)
            losses = [training.loss(newer)]
            for epoch in range(1, MAX_EPOCHS + 1):
                training.one_epoch()
                losses.append(training.loss(newer))
                outputs.append(training.fitted(epoch).predict(newer.numeric, newer.categorical))
                if epoch == GLANCE and behind is not None and behind(outputs[-1]):
                    return None
                best = max(MIN_EPOCHS, int(np.argmin(losses)))
                if epoch - best >= PATIENCE:
                    break
        return FoldTrial(len(newer), np.array(losses), lambda epochs: outputs[:epochs][-1])

    def rounds(self, trials: Sequence[FoldTrial]) -> int:
        """Choose epochs by trials; see `Estimator`."""
        chosen = choose_rounds(
            trials, least=MIN_EPOCHS, default=DEFAULT_EPOCHS, enough=MIN_STOPPING_ROWS
        )
        return chosen or DEFAULT_EPOCHS


ESTIMATOR = Mlp()


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seed torch and hold it to one thread, and leave its state behind as it was."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _thin_out(data: TrainingSet) -> TrainingSet:
    """Keep every n-th row, and of rare classes at least one."""
    if len(data) <= MAX_ROWS:
        return data
    kept = np.zeros(len(data), dtype=bool)
    kept[np.linspace(0, len(data) - 1, MAX_ROWS).astype(np.intp)] = True
    if data.task != "regression":
        kept |= ~np.isin(data.y, np.unique(data.y[kept]))
    return data.take(kept)


@dataclass(frozen=True, eq=False)
class _Tensors:
    scaled: Any
    index: Any
    target: Any
    weights: Any

    def __len__(self) -> int:
        return len(self.target)


class _Training:
    """A network that is trained in place, epoch after epoch, by AdamW."""

    def __init__(self, data: TrainingSet, seed: int) -> None:
        """Prepare it; within `_reproducible`, as all that follows."""
        self._data = data
        self._scaler = Scaler.learn(data.numeric)
        self._levels, _ = learn_levels(data.categorical, min_count=3, limit=MAX_LEVELS)
        self._centre, self._scale = _standard(data)
        self._network = Network.create(waves_width(self._scaler.width), self._levels, data.width)
        self._loss = _loss(data.task, data.metric, data.width)
        self._rows = self._tensors(data)
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = _optimizer(self._network)
        self._decay = torch.optim.lr_scheduler.ExponentialLR(
            self._optimizer, gamma=LEARNING_RATE_DECAY
        )
        self._network.modules.eval()

    def _tensors(self, part: TrainingSet) -> _Tensors:
        regression = part.task == "regression"
        target = (part.y - self._centre) / self._scale if regression else part.y
        kind = torch.int64 if part.width > 1 else torch.float32
        return _Tensors(
            torch.from_numpy(add_waves(self._scaler.transform(part.numeric))),
            torch.from_numpy(index_levels(self._levels, part.categorical)),
            torch.from_numpy(target).to(kind),
            torch.ones(len(part))
            if part.weights is None
            else torch.from_numpy(part.weights).float(),
        )

    def one_epoch(self) -> None:
        """Descend once over all rows."""
        network = self._network
        network.modules.train()
        _one_epoch(network, self._loss, self._optimizer, self._rows, self._generator)
        self._decay.step()
        network.modules.eval()

    def loss(self, rows: TrainingSet) -> float:
        """Mean loss on other rows, as the network now is."""
        held = self._tensors(rows)
        with torch.no_grad():
            losses = self._loss(self._network(held.scaled, held.index), held.target)
            return float((held.weights * losses).mean())

    def fitted(self, epochs: int) -> FittedNetwork:
        """Give the network, which goes on changing with each epoch."""
        return FittedNetwork(
            self._data.task,
            self._data.width,
            self._scaler,
            self._levels,
            self._network,
            self._centre,
            self._scale,
            epochs,
        )


def _standard(data: TrainingSet) -> tuple[float, float]:
    """Give mean and deviation of a regression target, one for the deviation of a constant."""
    if data.task != "regression":
        return 0.0, 1.0
    return float(data.y.mean()), float(data.y.std()) or 1.0


def _loss(task: Task, metric: MetricName, width: int) -> Any:
    """Make what gives the loss of each row."""
    if task == "regression":
        inner = nn.L1Loss(reduction="none") if metric == "mae" else nn.MSELoss(reduction="none")
        return lambda raw, target: inner(raw[:, 0], target)
    if width > 1:
        return nn.CrossEntropyLoss(reduction="none")
    logits = nn.BCEWithLogitsLoss(reduction="none")
    return lambda raw, target: logits(raw[:, 0], target)


def _optimizer(network: Network) -> Any:
    groups = [{"params": list(network.layers.parameters()), "weight_decay": WEIGHT_DECAY}]
    if len(network.embeddings):
        weights = list(network.embeddings.parameters())
        groups.append({"params": weights, "weight_decay": EMBEDDING_DECAY})
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, fused=True)


def _one_epoch(
    network: Network, loss: Any, optimizer: Any, rows: _Tensors, generator: torch.Generator
) -> None:
    order = torch.randperm(len(rows), generator=generator)
    hidden = torch.rand(rows.index.shape, generator=generator) < HIDDEN_LEVELS
    index = rows.index.masked_fill(hidden, 0)
    for batch in order.split(_batch_size(len(rows))):
        optimizer.zero_grad()
        losses = loss(network(rows.scaled[batch], index[batch]), rows.target[batch])
        (rows.weights[batch] * losses).mean().backward()
        optimizer.step()


def _batch_size(rows: int) -> int:
    """Give some 100 steps an epoch, between 8 and 512 rows each."""
    return max(8, min(512, rows // 100))


def _embedding_width(size: int) -> int:
    return min(MAX_EMBEDDING, 1 + round(math.sqrt(size)))


def _below(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _array(parameter: Any) -> NDArray[Any]:
    values: NDArray[Any] = parameter.detach().numpy()
    return values
