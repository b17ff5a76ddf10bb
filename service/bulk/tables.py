"""The table that a bulk run ends with: Parquet, CSV or lines of JSON, written in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from service.bulk.rows import Row

if TYPE_CHECKING:
    import pyarrow as pa

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")
ROWS_PER_GROUP = 16_384
"""Rows of one group of a Parquet file: what is held in memory at once."""

About = dict[str, Any]
"""What the table says of itself: the model that made it, the counts."""


class TableError(ValueError):
    """No table can be written to that name; the message says what would do."""


Write = Callable[[IO[bytes], Iterable[bytes], About], None]


def writer_for(out: Path) -> Write:
    """What writes the kind of table that the name's ending asks for.

    It takes a stream, the rows as lines of JSON, and what the table is to say of itself where its kind can.

    Raises:
        TableError: the ending is another one, or pyarrow is not installed.
    """
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_json_lines}
    if out.suffix not in writers:
        raise TableError(f"--out: expected a name that ends in {' or '.join(writers)}, got {str(out)!r}")
    if out.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401, PLC0415 - is needed for this kind alone
        except ImportError as error:
            raise TableError(
                "Parquet needs pyarrow, which the extra `bulk` installs: pip install '.[bulk]'; "
                "--out NAME.csv and --out NAME.jsonl need nothing more"
            ) from error
    return writers[out.suffix]


def sidecar_of(out: Path) -> Path | None:
    """Where a table that cannot say what made it has that said beside it: `predictions.csv.json`."""
    return None if out.suffix == ".parquet" else out.with_name(out.name + ".json")


def _write_json_lines(stream: IO[bytes], lines: Iterable[bytes], _about: About) -> None:
    stream.writelines(lines)


def _write_csv(stream: IO[bytes], lines: Iterable[bytes], _about: About) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(Row._fields)
    for line in lines:
        row = orjson.loads(line)
        row["path"] = _no_formula(row["path"])
        table.writerow([_cell(row[name]) for name in Row._fields])
    text.flush()
    text.detach()


def _no_formula(path: str) -> str:
    """The path so that no spreadsheet takes it for a formula, and it still leads to the file.

    Spreadsheets calculate a cell that begins with one of these signs, and may run what it names
    (https://owasp.org/www-community/attacks/CSV_Injection).
    """
    return os.path.join(os.curdir, path) if path.startswith(_FORMULA_SIGNS) else path  # noqa: PTH118 - keeps "./"


def _cell(value: Any) -> str:
    """Text as it is, nothing as an empty cell, all else as in JSON: numbers, `true`, `[0.1, …]`."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _write_parquet(stream: IO[bytes], lines: Iterable[bytes], about: About) -> None:
    import pyarrow as pa  # noqa: PLC0415 - is needed for this kind alone
    import pyarrow.json  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = _schema().with_metadata({"glimpse": json.dumps(about)})
    # Its own reader of JSON takes a third of the time that objects of Python on the way would.
    options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    lines = iter(lines)
    # Numbers and paths hardly repeat: in dictionaries they would take half as much room again.
    with pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=["label", "error"]) as table:
        while group := b"".join(islice(lines, ROWS_PER_GROUP)):
            rows = pa.json.read_json(pa.BufferReader(group), parse_options=options)
            table.write_table(rows.replace_schema_metadata(schema.metadata))


def _schema() -> pa.Schema:
    import pyarrow as pa  # noqa: PLC0415

    single, double = pa.float32(), pa.float64()
    kinds = {
        "path": pa.string(),
        "label": pa.int8(),
        **dict.fromkeys(("bbox_x", "bbox_y", "bbox_width", "bbox_height"), double),
        "inverted": pa.bool_(),
        "probabilities": pa.list_(single),
        "error": pa.string(),
    }
    return pa.schema([(name, kinds.get(name, single)) for name in Row._fields])
