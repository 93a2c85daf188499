"""Objects in one bucket: read, list, and write under a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel

from perennial.errors import Conflict, NotFound, StoreError
from perennial.settings import Settings
from perennial.store.signing import NO_KEYS, Keys, load_keys

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_LOST = {"412", "409", "PreconditionFailed", "ConditionalRequestConflict"}
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


@dataclass(frozen=True)
class StoredObject:
    """What lay under a key, and the ETag by which it can be replaced."""

    key: str
    data: bytes
    etag: str


@dataclass(frozen=True)
class ObjectInfo:
    """A line of a listing; ``size`` in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


class Store:
    """One bucket. Safe to share between threads."""

    def __init__(
        self, client: Any, bucket: str, *, endpoint: str | None = None, keys: Keys = NO_KEYS
    ) -> None:
        self._client = client
        self.bucket = bucket
        self.endpoint = endpoint
        self.keys = keys

    def get(self, key: str) -> StoredObject:
        """Read an object whole.

        Raises:
            NotFound: there is none.
            StoreError: the store cannot be reached, or refuses.
        """
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            return StoredObject(key, answer["Body"].read(), answer["ETag"])
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, key) from error

    def get_if_changed(self, key: str, etag: str | None) -> StoredObject | None:
        """Read an object unless it still carries ``etag``.

        Raises:
            NotFound, StoreError: as `get`.
        """
        condition = {} if etag is None else {"IfNoneMatch": etag}
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, **condition)
            return StoredObject(key, answer["Body"].read(), answer["ETag"])
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and _code(error) in {"304", "NotModified"}:
                return None
            raise self._translate(error, key) from error

    def get_range(self, key: str, start: int, length: int, *, if_match: str | None = None) -> bytes:
        """Read ``length`` bytes of an object from ``start`` on; at least one must be there.

        Args:
            if_match: only of the object with this ETag.

        Raises:
            Conflict: the object was replaced since.
            NotFound, StoreError: as `get`.
        """
        condition = {} if if_match is None else {"IfMatch": if_match}
        span = f"bytes={start}-{start + length - 1}"
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, Range=span, **condition)
            data: bytes = answer["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, key) from error
        return data

    def find(self, key: str) -> StoredObject | None:
        """Read an object, or None where there is none."""
        try:
            return self.get(key)
        except NotFound:
            return None

    def put(
        self,
        key: str,
        data: bytes,
        *,
        if_absent: bool = False,
        if_match: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Write an object and return its ETag.

        A request whose answer is lost is repeated, and a condition that held the first time does
        not hold the second. So an object that is there already, to the byte, counts as written:
        what is written under a condition must tell its writer (a time, a run, an id).

        Args:
            if_absent: only where no object stands under the key (If-None-Match: *).
            if_match: only over the object with this ETag (If-Match).

        Raises:
            Conflict: the condition does not hold.
            StoreError: the store cannot be reached, or refuses.
        """
        condition: dict[str, str] = {}
        if if_absent:
            condition["IfNoneMatch"] = "*"
        if if_match is not None:
            condition["IfMatch"] = if_match
        try:
            answer = self._client.put_object(
                Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, **condition
            )
        except (ClientError, BotoCoreError) as error:
            translated = self._translate(error, key)
            stands = self.find(key) if isinstance(translated, Conflict) else None
            if stands is not None and stands.data == data:
                return stands.etag
            raise translated from error
        return str(answer["ETag"])

    def upload(self, key: str, file: Path, progress: Callable[[int], None]) -> None:
        """Write a file that may be larger than memory, in parts, over what lies there.

        Args:
            progress: is told of each piece how many bytes it has; from several threads.

        Raises:
            StoreError: the store cannot be reached, refuses, or has no such bucket.
        """
        self._check_bucket()
        try:
            self._client.upload_file(str(file), self.bucket, key, Callback=progress)
        except S3UploadFailedError as error:
            told = error.__cause__ or error.__context__
            if isinstance(told, ClientError | BotoCoreError):
                raise self._translate(told, key) from error
            raise StoreError(f"{file} could not be put into {self.bucket}: {error}") from error
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, key) from error

    def _check_bucket(self) -> None:
        """See that the bucket is there: a store may make any that is named by mistake."""
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and _code(error) in _ABSENT | {"NoSuchBucket"}:
                where = self.endpoint or "S3"
                raise StoreError(f"there is no bucket {self.bucket!r} at {where}") from error
            raise self._translate(error, self.bucket) from error

    def put_json(
        self, key: str, model: BaseModel, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """Write a model as readable JSON; conditions and errors as `put`."""
        data = (model.model_dump_json(indent=2) + "\n").encode()
        return self.put(
            key, data, if_absent=if_absent, if_match=if_match, content_type="application/json"
        )

    def scan(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix in the order of their keys, those behind ``after``."""
        start = {} if after is None else {"StartAfter": after}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, **start
        )
        try:
            for page in pages:
                for item in page.get("Contents", ()):
                    yield ObjectInfo(item["Key"], item["Size"], item["ETag"], item["LastModified"])
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, prefix) from error

    def folders(self, prefix: str = "") -> list[str]:
        """Name the folders right below a prefix, without their slash."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, Delimiter="/"
        )
        try:
            found = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", ())]
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, prefix) from error
        return [name.removeprefix(prefix).rstrip("/") for name in found]

    def link(self, key: str, seconds: int) -> str:
        """An address under which a browser can read an object for so long, without keys."""
        address = self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )
        return str(address)

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is no error."""
        try:
            self._client.delete_object(Bucket=self.bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, key) from error

    def ensure_bucket(self) -> None:
        """Make the bucket unless it is there.

        Raises:
            StoreError: it is missing and may not be made, or the credentials are refused.
        """
        try:
            self._client.head_bucket(Bucket=self.bucket)
            return
        except ClientError as error:
            if _code(error) not in _ABSENT | {"NoSuchBucket"}:
                raise self._translate(error, self.bucket) from error
        except BotoCoreError as error:
            raise self._translate(error, self.bucket) from error
        try:
            self._client.create_bucket(Bucket=self.bucket)
        except ClientError as error:
            if _code(error) in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                return
            raise StoreError(
                f"bucket {self.bucket!r} is missing and may not be made here "
                f"({_code(error)}): make it, or set PERENNIAL_BUCKET to one that is there"
            ) from error

    def _translate(self, error: Exception, key: str) -> StoreError:
        where = self.endpoint or "S3"
        if not isinstance(error, ClientError):
            return StoreError(f"the store at {where} cannot be reached: {error}")
        code = _code(error)
        if code in _ABSENT:
            return NotFound(key)
        if code in _LOST:
            return Conflict(key)
        if code in _DENIED:
            return StoreError(
                f"the store at {where} refuses these credentials ({code}): "
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if code == "NoSuchBucket":
            return StoreError(f"there is no bucket {self.bucket!r} at {where}")
        return StoreError(f"the store at {where} answered {code} for {key!r}: {error}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def open_store(settings: Settings, *, retries: int = 5, timeout: float = 30.0) -> Store:
    """Connect to the bucket that the settings name; nothing is sent yet.

    Args:
        retries: attempts a request, with back-off.
        timeout: seconds to wait for a connection and for each read.

    Raises:
        StackError: a key that the settings name cannot be read.
    """
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region,
        config=Config(
            s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
            retries={"max_attempts": retries, "mode": "standard"},
            connect_timeout=min(timeout, 5.0),
            read_timeout=timeout,
            max_pool_connections=16,
        ),
    )
    keys = load_keys(settings.signing_key, settings.trusted_keys)
    return Store(client, settings.bucket, endpoint=settings.s3_endpoint, keys=keys)
