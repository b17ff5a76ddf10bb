"""What makes a folder useless for training, found before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainer.folders.errors import FolderError
from trainer.folders.examine import Examined
from trainer.folders.layout import LAYOUT, NONE, ClassFile
from trainer.folders.skipped import Skipped
from trainer.folders.words import listed, printable

_SHOWN = 5


def class_names(files: Iterable[ClassFile]) -> set[str]:
    """The names of the classes that some files are of, `none` among them."""
    return {found.class_name for found in files}


def is_none(name: str) -> bool:
    """Whether the folder of that name holds pictures without the object."""
    return name.casefold() == NONE


def check_classes(classes: Sequence[str], readable: Sequence[ClassFile], skipped: Sequence[Skipped]) -> None:
    """Two classes, or one and `none/`, and in `val/` none that `train/` has not."""
    if not classes:
        why = f" Skipped files: {len(skipped):,}, as {_reason(skipped[0])}." if skipped else ""
        raise FolderError(f"found no class with a readable picture: {LAYOUT}.{why}")
    names = class_names(readable)
    if len(classes) == 1 and not any(map(is_none, names)):
        raise FolderError(
            f"found one class alone, {classes[0]}: expected two or more, or a folder {NONE}/ beside it with "
            f"pictures that do not show {classes[0]}, from which the model learns to tell that it is there"
        )
    trained = class_names(found for found in readable if found.given_side != "held_out")
    if unknown := sorted(names - trained):
        raise FolderError(
            f"classes that are held out but have no readable picture to train on: {listed(unknown)}"
        )


def _reason(skipped: Skipped) -> str:
    return f"{printable(skipped.file)}: {skipped.reason}"


def check_contents(readable: Sequence[ClassFile], examined: dict[str, Examined]) -> None:
    """The same bytes in two classes teach a contradiction."""
    first: dict[str, ClassFile] = {}
    pairs = []
    for found in readable:
        other = first.setdefault(examined[found.file].sha256, found)
        if other.class_name != found.class_name:
            pairs.append(f"{printable(other.file)} and {printable(found.file)}")
    if pairs:
        shown = "; ".join(pairs[:_SHOWN]) + (f"; and {len(pairs) - _SHOWN:,} more" * (len(pairs) > _SHOWN))
        raise FolderError(f"the same picture lies in the folders of two classes, keep it in one: {shown}")
