"""Score files: in a store (larger than memory, resumable) or here; one output row an input row."""

from perennial.scoring.address import Address, check_apart, parse_address
from perennial.scoring.files import score_files
from perennial.scoring.inputs import copy_inputs
from perennial.scoring.job import (
    Job,
    Part,
    Request,
    ScoreManifest,
    find_job,
    finish_job,
    fix_job,
    new_job,
)
from perennial.scoring.parts import Scorer, check_kept

__all__ = [
    "Address",
    "Job",
    "Part",
    "Request",
    "ScoreManifest",
    "Scorer",
    "check_apart",
    "check_kept",
    "copy_inputs",
    "find_job",
    "finish_job",
    "fix_job",
    "new_job",
    "parse_address",
    "score_files",
]
