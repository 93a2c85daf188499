"""Look at a table that nobody has declared yet, as an engineer would, and write its pipeline.yaml.

`look_at` makes a `Look` of a table: what each column is, which role it plays and why, what the
stream's pace asks for. `write_declaration` puts that into words; `init_pipeline` reads and writes
the files.
"""

from perennial.declaring.init import declare, init_pipeline
from perennial.declaring.look import look_at
from perennial.declaring.verdict import Look, Sight

__all__ = ["Look", "Sight", "declare", "init_pipeline", "look_at"]
