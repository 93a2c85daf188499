"""Every key the system writes, in one place. Keys are relative to the bucket."""

from __future__ import annotations

_WINDOW, _TO, _HELD = "w", "..", "-held"


def declaration(pipeline: str) -> str:
    """The pipeline.yaml in force, with where it came from."""
    return f"{pipeline}/pipeline.json"


def expectations(pipeline: str) -> str:
    """The Great Expectations suite that the last training learned."""
    return f"{pipeline}/expectations.json"


def edits(pipeline: str) -> str:
    """Copy of the expectations.json beside pipeline.yaml, which is a person's."""
    return f"{pipeline}/expectations-edited.json"


def fact(pipeline: str, name: str) -> str:
    """A declaration, or a suite, that a decision went by, named by its sha256."""
    return f"{pipeline}/facts/{name}.json"


def state(pipeline: str) -> str:
    """Champion, challenger, stage, weight, previous, fence."""
    return f"{pipeline}/state.json"


def lease(pipeline: str) -> str:
    """Who may change this pipeline now."""
    return f"{pipeline}/lease.json"


def look_lease(pipeline: str) -> str:
    """Who judges the pipeline's windows now."""
    return f"{pipeline}/look-lease.json"


def rollout_lease(pipeline: str) -> str:
    """Who watches the pipeline's rollout now."""
    return f"{pipeline}/rollout-lease.json"


def prediction_log(pipeline: str) -> str:
    """Prefix of the segments of what was asked and answered."""
    return f"{pipeline}/log/predictions/"


def feedback_log(pipeline: str) -> str:
    """Prefix of the segments of what was true."""
    return f"{pipeline}/log/feedback/"


def log_segment(prefix: str, ulid: str, rows: int) -> str:
    """One segment. Its row count stands in its name, so that a cursor skips it unread."""
    return f"{prefix}{ulid}.{rows}.parquet"


def segment_rows(key: str) -> int:
    """How many rows a segment holds, from its key."""
    return int(key.rsplit("/", 1)[-1].split(".")[1])


def segment_ulid(key: str) -> str:
    """When a segment was named, and what it sorts by."""
    return key.rsplit("/", 1)[-1].partition(".")[0]


_MERGED = "merged"


def merged_segments(prefix: str, first: str, last: str, rows: int) -> str:
    """Several segments in one file. Sorts right behind the last segment that it holds.

    A listing goes through keys in their order, so one that passed a segment before it was removed,
    or found it gone, comes to this file later in either case.

    Args:
        first, last: ULIDs of its first and its last segment.
    """
    return f"{prefix}{last}.{_MERGED}.{first}.{rows}.parquet"


def is_merged(key: str) -> bool:
    """Tell a file of several segments from a segment."""
    return key.rsplit("/", 1)[-1].split(".")[1] == _MERGED


def first_merged(key: str) -> str:
    """ULID of the first segment in a file of several, from its key."""
    return key.rsplit("/", 1)[-1].split(".")[2]


def snapshots(pipeline: str) -> str:
    """Prefix of the snapshots' descriptions and rows."""
    return f"{pipeline}/snapshots/"


def snapshot(pipeline: str, sha256: str) -> str:
    """The description of the exact data of one training."""
    return f"{pipeline}/snapshots/{sha256}.json"


def snapshot_data(pipeline: str, sha256: str) -> str:
    """The rows of a snapshot."""
    return f"{pipeline}/snapshots/{sha256}.parquet"


def validation_report(pipeline: str, sha256: str) -> str:
    """What the rules said of a snapshot, as a page."""
    return f"{pipeline}/snapshots/{sha256}.html"


def quarantine(pipeline: str) -> str:
    """Prefix of what was refused."""
    return f"{pipeline}/quarantine/"


def held_window(window: str) -> str:
    """What stands in quarantine for a window that is held whole."""
    return f"{window}{_HELD}"


def quarantined_window(name: str) -> str | None:
    """The window that something in quarantine is of; None: it is of a snapshot."""
    window = name.partition("-")[0]
    return window if window.startswith(_WINDOW) else None


def quarantine_record(pipeline: str, name: str) -> str:
    """What was refused of a window or snapshot, and why; written last."""
    return f"{pipeline}/quarantine/{name}/record.json"


def quarantine_rows(pipeline: str, name: str) -> str:
    """The rows that were refused, each with its rule."""
    return f"{pipeline}/quarantine/{name}/rows.parquet"


def quarantine_release(pipeline: str, name: str, release: str) -> str:
    """That refused rows may be used after all."""
    return f"{pipeline}/quarantine/{name}/released/{release}.json"


def versions(pipeline: str) -> str:
    """Prefix of all versions."""
    return f"{pipeline}/versions/"


def version_file(pipeline: str, version: str, name: str) -> str:
    """One file of a version."""
    return f"{pipeline}/versions/{version}/{name}"


def manifest(pipeline: str, version: str) -> str:
    """Written last: no manifest, no version."""
    return version_file(pipeline, version, "manifest.json")


def refused(pipeline: str, version: str) -> str:
    """In place of a manifest: why a candidate did not become a version."""
    return version_file(pipeline, version, "refused.json")


def pins(pipeline: str) -> str:
    """Prefix of the versions that a person keeps."""
    return f"{pipeline}/pins/"


def pin(pipeline: str, version: str) -> str:
    """Keeps a version for good, whatever its age."""
    return f"{pipeline}/pins/{version}.json"


def history(pipeline: str) -> str:
    """Prefix of what changed, when, why, by whom."""
    return f"{pipeline}/history/"


def history_entry(pipeline: str, ulid: str) -> str:
    """One change."""
    return f"{pipeline}/history/{ulid}.json"


def window_name(number: int) -> str:
    """Name the ``number``-th window of a stream, counted from 1; names sort as numbers do."""
    return f"{_WINDOW}{number:06d}"


def window_number(name: str) -> int:
    """The place of a window in its stream, counted from 1.

    Raises:
        ValueError: it is no window's name.
    """
    return int(name.removeprefix(_WINDOW))


def several_windows(first: str, last: str) -> str:
    """Name windows in a row that are taken together."""
    return first if first == last else f"{first}{_TO}{last}"


def window_span(name: str) -> tuple[str, str]:
    """Names of the first and the last window, which may be one, that a name stands for."""
    first, _, last = name.partition(_TO)
    return first, last or first


def checks(pipeline: str) -> str:
    """Prefix of every verdict and decision."""
    return f"{pipeline}/checks/"


def check(pipeline: str, window: str) -> str:
    """The verdicts on one window, and what was decided."""
    return f"{pipeline}/checks/{window}.json"


def look(pipeline: str) -> str:
    """When the monitor last ran, and how that ended."""
    return f"{pipeline}/look.json"


def checked_window(key: str) -> str:
    """Name of the window that a check is of, from its key."""
    return key.rsplit("/", 1)[-1].removesuffix(".json")


def notice(pipeline: str, incident: str) -> str:
    """That people were told of an incident."""
    return f"{pipeline}/notices/{incident}.json"


def alerts(pipeline: str) -> str:
    """Prefix of the alerts that asked for something."""
    return f"{pipeline}/alerts/"


def alert_record(pipeline: str, name: str) -> str:
    """What an alert asks for; written before anything is done about it."""
    return f"{pipeline}/alerts/{name}/record.json"


def alert_outcome(pipeline: str, name: str) -> str:
    """What was done about an alert; without it, it still waits."""
    return f"{pipeline}/alerts/{name}/outcome.json"


def backtest(pipeline: str, name: str) -> str:
    """What policies would have made of the source, in figures."""
    return f"{pipeline}/backtests/{name}.json"


def backtest_page(pipeline: str, name: str) -> str:
    """The same as a page."""
    return f"{pipeline}/backtests/{name}.html"


def validation_page(pipeline: str, name: str) -> str:
    """What the rules said of data that nobody trains on, as a page."""
    return f"{pipeline}/validations/{name}.html"


def score_job(output: str) -> str:
    """What a scoring fixed before its first part. Readers of folders pass over a leading ``_``."""
    return f"{output}_job.json"


def score_part(output: str, number: int) -> str:
    """One part of the scores; parts sort as their rows do."""
    return f"{output}part-{number:06d}.parquet"


def score_manifest(output: str) -> str:
    """Written last: no manifest, not all scored."""
    return f"{output}_manifest.json"


def probe(token: str) -> str:
    """A short-lived object by which a store is tried; ``raced`` stays: it says when many writers
    last did so at once."""
    return f".perennial-probe/{token}"
