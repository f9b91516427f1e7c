"""Datasets, step 5: which images two datasets share, by name, by a table of names, or by their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from xrdatasets.datasets.collection import Collection, check_datasets
from xrdatasets.datasets.families import image_names, known_ids, members
from xrdatasets.datasets.files import user_path
from xrdatasets.datasets.image_hash import BITS, NEAR, hash_images, near_pairs
from xrdatasets.datasets.nih_names import read_records
from xrdatasets.datasets.options import check_count, check_flag
from xrdatasets.errors import DatasetNotFoundError, TableError

if TYPE_CHECKING:
    from xrdatasets.datasets.single import Single

__all__ = ["overlap", "overlap_messages"]

SUFFIX = r"\.(?:png|jpe?g|dcm|tiff?|bmp)$"


def overlap(
    first: Collection,
    second: Collection,
    *,
    join: str | Path | pd.DataFrame | None = None,
    hashes: bool = False,
    distance: int = NEAR,
    workers: int | None = None,
) -> pd.DataFrame:
    """Images that two datasets share.

    By id where two datasets are of one image family (NIH and NIHGoogle; CheXpert and what is made of it;
    RSNA, where the table of its names in NIH lies below its root); by a table of names; by the pixels.

    Args:
        first: a dataset, or several joined.
        second: another.
        join: a table that names the images of both: a CSV file, a JSON file (a list of objects), or a frame.
            Its columns are found by what stands in them; extensions of file names do not count.
        hashes: compare the images, too: each is read, made 32x32 and hashed (256 bits). Finds copies of
            other size, format and compression; not images that were cut by more than a hundredth,
            framed, inverted or mirrored.
        distance: the most bits in which the hashes of copies may differ.
        workers: threads that read images; None for as many as Python finds good.

    Returns:
        One row per pair: ``index_a``, ``index_b`` (rows), ``image_id_a``, ``image_id_b``, ``how`` (``id``,
        ``join`` or ``hash``, the first that found it), ``distance`` (bits, NA if the hashes did not find it).

    Raises:
        DatasetNotFoundError: the table of names is missing; with `hashes`, an image is.
        TableError: the table of names is none, or names no image of either dataset.
        ImageReadError: with `hashes`, an image is damaged.
        ValueError: an argument is none of the above.

    Example:
        >>> import xrdatasets as xr
        >>> nih, google = xr.NIH(NIH_GOOGLE_ROOT), xr.NIHGoogle(NIH_GOOGLE_ROOT)
        >>> xr.overlap(nih, google)[["index_a", "index_b", "image_id_a", "how"]]
           index_a  index_b    image_id_a how
        0        0        0  00000001_000  id
        1        2        1  00000002_000  id
    """
    check_datasets("overlap", (first, second))
    check_flag("hashes", hashes)
    check_count("distance", distance, least=0)
    if workers is not None:
        check_count("workers", workers, least=1)
    names = None if join is None else _read_join(join)
    found = [_by_id(first, second)]
    if names is not None:
        found.append(_by_table(first, second, names))
    if hashes:
        one = hash_images(first, workers=workers, name="first")
        two = one if second is first else hash_images(second, workers=workers, name="second")
        found.append(_pairs(*near_pairs(one, two, distance=min(distance, BITS)), how="hash"))
    return _described(pd.concat(found, ignore_index=True), first, second)


def overlap_messages(
    table: pd.DataFrame, families: pd.Series, rows: npt.NDArray[np.int32], parts: Sequence[Sequence[Single]]
) -> Iterator[str]:
    """What to say of each two datasets that share images: how many, or that it cannot be counted.

    Args:
        table: the images of several datasets.
        families: (N,) image family of each row.
        rows: (P, N) row of each image in each single dataset, -1 where it does not have it.
        parts: the P single datasets, in groups; those of a group were joined before.
    """
    single = [(group, part) for group, several in enumerate(parts) for part in several]
    has = rows >= 0
    found = [_Part.of(part, table, there) for (_, part), there in zip(single, has, strict=True)]
    pairs = [
        (one, two)
        for one, two in combinations(range(len(found)), 2)
        if single[one][0] != single[two][0] and found[one].named.keys() & found[two].named.keys()
    ]
    if not pairs:
        return
    where, names = image_names(table, families)
    for one, two in pairs:
        shared = where[has[one][where] & np.isin(names, names[has[two][where]])]
        if len(shared):
            yield _counted(found[one], found[two], len(np.unique(names[: len(table)][shared])))
        elif found[one].hides(found[two]):
            yield _uncounted(found[one], found[two])


@dataclass(frozen=True)
class _Part:
    """One of the joined datasets.

    Attributes:
        key: of the dataset.
        family: its image family.
        named: the families that it has images of, and whether the images are known by the family's ids.
        nameless: how many of its images its own family would know by another name, which is not at hand.
    """

    key: str
    family: str
    named: dict[str, bool]
    nameless: int

    @classmethod
    def of(cls, part: Single, table: pd.DataFrame, has: npt.NDArray[np.bool_]) -> _Part:
        key, family = part.facts.key, part.facts.image_family
        named, nameless = {family: True}, 0
        mine = table[has] if members(key) else table.iloc[:0]
        for member in members(key):
            if member.family == family:
                nameless = 0 if member.named else int(known_ids(mine).isna().sum())
                named[family] = not nameless
            elif mine["image_id"].str.startswith(member.prefix).any():
                named[member.family] = member.named
        return cls(key, family, named, nameless)

    def hides(self, other: _Part) -> bool:
        """Whether images may be shared that no id shows; rows of one dataset always show it."""
        common = self.named.keys() & other.named.keys()
        return self.key != other.key and not all(self.named[name] and other.named[name] for name in common)


def _counted(one: _Part, two: _Part, shared: int) -> str:
    same = one.family == two.family
    family = f"family {one.family!r}" if same else f"families {one.family!r} and {two.family!r}"
    use = "Use xr.join for one row per image, and" if same else "Use"
    rest = [
        f" {part.nameless:,} images of {part.key} have no name there: they may be shared too, on either side."
        for part in (one, two)
        if same and part.nameless
    ]
    return (
        f"concat: {one.key} and {two.key} share {shared:,} images ({family}). {use} split_by_patient() so "
        f"that no image stands on two sides.{''.join(rest)}"
    )


def _uncounted(one: _Part, two: _Part) -> str:
    listed = [
        member
        for part, other in ((one, two), (two, one))
        for member in members(part.key)
        if not part.named.get(member.family, True) and member.family in other.named
    ]
    common = sorted(one.named.keys() & two.named.keys())
    says = "; ".join(f"{member.dataset}: {member.reference}" for member in listed)
    tables = [f"Put the table of {m.dataset}'s names, {m.table}, below its root. " for m in listed if m.table]
    without = [member.dataset for member in listed if not member.table]
    hashes = f"No table of names is public for {' and '.join(without)}: use xr.overlap(a, b, hashes=True). "
    msg = (
        f"concat: {one.key} and {two.key} have images of one source ({', '.join(common)}) under unlike "
        f"names, as is published ({says}). What they share cannot be counted, nor kept on one side of a "
        f"split. {''.join(tables)}{hashes if without else ''}"
    )
    return msg.rstrip()


def _by_id(first: Collection, second: Collection) -> pd.DataFrame:
    rows, names = image_names(first._table, first._families())
    others, other_names = image_names(second._table, second._families())
    return _merged(
        pd.DataFrame({"index_a": rows, "name": names}), pd.DataFrame({"index_b": others, "name": other_names})
    )


def _by_table(first: Collection, second: Collection, names: pd.DataFrame) -> pd.DataFrame:
    ids = [dataset._table["image_id"] for dataset in (first, second)]
    hits = [{name: int(ids_.isin(names[name]).sum()) for name in names} for ids_ in ids]
    columns = [max(found, key=lambda name: found[name], default="") for found in hits]
    if columns[0] == columns[1] and len(names.columns) > 1:  # one of them is found better elsewhere
        weak = int(hits[1][columns[1]] <= hits[0][columns[0]])
        rest = {name: n for name, n in hits[weak].items() if name != columns[0]}
        columns[weak] = max(rest, key=lambda name: rest[name])
    if not any(found.get(name) for found, name in zip(hits, columns, strict=True)):
        listed = ", ".join(map(str, names.columns)) or "none"
        msg = (
            "join: no column of the table names an image of either dataset (its columns of words are: "
            f"{listed}). Expected a column of image ids for each dataset."
        )
        raise TableError(msg)
    pairs = pd.DataFrame({"a": names[columns[0]], "b": names[columns[1]]}).drop_duplicates()
    left, right = (
        pd.DataFrame({index: np.arange(len(ids_)), name: ids_.to_numpy()})
        for index, name, ids_ in (("index_a", "a", ids[0]), ("index_b", "b", ids[1]))
    )
    both = pairs.merge(left, on="a").merge(right, on="b")
    return _pairs(both["index_a"].to_numpy(), both["index_b"].to_numpy(), how="join")


def _merged(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    both = left.merge(right, on="name")
    return _pairs(both["index_a"].to_numpy(), both["index_b"].to_numpy(), how="id")


def _pairs(
    rows: npt.NDArray[np.intp],
    others: npt.NDArray[np.intp],
    bits: npt.NDArray[np.int16] | None = None,
    *,
    how: str,
) -> pd.DataFrame:
    frame = pd.DataFrame({"index_a": rows, "index_b": others, "how": how})
    apart = pd.Series(pd.NA, index=frame.index) if bits is None else bits
    return frame.assign(distance=pd.array(apart, dtype="Int16"))


def _described(pairs: pd.DataFrame, first: Collection, second: Collection) -> pd.DataFrame:
    """Each pair once, in order of rows, by what found it first, with the distance if there is one."""
    keys = ["index_a", "index_b"]
    pairs["distance"] = pairs.groupby(keys)["distance"].transform("min")
    pairs = pairs.drop_duplicates(keys).sort_values(keys, ignore_index=True)
    return pd.DataFrame(
        {
            "index_a": pairs["index_a"].astype(np.int64),
            "index_b": pairs["index_b"].astype(np.int64),
            "image_id_a": first._table["image_id"].iloc[pairs["index_a"]].array,
            "image_id_b": second._table["image_id"].iloc[pairs["index_b"]].array,
            "how": pairs["how"].astype("str"),
            "distance": pairs["distance"],
        }
    )


def _read_join(join: str | Path | pd.DataFrame) -> pd.DataFrame:
    """The columns of words of a table of names, without extensions.

    Raises:
        DatasetNotFoundError: there is no such file.
        TableError: it is no table.
        ValueError: neither a path nor a frame.
    """
    if not isinstance(join, pd.DataFrame):
        path = user_path(join, name="join")
        if not path.is_file():
            msg = f"join: no file {str(path)!r}. Expected a CSV or JSON file that names the images of both."
            raise DatasetNotFoundError(msg)
        join = read_records(path, dataset="join")
    words = {
        str(name): column.str.strip().str.replace(SUFFIX, "", regex=True, case=False)
        for name, column in join.items()
        if pd.api.types.infer_dtype(column, skipna=True) == "string"
    }
    return pd.DataFrame(words, index=join.index)
