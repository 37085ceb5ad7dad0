"""An S3 server on 127.0.0.1 for tests, and sharded datasets made from dataset folders.

tests/conftest.py makes the fixtures known to all tests.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synth import dataset, shards
from synth.storage import Storage, storage_of

STARTED = 30.0  # s, the longest that the server may need to start


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Runs an empty S3 server; yields its address."""
    pytest.importorskip("moto.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()"]
    server = subprocess.Popen(
        [*command, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + STARTED
        while True:
            try:
                urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "the S3 server ended"
                assert time.monotonic() < end, "the S3 server did not start"
                time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait()


def environment(address: str) -> dict[str, str]:
    """The variables by which the libraries find an S3 server."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the S3 server, whose address and credentials are in the environment."""
    import boto3

    for name, value in environment(s3_server).items():
        monkeypatch.setenv(name, value)
    return boto3.client("s3")


@contextmanager
def refuse_requests(address: str) -> Iterator[None]:
    """In the block, the server checks credentials, and knows none."""

    def unchecked(count: str) -> None:  # number of requests without a check
        url, headers = f"{address}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, count.encode(), headers)
        urllib.request.urlopen(request, timeout=5).close()

    unchecked("0")
    try:
        yield
    finally:
        unchecked("inf")


_numbers = itertools.count()


@pytest.fixture
def bucket(s3: Any) -> str:
    """The name of a new bucket."""
    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def upload(s3: Any) -> Callable[[Path, str, str], str]:
    """A function (folder, bucket, prefix): copies the files below a folder -> their URL."""

    def copy(folder: Path, bucket: str, prefix: str) -> str:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder).as_posix()}"
                s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
        return f"s3://{bucket}/{prefix}"

    return copy


def shard_dataset(folder: Path, place: str | Path, rows: int = 10, group: int = 4) -> Storage:
    """Writes a dataset folder as a sharded dataset; returns the folder of the shards.

    Args:
        rows: in a shard.
        group: rows in a row group.
    """
    target = storage_of(place)
    table = dataset.parse(folder)
    written = []
    for number, start in enumerate(range(0, len(table), rows)):
        data = _shard(folder, table.iloc[start : start + rows], group)
        name = f"{shards.SHARDS}/part-{number:06d}.parquet"
        target.write_bytes(name, data)
        digest = hashlib.sha256(data).hexdigest()
        count = len(table.iloc[start : start + rows])
        written.append({"name": name, "rows": count, "bytes": len(data), "sha256": digest})
    about = json.loads((folder / dataset.RECIPE).read_text())
    manifest = {**about, "form": shards.FORM, "rows": len(table), "shards": written}
    target.write_bytes("skipped.csv", (folder / "skipped.csv").read_bytes())
    target.write_bytes("README.md", (folder / "README.md").read_bytes())
    target.write_bytes(shards.MANIFEST, json.dumps(manifest, indent=2).encode())
    return target


def _shard(folder: Path, table: pd.DataFrame, group: int) -> bytes:
    """Rows of a dataset folder -> the bytes of a shard."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"text": pa.string(), "number": pa.float64(), "whole": pa.int64()}
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: dict[str, Any] = {}
    features: dict[str, Any] = {}
    for names, column in shards.PICTURES.items():
        if (table[names] != "").any():
            cells = [
                {"bytes": (folder / name).read_bytes(), "path": name} if name else None
                for name in table[names]
            ]
            columns[column] = pa.array(cells, picture)
            features[column] = {"_type": "Image"}
    for name, kind in dataset.COLUMNS.items():
        columns[name] = pa.array(table[name], kinds[kind.split()[0]], from_pandas=True)
        dtype = {"text": "string", "number": "float64", "whole": "int64"}[kind.split()[0]]
        features[name] = {"dtype": dtype, "_type": "Value"}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    sink = pa.BufferOutputStream()
    parquet.write_table(
        pa.table(columns).replace_schema_metadata(about), sink, row_group_size=group,
        compression="zstd", use_dictionary=list(dataset.COLUMNS),
    )  # fmt: skip
    return sink.getvalue().to_pybytes()
