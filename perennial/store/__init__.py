"""The object store: S3 through boto3, conditional writes, and who may change a pipeline."""

from perennial.store.lease import Lease, acquire_lease
from perennial.store.objects import ObjectInfo, Store, StoredObject, open_store
from perennial.store.probe import probe, race_daily
from perennial.store.ranges import ObjectFile
from perennial.store.records import read_record

__all__ = [
    "Lease",
    "ObjectFile",
    "ObjectInfo",
    "Store",
    "StoredObject",
    "acquire_lease",
    "open_store",
    "probe",
    "race_daily",
    "read_record",
]
