"""The policies that a backtest knows."""

from __future__ import annotations

from typing import Literal, get_args

PolicyName = Literal["perennial", "never", "every", "periodic-5", "hindsight"]
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
YardstickName = Literal["arf", "srp", "cusum"]
"""Policies that need River; see `perennial.backtest.yardsticks`."""
YARDSTICKS: tuple[YardstickName, ...] = get_args(YardstickName)
