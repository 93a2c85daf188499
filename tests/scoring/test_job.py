from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from perennial.scoring.inputs import InputFile
from perennial.scoring.job import Job, Request

groups = st.lists(st.integers(0, 50), max_size=12)


@given(st.lists(groups, max_size=5), st.integers(1, 120))
def test_parts_cover_every_row_once_and_in_order(files, part_rows):
    job = Job(
        request=Request(pipeline="p", input="s3://b/in/"),
        version="0001",
        files=tuple(
            InputFile(key=f"in/{i}.parquet", size=1, etag="e", groups=tuple(rows))
            for i, rows in enumerate(files)
        ),
        part_rows=part_rows,
        created_at=datetime(2030, 1, 1, tzinfo=UTC),
    )
    parts = list(job.parts())
    assert [part.number for part in parts] == list(range(len(parts)))
    row = 0
    for part in parts:
        sizes = files[part.file][part.first : part.last]
        assert part.start == row
        assert part.rows == sum(sizes) > 0
        assert part.rows <= part_rows or sum(size > 0 for size in sizes) == 1
        row += part.rows
    assert row == job.rows == sum(map(sum, files))
    assert list(Job.model_validate_json(job.model_dump_json()).parts()) == parts
