"""A newcomer's path through Prefect's UI, in a real Chromium; screenshots in the output folder.

The output folder is TEST_OUTPUT, else pytest's own of this run.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from perennial.local import offer_pipelines
from perennial.local.state import StackFiles
from perennial.registry import declare, read_state
from tests.e2e.conftest import drifting_stream, perennial
from tests.e2e.rollouts import Pipeline, Stack, until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
sync_api = pytest.importorskip("playwright.sync_api")

SLOW = 30_000
"""Milliseconds that a page may take on a machine that does other things too."""
BUSY = 503
"""What Prefect's server answers while its database is locked."""


@dataclass
class Browser:
    """One page of the UI, and where its pictures go."""

    page: Any
    stack: Stack
    output: Path

    @property
    def base(self) -> str:
        return str(self.stack.settings.prefect_api_url).removesuffix("/api")

    def log_in(self) -> None:
        """Enter what the stack's own file says; the UI remembers it.

        Before it shows the form it has asked for what only the password opens. A refusal of that
        which comes after the login, as on a busy machine, makes it forget the password again.
        """
        self.page.goto(self.base, wait_until="networkidle")
        password = StackFiles(self.stack.directory).prefect_auth.read_text().strip()
        inside = self.page.get_by_text("Flow Runs").first
        for _ in range(3):
            self.page.locator("input[type=password]").fill(password)
            self.picture("0-login")
            self.page.get_by_role("button", name="Login").click()
            with contextlib.suppress(sync_api.TimeoutError):
                inside.wait_for(timeout=SLOW / 3)
                break
        inside.wait_for()

    def visit(self, path: str, text: str) -> None:
        self.page.goto(self.base + path)
        self.page.get_by_text(text).first.wait_for()

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.output / f"{name}.png", full_page=True)

    def open_form(self, deployment: str) -> None:
        """Go to a deployment's form by its name in the list."""
        self.visit("/deployments", deployment)
        rows = self.page.locator("a[href*='/deployments/deployment/']")
        rows.filter(has_text=re.compile(f"^{deployment}$")).first.click()
        self.page.wait_for_url("**/deployments/deployment/*")
        self.visit(f"{self.page.url.removeprefix(self.base).partition('?')[0]}/run", "pipeline")
        self.page.wait_for_load_state("networkidle")

    def choose(self, option: str, others: list[str], picture: str) -> None:
        """Take an option of the first choice in a form, and see that others are offered."""
        self.page.locator(".schema-form-property-string .p-select-button__control").first.focus()
        self.page.keyboard.press("ArrowDown")
        for other in [option, *others]:
            self.page.get_by_role("option", name=other, exact=True).wait_for()
        self.picture(picture)
        self.page.get_by_role("option", name=option, exact=True).click()

    def submit(self) -> str:
        """Start the run of a form and give its id; again where the database was locked."""
        for _ in range(5):
            with self.page.expect_response("**/create_flow_run") as caught:
                self.page.get_by_role("button", name="Submit").click()
            if caught.value.status != BUSY:
                break
        assert caught.value.status == 201, caught.value.text()
        run: str = caught.value.json()["id"]
        return run

    def run_ends(self, run: str, name: str, state: str) -> None:
        """See on a run's page how it ended."""
        self.stack.deployments.wait(run, timeout=90)
        self.visit(f"/runs/flow-run/{run}", name)
        self.page.get_by_text(state, exact=True).first.wait_for()


@pytest.fixture(scope="module")
def browser(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    named = os.environ.get("TEST_OUTPUT")
    output = Path(named) / "ui" if named else tmp_path_factory.mktemp("screenshots")
    output.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1400, "height": 1100})
        page.set_default_timeout(SLOW)
        opened = Browser(page, stack, output)
        opened.log_in()
        yield opened
        chromium.close()
    print(f"screenshots: {output}")


def test_a_newcomer_trains_a_first_version_with_a_form_and_sees_what_came_of_it(browser):
    stack = browser.stack
    home = stack.directory.parent
    drifting_stream().to_csv(home / "stream.csv", index=False)
    declared = perennial(
        *("init", "turning", "--data", "stream.csv", "--target", "y", "--time", "when"),
        *("--folder", str(home / "turning"), "--dir", str(stack.directory)),
        cwd=home,
    )
    assert declared.returncode == 0, declared.stderr
    declare(stack.store, home / "turning")
    assert offer_pipelines(stack.directory)
    browser.visit("/deployments", "retrain")
    for name in ("advance", "backtest", "compact", "monitor", "recover", "rollback"):
        browser.page.get_by_role("link", name=name, exact=True).first.wait_for()
    browser.picture("1-deployments")
    browser.open_form("retrain")
    browser.choose("turning", ["bike", "elec2"], "2-form")
    run = browser.submit()
    browser.run_ends(run, "retrain turning: asked for by hand", "Registered")
    browser.picture("3-registered")
    browser.page.get_by_text("Artifacts", exact=True).click()
    for key in ("validation", "training", "gate", "version"):
        browser.page.get_by_text(f"{key}-turning").first.wait_for()
    browser.picture("4-artifacts")
    browser.page.get_by_text("gate-turning", exact=True).click()
    browser.page.get_by_text("Passed", exact=True).wait_for()
    browser.picture("5-gate")
    until(lambda: read_state(stack.store, "turning").state.champion)


def test_a_rollback_is_a_form_too(browser):
    pipeline = Pipeline(browser.stack, "by-hand")
    second = pipeline.register(1.5)
    browser.open_form("rollback")
    browser.choose("by-hand", ["bike"], "6-rollback")
    run = browser.submit()
    browser.run_ends(run, "rollback by-hand", "Rolled back")
    browser.picture("7-rolled-back")
    until(lambda: pipeline.state.challenger is None)
    assert pipeline.state.champion == pipeline.first != second


def test_a_challenger_is_taken_to_a_stage_that_is_chosen_from_a_list(browser):
    pipeline = Pipeline(browser.stack, "sent-on")
    second = pipeline.register(1.5)
    browser.open_form("advance")
    browser.choose("sent-on", ["bike"], "8-advance")
    run = browser.submit()
    browser.run_ends(run, "advance sent-on to promotion", "Promoted")
    until(lambda: pipeline.state.champion == second)


def test_a_name_that_nobody_declared_starts_no_run(browser):
    api = str(browser.stack.settings.prefect_address)
    deployment = httpx.get(f"{api}/deployments/name/retrain/retrain").json()["id"]
    body = {"parameters": {"pipeline": "nobody"}, "state": {"type": "SCHEDULED"}}
    answer = httpx.post(f"{api}/deployments/{deployment}/create_flow_run", json=body)
    assert answer.status_code in (409, 422)
    assert "nobody" in answer.text
