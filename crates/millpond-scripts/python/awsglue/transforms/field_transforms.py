"""Transforms of fields."""

from awsglue.gluetypes import ArrayType, NullType, StructType
from awsglue.transforms.transform import GlueTransform

_PATHS = {"paths": ("List[String]", "full paths of fields; back-ticks keep a dot in a name")}


class ApplyMapping(GlueTransform):
    """Selects, renames, casts and nests fields."""

    ARGUMENTS = {
        "mappings": ("List[Tuple]", "(source, source type, target, target type) for each field"),
        "case_sensitive": ("Boolean", "whether sources are found only in exactly their case"),
    }

    def __call__(self, frame, mappings, case_sensitive=False, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.apply_mapping(mappings, case_sensitive, transformation_ctx, info, stageThreshold, totalThreshold)


class RenameField(GlueTransform):
    """Renames a field."""

    ARGUMENTS = {"old_name": ("String", "the field's full path"), "new_name": ("String", "its new full path")}

    def __call__(self, frame, old_name, new_name, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.rename_field(old_name, new_name, transformation_ctx, info, stageThreshold, totalThreshold)


class DropFields(GlueTransform):
    """Leaves fields out."""

    ARGUMENTS = _PATHS

    def __call__(self, frame, paths, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.drop_fields(paths, transformation_ctx, info, stageThreshold, totalThreshold)


class SelectFields(GlueTransform):
    """Keeps only these fields."""

    ARGUMENTS = _PATHS

    def __call__(self, frame, paths, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.select_fields(paths, transformation_ctx, info, stageThreshold, totalThreshold)


class SplitFields(GlueTransform):
    """Splits a frame by fields into two."""

    ARGUMENTS = {**_PATHS, "name1": ("String", "the name of the frame of these fields"), "name2": ("String", "the name of the frame of the others")}
    RETURNS = ("DynamicFrameCollection", "the frame of these fields, and the frame of the others")

    def __call__(self, frame, paths, name1=None, name2=None, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        name = frame.name or "frame"
        name1 = f"{name}1" if name1 is None else name1
        name2 = f"{name}2" if name2 is None else name2
        return frame.split_fields(paths, name1, name2, transformation_ctx, info, stageThreshold, totalThreshold)


class DropNullFields(GlueTransform):
    """Leaves fields out that are null in every record."""

    def __call__(self, frame, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        from awsglue.frames.paths import quote

        found = [quote(path) for path in _null_fields(frame.schema(), ())]
        print("null_fields", found)
        return frame.drop_fields(found, transformation_ctx, info, stageThreshold, totalThreshold) if found else frame


def _null_fields(kind, path):
    """Paths of fields of NullType. A list of nulls is kept, as are the values of maps, as with AWS."""
    if isinstance(kind, StructType):
        for field in kind:
            yield from _null_fields(field.dataType, path + (field.name,))
    elif isinstance(kind, ArrayType) and isinstance(kind.elementType, StructType):
        yield from _null_fields(kind.elementType, path)
    elif isinstance(kind, NullType):
        yield path


class ResolveChoice(GlueTransform):
    """Makes fields whose values have several types into fields of one type."""

    ARGUMENTS = {
        "specs": ("List[Tuple]", "(path, action)s; actions are cast:type, project:type, make_cols, make_struct"),
        "choice": ("String", "one action for all choices, or match_catalog"),
        "database": ("String", "for match_catalog: the table's database"),
        "table_name": ("String", "for match_catalog: the table"),
        "catalog_id": ("String", "for match_catalog: the catalog"),
    }

    def __call__(
        self,
        frame,
        specs=None,
        choice="",
        database=None,
        table_name=None,
        transformation_ctx="",
        info="",
        stageThreshold=0,
        totalThreshold=0,
        catalog_id=None,
    ):
        return frame.resolveChoice(specs, choice, database, table_name, transformation_ctx, info, stageThreshold, totalThreshold, catalog_id)


class UnnestFrame(GlueTransform):
    """Makes nested fields top-level ones, named by their paths."""

    def __call__(self, frame, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.unnest(transformation_ctx, info, stageThreshold, totalThreshold)


class Unbox(GlueTransform):
    """Puts what the text of a field says in the field's place."""

    ARGUMENTS = {
        "path": ("String", "the full path of the text"),
        "format": ("String", "json, csv or avro"),
        "options": ("Dictionary", "separator, escaper, skipFirst, withHeader, withSchema, avroSchema"),
    }

    def __call__(self, frame, path, format, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0, **options):
        return frame.unbox(path, format, transformation_ctx, info, stageThreshold, totalThreshold, **options)
