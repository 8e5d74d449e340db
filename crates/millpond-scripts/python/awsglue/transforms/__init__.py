"""The transforms that scripts import by `from awsglue.transforms import *`.

Source: AWS Glue developer guide, "AWS Glue PySpark transforms reference".
"""

import json

from awsglue.transforms.field_transforms import (
    ApplyMapping,
    DropFields,
    DropNullFields,
    RenameField,
    ResolveChoice,
    SelectFields,
    SplitFields,
    Unbox,
    UnnestFrame,
)
from awsglue.transforms.record_transforms import (
    Coalesce,
    ErrorsAsDynamicFrame,
    Filter,
    FlatMap,
    Join,
    Map,
    MapToCollection,
    Relationalize,
    Repartition,
    SelectFromCollection,
    Spigot,
    SplitRows,
    Union,
)
from awsglue.transforms.transform import GlueTransform

ALL_TRANSFORMS = {
    ApplyMapping, Coalesce, DropFields, DropNullFields, ErrorsAsDynamicFrame, Filter, FlatMap, Join, Map, MapToCollection, Relationalize, RenameField,
    Repartition, ResolveChoice, SelectFields, SelectFromCollection, Spigot, SplitFields, SplitRows, Unbox, Union, UnnestFrame,
}  # fmt: skip

__all__ = [transform.__name__ for transform in ALL_TRANSFORMS]


def get_transforms():
    """An instance of each transform."""
    return {transform() for transform in ALL_TRANSFORMS}


def get_transform(name):
    """The transform of that name in any case, or None."""
    return next((transform for transform in get_transforms() if transform.name().lower() == name.lower()), None)


def describe_transform(name):
    """What a transform does and takes, as JSON; `{}` where there is none of that name."""
    transform = get_transform(name)
    return json.dumps(transform.describe() if transform else {}, sort_keys=True, indent=4, separators=(",", ": "))
