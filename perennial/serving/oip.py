"""Open Inference Protocol v2 (KServe's "V2 Inference Protocol") with the binary tensor extension.

The ids of a request's rows, by which feedback names them, are the request's id where it has one
row, and ``<id>#0``, ``<id>#1``, ... where it has several. A request without an id gets one in the
answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from perennial.packaging.predictor import predicted_labels
from perennial.packaging.signature import OUTPUT, Signature
from perennial.serving import tensors
from perennial.serving.http import JSON, HttpError, Response, encode_json
from perennial.serving.rows import MAX_ID, decode_json

if TYPE_CHECKING:
    from perennial.serving.models import LoadedModel

LABEL = "label"
HEADER_LENGTH = b"inference-header-content-length"
_BINARY = "application/octet-stream"


class InputParameters(msgspec.Struct, frozen=True):
    """Parameters of an input."""

    binary_data_size: int | UnsetType = UNSET
    shared_memory_region: str | UnsetType = UNSET


class InferInput(msgspec.Struct):
    """A tensor as it was sent; without data it lies in the binary part of the body."""

    name: str
    shape: list[int]
    datatype: str
    parameters: InputParameters = InputParameters()
    data: msgspec.Raw | UnsetType = UNSET


class OutputParameters(msgspec.Struct, frozen=True):
    """Parameters of a requested output."""

    binary_data: bool | None = None
    classification: int = 0
    shared_memory_region: str | UnsetType = UNSET


class InferOutput(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class RequestParameters(msgspec.Struct, frozen=True):
    """Parameters of a request."""

    binary_data_output: bool = False


class InferRequest(msgspec.Struct):
    """The JSON part of an infer request."""

    inputs: list[InferInput]
    id: str = ""
    outputs: list[InferOutput] = []
    parameters: RequestParameters = RequestParameters()


_decoder = msgspec.json.Decoder(InferRequest)


class _Anything(msgspec.Struct, gc=False):
    """An object of which nothing is kept."""


class _Counted(msgspec.Struct):
    inputs: list[_Anything]
    outputs: list[_Anything] = []


_count = msgspec.json.Decoder(_Counted)
_MANY = 10_000
"""Inputs or outputs of one request; a feature has one."""


def parse(
    body: bytes, header_length: str | None, most: int
) -> tuple[InferRequest, dict[str, tensors.Tensor]]:
    """Read a body: its JSON part, and its inputs decoded.

    Args:
        header_length: ``Inference-Header-Content-Length`` as sent; None: all of it is JSON.
        most: elements that all inputs together may have.

    Raises:
        HttpError: 400 or 422, saying what is wrong.
    """
    binary = memoryview(b"")
    if header_length is not None:
        is_number = header_length.isascii() and header_length.isdigit() and len(header_length) < 20
        if not is_number or int(header_length) > len(body):
            raise HttpError(
                400, f"Inference-Header-Content-Length: {header_length[:50]!r} is wrong"
            )
        binary = memoryview(body)[int(header_length) :]
        body = body[: int(header_length)]
    if body.count(b"{") > _MANY:
        counted: _Counted = decode_json(_count, body)
        if max(len(counted.inputs), len(counted.outputs)) > _MANY:
            raise HttpError(422, f"more than {_MANY} inputs or outputs in one request")
    request: InferRequest = decode_json(_decoder, body)
    if len(request.id) > MAX_ID:
        raise HttpError(400, f"an id has at most {MAX_ID} characters")
    return request, _tensors(request, binary, most)


def _tensors(request: InferRequest, binary: memoryview, most: int) -> dict[str, tensors.Tensor]:
    found: dict[str, tensors.Tensor] = {}
    for given in request.inputs:
        if given.name in found:
            raise HttpError(400, f"input {given.name[:200]!r} stands twice")
        size = given.parameters.binary_data_size
        if not isinstance(given.parameters.shared_memory_region, UnsetType):
            raise HttpError(400, f"input {given.name[:200]!r}: shared memory is not offered")
        if isinstance(size, UnsetType):
            if isinstance(given.data, UnsetType):
                raise HttpError(400, f"input {given.name[:200]!r} has no data")
            found[given.name] = tensors.from_json(
                given.name, given.shape, given.datatype, bytes(given.data), most
            )
        else:
            if not 0 <= size <= len(binary):
                raise HttpError(
                    400, f"input {given.name[:200]!r}: binary_data_size {size} is wrong"
                )
            found[given.name] = tensors.from_binary(
                given.name, given.shape, given.datatype, binary[:size], most
            )
            binary = binary[size:]
        most -= math.prod(given.shape)
    if len(binary):
        raise HttpError(400, f"{len(binary)} bytes of binary data belong to no input")
    return found


def check_outputs(request: InferRequest, signature: Signature) -> None:
    """See that the model has what is asked for, before it is asked.

    Raises:
        HttpError: 400 for an output that it does not have, or cannot give as it is wanted.
    """
    if not request.outputs:
        return
    known = [name for name, *_ in outputs(signature)]
    for asked in request.outputs:
        if asked.name not in known:
            raise HttpError(
                400, f"unknown output {asked.name[:200]!r}; the model gives {', '.join(known)}"
            )
        if asked.parameters.classification:
            raise HttpError(400, "the classification extension is not offered; ask for 'label'")
        if not isinstance(asked.parameters.shared_memory_region, UnsetType):
            raise HttpError(400, "shared memory is not offered")


def respond(
    request: InferRequest, request_id: str, model: LoadedModel, output: NDArray[np.float32]
) -> Response:
    """Write an answer in the form that was asked for."""
    by_default = request.parameters.binary_data_output
    described: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for asked in request.outputs or model.outputs:
        datatype, shape, values = _output(asked.name, model.signature, output)
        entry: dict[str, Any] = {"name": asked.name, "datatype": datatype, "shape": shape}
        binary = asked.parameters.binary_data
        if by_default if binary is None else binary:
            blob = tensors.pack_bytes(values) if datatype == tensors.BYTES else output.tobytes()
            entry["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            entry["data"] = values if datatype == tensors.BYTES else output.ravel().tolist()
        described.append(entry)
    head = encode_json(
        {
            "model_name": model.pipeline,
            "model_version": model.version,
            "id": request_id,
            "outputs": described,
        }
    )
    if not blobs:
        return Response(200, head, JSON)
    length = ("Inference-Header-Content-Length", str(len(head)))
    return Response(200, b"".join((head, *blobs)), _BINARY, (length,))


def _output(
    name: str, signature: Signature, output: NDArray[np.float32]
) -> tuple[str, list[int], list[str]]:
    """Give datatype, shape and, for labels, the values of an output."""
    if name == OUTPUT:
        return "FP32", list(output.shape), []
    return tensors.BYTES, [len(output), 1], predicted_labels(signature, output)


def inputs(signature: Signature) -> list[tuple[str, str, list[int]]]:
    """Name, datatype and shape of the inputs, one a feature."""
    return [
        (f.name, "FP32" if f.kind == "numeric" else tensors.BYTES, [-1, 1])
        for f in signature.features
    ]


def outputs(signature: Signature) -> list[tuple[str, str, list[int]]]:
    """Name, datatype and shape of the outputs."""
    found = [(OUTPUT, "FP32", [-1, signature.width])]
    return [*found, (LABEL, tensors.BYTES, [-1, 1])] if signature.classes else found
