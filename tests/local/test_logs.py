"""Logs stay bounded while their writers hold them open."""

from __future__ import annotations

from perennial.local.logs import bound, tail


def test_a_log_that_has_grown_is_moved_and_its_writer_goes_on(tmp_path):
    log = tmp_path / "part.log"
    with log.open("a") as writer:
        writer.write("old\n" * 100)
        writer.flush()
        assert not bound(log, max_bytes=400)
        assert bound(log, max_bytes=399)
        writer.write("new\n")
    assert log.read_text() == "new\n"
    assert (tmp_path / "part.log.1").read_text() == "old\n" * 100


def test_the_last_words_are_the_last_lines_that_say_something(tmp_path):
    log = tmp_path / "part.log"
    assert tail(log) == ""
    log.write_text("first\nsecond\n\n  \n")
    assert tail(log) == "second"
    assert tail(log, lines=5) == "first\nsecond"


def test_an_absent_log_needs_no_bound(tmp_path):
    assert not bound(tmp_path / "none.log")
