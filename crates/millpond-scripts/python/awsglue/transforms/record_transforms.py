"""Transforms of records and of whole frames."""

from awsglue.transforms.transform import GlueTransform


class Filter(GlueTransform):
    """Keeps the records for which a function answers true."""

    ARGUMENTS = {"f": ("Function", "a function of a DynamicRecord that answers True or False")}

    def __call__(self, frame, f, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.filter(f, transformation_ctx, info, stageThreshold, totalThreshold)


class Map(GlueTransform):
    """Makes a record of each record by a function."""

    ARGUMENTS = {
        "f": ("Function", "a function of a DynamicRecord that answers a DynamicRecord"),
        "preservesPartitioning": ("Boolean", "accepted, without effect"),
    }

    def __call__(self, frame, f, preservesPartitioning=False, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.map(f, preservesPartitioning, transformation_ctx, info, stageThreshold, totalThreshold)


class SplitRows(GlueTransform):
    """Splits a frame by comparisons into two."""

    ARGUMENTS = {
        "comparison_dict": ("Dictionary", "{path: {operator: value}}, for example {'age': {'>': 10, '<': 20}}"),
        "name1": ("String", "the name of the frame of records that meet all"),
        "name2": ("String", "the name of the frame of the others"),
    }
    RETURNS = ("DynamicFrameCollection", "the frame of records that meet all comparisons, and the frame of the others")

    def __call__(
        self, frame, comparison_dict, name1="frame1", name2="frame2", transformation_ctx="", info=None, stageThreshold=0, totalThreshold=0
    ):
        return frame.split_rows(comparison_dict, name1, name2, transformation_ctx, info or "", stageThreshold, totalThreshold)


class Join(GlueTransform):
    """Joins two frames on equal keys."""

    ARGUMENTS = {
        "frame1": ("DynamicFrame", "the first frame"),
        "frame2": ("DynamicFrame", "the second frame; names that both have get a dot before them"),
        "keys1": ("List[String]", "paths of the first frame's keys"),
        "keys2": ("List[String]", "paths of the second frame's keys"),
    }

    def __call__(self, frame1, frame2, keys1, keys2, transformation_ctx=""):
        return frame1.join(keys1, keys2, frame2, transformation_ctx)


class Union(GlueTransform):
    """The records of two frames; fields whose types differ become choices."""

    ARGUMENTS = {"frame1": ("DynamicFrame", "the first frame"), "frame2": ("DynamicFrame", "the second frame")}

    def __call__(self, frame1, frame2, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame1.union(frame2, transformation_ctx, info, stageThreshold, totalThreshold)


class Spigot(GlueTransform):
    """Writes a sample of the records, and goes on with all of them."""

    ARGUMENTS = {"path": ("String", "where to write"), "options": ("Dictionary", "topk: the first k records; prob: each with that probability")}

    def __call__(self, frame, path, options=None, transformation_ctx=""):
        return frame.spigot(path, options or {}, transformation_ctx)


class Relationalize(GlueTransform):
    """Makes flat frames of a nested one: a root, and one for each list."""

    ARGUMENTS = {
        "staging_path": ("String", "a folder for intermediate tables; the job's --TempDir by default"),
        "name": ("String", "the root's name"),
        "options": ("Dictionary", "none is known"),
    }
    RETURNS = ("DynamicFrameCollection", "the root, and the tables of lists")

    def __call__(
        self, frame, staging_path=None, name="roottable", options=None, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0
    ):
        if staging_path is None:
            from awsglue import utils

            staging_path = (getattr(utils, "_global_args", None) or {}).get("TempDir")
        return frame.relationalize(name, staging_path, options or {}, transformation_ctx, info, stageThreshold, totalThreshold)


class Repartition(GlueTransform):
    """Spreads the records over a number of partitions."""

    ARGUMENTS = {"num_partitions": ("Integer", "how many")}

    def __call__(self, frame, num_partitions, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.repartition(num_partitions, transformation_ctx, info, stageThreshold, totalThreshold)


class Coalesce(GlueTransform):
    """Puts the records into fewer partitions."""

    ARGUMENTS = {"num_partitions": ("Integer", "how many"), "shuffle": ("Boolean", "whether to spread them evenly")}

    def __call__(self, frame, num_partitions, shuffle=False, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        return frame.coalesce(num_partitions, shuffle, transformation_ctx, info, stageThreshold, totalThreshold)


class ErrorsAsDynamicFrame(GlueTransform):
    """The records that were lost until here."""

    RETURNS = ("DynamicFrame", "a record with a field `error` for each")

    def __call__(self, frame):
        return frame.errorsAsDynamicFrame()


_COLLECTION = {"dfc": ("DynamicFrameCollection", "the collection")}


class SelectFromCollection(GlueTransform):
    """One frame out of a collection."""

    ARGUMENTS = {**_COLLECTION, "key": ("String", "its name")}

    def __call__(self, dfc, key, transformation_ctx=""):
        return dfc.select(key, transformation_ctx)


class MapToCollection(GlueTransform):
    """Applies a function to each frame of a collection."""

    ARGUMENTS = {**_COLLECTION, "callable": ("Function", "a function of a frame and a context that answers a frame")}
    RETURNS = ("DynamicFrameCollection", "a frame for each frame")

    def __call__(self, dfc, callable, transformation_ctx=""):
        return dfc.map(callable, transformation_ctx)


class FlatMap(GlueTransform):
    """Applies a transform to each frame of a collection, and puts all results into one collection."""

    ARGUMENTS = {
        **_COLLECTION,
        "BaseTransform": ("GlueTransform", "the transform"),
        "frame_name": ("String", "which of its arguments takes the frame"),
        "base_kwargs": ("Dictionary", "its other arguments"),
    }
    RETURNS = ("DynamicFrameCollection", "the resulting frames")

    def __call__(self, dfc, BaseTransform, frame_name, transformation_ctx="", **base_kwargs):
        def apply_to(frame, context):
            return BaseTransform.apply(**{**base_kwargs, frame_name: frame, "transformation_ctx": context})

        return dfc.flatmap(apply_to, transformation_ctx)
