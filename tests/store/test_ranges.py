import os

import pytest

from perennial.errors import Conflict
from perennial.store import ObjectFile

DATA = bytes(range(200))


def opened(store):
    etag = store.put("a", DATA)
    return ObjectFile(store, "a", size=len(DATA), etag=etag)


def test_a_file_over_an_object_reads_and_seeks_as_any_other(store):
    file = opened(store)
    assert file.read(3) == DATA[:3]
    assert (file.seek(-2, os.SEEK_END), file.read(9), file.read(1)) == (198, DATA[198:], b"")
    file.seek(10)
    assert file.seek(5, os.SEEK_CUR) == file.tell() == 15
    assert file.read() == DATA[15:]
    file.seek(1)
    buffer = bytearray(4)
    assert (file.readinto(buffer), bytes(buffer)) == (4, DATA[1:5])
    assert file.readable()
    assert file.seekable()


def test_an_object_that_was_replaced_is_not_read_on(store):
    file = opened(store)
    file.read(3)
    store.put("a", DATA[::-1])
    with pytest.raises(Conflict):
        file.read(3)
