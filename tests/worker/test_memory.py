"""What a worker has just read it does not ask for again."""

import asyncio
from uuid import uuid4

import pytest
from pydantic import BaseModel

from worker.memory import remembered


class Thing(BaseModel):
    parts: list[int]


@pytest.fixture
def asked():
    return []


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def recall(asked, now):
    async def read(identity):
        asked.append(identity)
        if len(asked) == 1:
            raise LookupError
        return Thing(parts=[len(asked)])

    return remembered(read, seconds=1.0, clock=lambda: now[0])


def test_an_error_is_not_remembered_and_an_answer_for_a_while(recall, asked, now):
    one, other = uuid4(), uuid4()

    async def play():
        with pytest.raises(LookupError):
            await recall(one)
        first = await recall(one)
        first.parts.append(0)  # as whoever builds a configuration does
        now[0] = 0.9
        assert (await recall(one)).parts == [2]
        assert (await recall(other)).parts == [3]
        now[0] = 1.1
        assert (await recall(one)).parts == [4]

    asyncio.run(play())
    assert asked == [one, one, other, one]
