"""What a decision rests on, and what it says."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from perennial.datasets.dates import Dates
from perennial.drift.detector import InputVerdict
from perennial.drift.loss import LossVerdict
from perennial.evaluation.mixing import MemberErrors, Mixture
from perennial.spec import Costs, Depth


class Verdicts(BaseModel):
    """What was learned in one window: of its inputs, and of older windows' labels that came."""

    model_config = ConfigDict(frozen=True)

    window: str
    dates: Dates | None = None
    """Of its rows; None: they have no times."""
    input: InputVerdict | None = None
    losses: tuple[LossVerdict, ...] = ()
    errors: tuple[MemberErrors, ...] = ()
    """Of the members of the versions that answered these windows."""
    unknown: float = 0.0
    """Share of the labels that came which are of classes that the champion has never seen."""
    estimated: LossVerdict | None = None
    """Of the window itself while its labels have not come; None: they have, or there is nothing to
    estimate by."""


class HealRecord(BaseModel):
    """What became of earlier requests to heal."""

    model_config = ConfigDict(frozen=True)

    windows_since: int | None = None
    """Windows checked since the last request of any depth was answered, this one included; None:
    never asked."""
    retrain_windows: int | None = None
    """The same for a retrain, taken over or refused."""
    windows: int | None = None
    """Windows checked in all, this one included; None: those of the history are all there are."""
    undone: int = 0
    """Versions in a row that live traffic has rolled back, up to now."""
    standing: Mixture = Mixture.alone()
    """The shares by which the champion answers."""
    costs: Costs = Costs()
    """CPU seconds that the last heal of each depth took."""


class Decision(BaseModel):
    """What the policy makes of the verdicts."""

    model_config = ConfigDict(frozen=True)

    action: Literal["keep", "heal", "hold"]
    depth: Depth | None = None
    """Of a heal."""
    mixture: Mixture | None = None
    """The shares that the windows with labels speak for; None: there are none."""
    late: int = 0
    """Windows by which labels came behind the window's end."""
    ground: Literal["loss", "input", "members", "data", "none"]
    """Which evidence it rests on."""
    reason: str
    windows: tuple[str, ...] = ()
    """The windows that bear it out."""
    features: tuple[str, ...] = ()
    """The features that carry the shift, the strongest first."""
    loss_ratio: float | None = None
    """Loss over promise in those windows."""
    gain: float | None = None
    """Share of the loss that the heal is expected to take away; None: none was in question."""
    price: float | None = None
    """Share of the loss that the heal in question has to take away; None: none was in question."""
    cpu_seconds: float | None = None
    """That it is expected to take; None: see above."""
    put_off: bool = False
    """No heal could be asked for, whatever the evidence: one is under way, or it is too early."""
    wants_labels: bool = False
    """Nothing can be learned before labels come."""

    @property
    def title(self) -> str:
        """What a heal is asked for on: a drift is one only where inputs have moved."""
        return "Drift confirmed" if self.features else "Heal asked for"

    @property
    def told(self) -> str:
        """The reason, and before it what moved: drift in temp, hum: ..."""
        return (
            f"drift in {', '.join(self.features)}: {self.reason}" if self.features else self.reason
        )

    @property
    def name(self) -> str:
        """keep, hold, or the depth of the heal."""
        return self.depth or self.action
