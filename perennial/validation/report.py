"""What a suite says of a table."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from perennial.validation.rules import Severity


class Finding(BaseModel):
    """One rule that was broken."""

    model_config = ConfigDict(frozen=True)

    rule: str
    column: str | None
    severity: Severity
    observed: str
    """What was seen, in words."""
    refused: int = 0
    """Rows that it sets aside."""

    def __str__(self) -> str:
        subject = self.column or "table"
        aside = f", {self.refused} rows set aside" if self.refused else ""
        return f"{subject}: {self.rule} is broken ({self.observed}){aside}"


class Report(BaseModel):
    """What a suite says of a table."""

    model_config = ConfigDict(frozen=True)

    rows: int
    rules: int
    findings: tuple[Finding, ...]
    refused: int = 0
    """Rows that go aside."""
    share: float = 0.0
    """Of the rows that may go aside."""
    unlabelled: int = 0
    """Rows that were left out, as a training does, because their truth is not known."""

    @property
    def held(self) -> tuple[Finding, ...]:
        """Findings for which the rows may not be used, also what remains of them."""
        severe = tuple(f for f in self.findings if f.severity == "hold")
        if self.refused <= self.share * self.rows:
            return severe
        return severe + tuple(f for f in self.findings if f.refused)
