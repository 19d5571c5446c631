"""Which columns a dataset of CSV files has, which of them are asked for, and in what order.

It knows labels and heads, and which labels a schema names; not types or rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.errors import PlanError, suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from taskinity_data.chunks.csv_head import Head
    from taskinity_data.chunks.schema import Column
    from taskinity_data.chunks.source_file import SourceFile

__all__ = [
    "by_label",
    "check_index_dtype",
    "check_same_columns",
    "find_index",
    "find_labels",
    "select_labels",
    "sort_layouts",
]


def find_labels(heads: Sequence[Head], schema: Any) -> list[Hashable]:
    """The labels of the dataset, in order.

    Those of an Arrow schema where there is one, whatever files have; else the first file's, and
    behind them what a dict names and another file has, as it comes up.
    """
    first = heads[0].labels
    by_name = {str(label): label for head in heads for label in head.labels}
    if isinstance(schema, pa.Schema):
        if len(set(schema.names)) < len(schema.names):
            raise PlanError(f"schema={schema.names}: names a column twice; name each once")
        return [by_name.get(name, name) for name in schema.names]
    found = dict.fromkeys(first)
    if isinstance(schema, dict):
        for head in heads[1:]:
            found |= dict.fromkeys(one for one in head.labels if one in schema)
    return list(found)


def by_label(dtype: Any, heads: Sequence[Head]) -> Any:
    """`dtype` by labels alone: as in pandas a key may be a position, where no label has a type."""
    labels = heads[0].labels
    if type(dtype) is not dict or any(head.labels != labels for head in heads):
        return dtype
    positions = {one for one in range(len(labels)) if one in dtype}
    if any(dtype[one] in (object, "object", "O") and one not in labels for one in positions):
        raise PlanError(f"dtype={dtype!r}: by position pandas makes no objects; give names")
    named = {key: one for key, one in dtype.items() if key in labels or key not in positions}
    return {label: dtype[one] for one, label in enumerate(labels) if one in positions} | named


def select_labels(
    labels: Sequence[Hashable], columns: Sequence[Hashable] | None, usecols: Sequence[Any] | None
) -> list[Hashable]:
    """The labels that are asked for, in the order of delivery."""
    if columns is not None and usecols is not None:
        raise PlanError("columns= and usecols= both select columns; keep one of them")
    if usecols is not None:
        chosen = {
            labels[one] if isinstance(one, int) and 0 <= one < len(labels) else one
            for one in usecols
        }
        check_known("usecols", chosen, labels)
        return [label for label in labels if label in chosen]
    if columns is None:
        return list(labels)
    if isinstance(columns, str):
        raise PlanError(f"columns={columns!r}: must be a list, such as [{columns!r}]")
    check_known("columns", columns, labels)
    if len(set(columns)) != len(columns):
        raise PlanError(f"columns={list(columns)!r}: names a column twice")
    return list(columns)


def find_index(asked: Sequence[Any], labels: Sequence[Hashable]) -> list[Hashable]:
    """The labels of the columns that `index_col` means among those that are read."""
    for column in asked:
        if isinstance(column, int) and column >= len(labels):
            raise PlanError(f"index_col={column!r}: there are {len(labels)} columns, from 0")
    found = [labels[one] if isinstance(one, int) else one for one in asked]
    if found:
        check_known("index_col", found, labels)
    if len(set(found)) < len(found):
        raise PlanError(f"index_col={list(asked)!r}: names a column twice")
    return found


def check_index_dtype(
    index: Sequence[Hashable], dtype: Any, given: Mapping[Hashable, Column]
) -> None:
    """Refuse objects as the one dtype of all columns: of an index pandas infers another then."""
    for label in index:
        if dtype is not None and not isinstance(dtype, dict) and given[label].dtype == object:
            raise PlanError(
                f"index_col={label!r}: beside dtype={dtype!r} pandas infers the type of the index; "
                f"name the dtypes of columns, dtype={{{label!r}: 'str'}}"
            )


def check_known(option: str, chosen: Any, labels: Sequence[Hashable]) -> None:
    if not chosen:
        raise PlanError(f"{option}=[]: select at least one column")
    for label in chosen:
        if label not in labels:
            raise PlanError(
                f"{option}: there is no column {label!r} among {', '.join(map(repr, labels))}."
                f"{suggest(str(label), map(str, labels))}"
            )


def check_same_columns(
    files: Sequence[SourceFile],
    heads: Sequence[Head],
    needed: Sequence[Hashable],
    *,
    is_chosen: bool,
    optional: Collection[Hashable] = (),
) -> None:
    """Raise `PlanError` where a file lacks a column, or has one that nobody asked about.

    Those of `optional` it may lack.
    """
    wanted = set(needed)
    for file, head in zip(files, heads, strict=True):
        missing = [one for one in needed if one not in head.labels and one not in optional]
        extra = [] if is_chosen else [label for label in head.labels if label not in wanted]
        if missing or extra:
            parts = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
            parts += [f"has also {', '.join(map(repr, extra))}"] if extra else []
            raise PlanError(
                f"{file.path}: its columns are not those of {files[0].path}: it "
                f"{' and '.join(parts)}; open these files apart, select with columns= what all of "
                f"them have, or name the type, schema={{{(missing or extra)[0]!r}: 'float64'}}: "
                "rows of files that lack the column then have missing values"
            )


def sort_layouts(
    files: Sequence[SourceFile], heads: Sequence[Head]
) -> tuple[tuple[tuple[Hashable, ...], ...], dict[str, int]]:
    """The distinct orders of columns, and the files that don't have the commonest."""
    counts: dict[tuple[Hashable, ...], int] = {}
    for head in heads:
        counts[head.labels] = counts.get(head.labels, 0) + 1
    layouts = tuple(sorted(counts, key=lambda labels: -counts[labels]))
    positions = {labels: position for position, labels in enumerate(layouts)}
    layout_of = {
        file.path: positions[head.labels]
        for file, head in zip(files, heads, strict=True)
        if positions[head.labels]
    }
    return layouts, layout_of
