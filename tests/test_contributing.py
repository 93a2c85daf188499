"""What a contributor is told to run is what there is."""

from __future__ import annotations

import re

import yaml

from tests.documents import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")


def recipe(target: str) -> list[str]:
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found is not None
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def test_the_hooks_before_a_commit_run_what_make_check_runs():
    declared = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repo,) = declared["repos"]
    assert repo["repo"] == "local"
    assert [hook["entry"] for hook in repo["hooks"]] == recipe("check")


def test_every_group_of_tests_is_run_by_one_command_and_by_the_checks():
    checks = (PROJECT / ".ci/run").read_text(encoding="utf-8")
    for target in ("test", "test-servers", "test-slow"):
        assert f"step make {target}\n" in checks
    told = re.findall(r'-m "?([^"\n]+?)"? *(?:\$|$)', MAKEFILE, re.MULTILINE)
    assert {"not slow and not servers", "servers and not slow", "slow"} <= {*told}


def test_every_phony_target_is_said_to_be_one():
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    said = {*re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)}
    assert said == {*phony[1].split()}
