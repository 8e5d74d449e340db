"""DynamicFrames: records that describe themselves, on an engine of columns.

Names, arguments and behaviour are AWS's ("DynamicFrame class", AWS Glue developer guide). How a frame is held is told in `awsglue.frames`.
`stageThreshold` and `totalThreshold` are how many records may fail in a transform, and until it; 0 means any number.
"""

import decimal
import json
import sys

from awsglue import gluetypes as g
from awsglue.frames import rows

__all__ = ["DynamicFrame", "DynamicFrameCollection", "DynamicFrameReader", "DynamicFrameWriter", "ResolveOption"]


class ResolveOption:
    """How `toDF` treats the choice at `path`: `KeepAsStruct`, or `Project` and `Cast` to `target` (a Spark type)."""

    def __init__(self, path, action, target=None):
        self.path = path
        self.action = action
        self.target = target


class DynamicFrame:
    """A frame of records. `jdf` is a Spark DataFrame (or a plan of `awsglue.frames`), `glue_ctx` the GlueContext that it belongs to."""

    def __init__(self, jdf, glue_ctx=None, name=""):
        from awsglue.frames.plan import Columns, Rows

        self._plan = jdf if isinstance(jdf, (Columns, Rows)) else Columns(jdf)
        self.glue_ctx = glue_ctx
        self.name = name or ""

    @classmethod
    def fromDF(cls, dataframe, glue_ctx, name=""):
        """A frame of a Spark DataFrame."""
        if isinstance(dataframe, DynamicFrame) or not hasattr(dataframe, "mapInArrow"):
            raise TypeError(f"fromDF takes a Spark DataFrame, not a {type(dataframe).__name__}")
        return cls(dataframe, glue_ctx, name)

    @classmethod
    def _from_json_text(cls, df, glue_ctx, name="", column="value", json_path=None, keep=()):
        """A frame of JSON texts in a column of a DataFrame, each a document (or a list of them). Their schema is found in them, choices included;
        `keep` names columns (partitions) to have beside. A text that is no JSON is an error record."""
        from awsglue.frames.plan import Columns, Rows
        from awsglue.frames.texts import JsonParser

        step = rows.Step("parse", f"reading JSON for {name or 'a frame'}", JsonParser(json_path), column=column, keep=tuple(keep))
        return cls(Rows.then(Columns(df), step), glue_ctx, name)

    @classmethod
    def _empty(cls, spark, glue_ctx, name=""):
        """A frame without fields and records."""
        from awsglue.frames.plan import empty

        return cls(empty(spark), glue_ctx, name)

    @property
    def _df(self):
        """The frame's columns as a Spark DataFrame."""
        return self._plan.columns().df

    def _new(self, plan, name=None):
        return DynamicFrame(plan, self.glue_ctx, self.name if name is None else name)

    def _rows(self, step, stage_threshold, total_threshold):
        from awsglue.frames.plan import Rows

        return self._new(Rows.then(self._plan, step, stage_threshold, total_threshold))

    # What it holds

    def toDF(self, options=None):
        """A Spark DataFrame. A choice that `options` (ResolveOptions) does not resolve is a struct with a member for each type."""
        specs = []
        for option in options or ():
            if option.action == "KeepAsStruct":
                continue
            if option.action not in ("Project", "Cast"):
                raise ValueError(f"toDF: {option.action!r} is not an action; actions are Project, Cast and KeepAsStruct")
            if option.target is None:
                raise ValueError(f"toDF: {option.action} of {option.path!r} needs a target type: ResolveOption(path, {option.action!r}, DoubleType())")
            target = option.target if isinstance(option.target, str) else option.target.simpleString()
            specs.append((option.path, f"cast:{target}"))
        return self.resolveChoice(specs=specs)._df if specs else self._df

    def schema(self):
        """The schema (`awsglue.gluetypes.StructType`); found in the records where nobody stated it."""
        return self._plan.schema

    def with_frame_schema(self, schema):
        """The frame with a schema that is stated rather than found: fields are cast to it, those that it lacks are left out."""
        from awsglue.frames import columns

        plan, fields = columns.addressed(self._plan.columns())
        own = {name: (column, kind) for name, column, kind in fields}
        made = [(f.name, columns.cast(*own[f.name], f.dataType) if f.name in own else columns.null(f.dataType), f.dataType) for f in schema]
        return self._new(columns.select(plan, made))

    def printSchema(self):
        from awsglue.frames.types import tree_string

        print(tree_string(self.schema()))

    def count(self):
        """How many records there are, without errors."""
        from awsglue.frames.plan import Rows

        if isinstance(self._plan, Rows) and not self._plan.filters_only:
            self._plan.check_thresholds()
            return self._plan.found()["records"]
        return self._df.count()

    def show(self, num_rows=20):
        """Prints the first records, each as JSON in a line."""
        from awsglue.frames import records

        decode = records.decoder(self.schema())
        for row in self._df.limit(num_rows).collect() if len(self.schema()) else ():
            print(json.dumps(decode(row.asDict(True)), default=_shown, ensure_ascii=False))

    def getNumPartitions(self):
        """How many partitions there are; on an engine behind Spark Connect, whose API does not tell, how many have records (at least 1)."""
        from pyspark.sql import functions as F

        if ".connect." not in type(self._df).__module__:
            return self._df.rdd.getNumPartitions()
        return max(1, self._df.select(F.spark_partition_id().alias("partition")).distinct().count())

    def repartition(self, num_partitions, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        plan = self._plan.columns()
        return self._new(plan.derived(plan.df.repartition(num_partitions), plan.schema))

    def coalesce(self, num_partitions, shuffle=False, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        plan = self._plan.columns()
        return self._new(plan.derived(plan.df.repartition(num_partitions) if shuffle else plan.df.coalesce(num_partitions), plan.schema))

    # Functions over records

    def filter(self, f, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """The records for which `f(rec)` is true. KeyError, ValueError and TypeError mean false; any other exception makes the record an error."""
        return self._rows(rows.Step("filter", _label("Filter", info), _callable(f, "filter")), stageThreshold, totalThreshold)

    def map(self, f, preservesPartitioning=False, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """What `f(rec)` answers for each record. An exception, or no answer, makes the record an error."""
        return self._rows(rows.Step("map", _label("Map", info), _callable(f, "map")), stageThreshold, totalThreshold)

    def mapPartitions(self, f, preservesPartitioning=True, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """`f` gets an iterator of `{"record": rec}` for each partition, and answers one of the same."""
        return self._rows(rows.Step("partitions", _label("mapPartitions", info), _callable(f, "mapPartitions")), stageThreshold, totalThreshold)

    def mapPartitionsWithIndex(self, f, preservesPartitioning=False, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """As `mapPartitions`, with the number of the partition before the iterator."""

        def with_index(iterator):
            from pyspark import TaskContext

            context = TaskContext.get()
            return f(context.partitionId() if context else 0, iterator)

        return self.mapPartitions(with_index, preservesPartitioning, transformation_ctx, info, stageThreshold, totalThreshold)

    def unbox(self, path, format, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0, **options):
        """Puts what a field's text says (`json`, `csv`, `avro`) in the field's place. A text that cannot be read makes the record an error."""
        from awsglue.frames import paths
        from awsglue.frames.texts import unboxer

        function = unboxer(format, options)
        return self._rows(rows.Step("unbox", _label("Unbox", info), function, path=paths.parse(path)), stageThreshold, totalThreshold)

    def unnest_ddb_json(self, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """Attributes of DynamoDB's JSON (`{"S": "x"}`) as plain fields; those below `Item` move to the top. Numbers stay text."""
        from awsglue.frames.texts import plain_items

        return self._rows(rows.Step("map", _label("unnest_ddb_json", info), plain_items), stageThreshold, totalThreshold)

    def simplify_ddb_json(self):
        """As `unnest_ddb_json`."""
        return self.unnest_ddb_json()

    # Fields

    def apply_mapping(self, mappings, case_sensitive=False, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """The fields that `mappings` name: (source, source type, target, target type)s. Values that cannot be cast become null."""
        from awsglue.frames import mapping

        return self._new(mapping.apply(self._plan, mappings, case_sensitive))

    def applyMapping(self, *args, **kwargs):
        """`apply_mapping` under its older name, whose mappings may also come one by one."""
        args = list(args)
        if args and isinstance(args[0], DynamicFrame):
            args.pop(0)
        if len(args) > 1 and all(isinstance(arg, tuple) for arg in args):
            args = [args]
        return self.apply_mapping(*args, **kwargs)

    def select_fields(self, paths, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        from awsglue.frames import mapping

        return self._new(mapping.select_fields(self._plan, paths))

    def drop_fields(self, paths, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        from awsglue.frames import mapping

        return self._new(mapping.drop_fields(self._plan, paths))

    def rename_field(self, oldName, newName, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        from awsglue.frames import mapping

        return self._new(mapping.rename_field(self._plan, oldName, newName))

    def split_fields(self, paths, name1, name2, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """Two frames: the fields at `paths`, and the others."""
        from awsglue.frames import mapping

        first, second = mapping.select_fields(self._plan, paths), mapping.drop_fields(self._plan, paths)
        return DynamicFrameCollection({name1: self._new(first, name1), name2: self._new(second, name2)}, self.glue_ctx)

    def resolveChoice(
        self, specs=None, choice="", database=None, table_name=None, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0, catalog_id=None
    ):
        """Resolves choices: those at the paths of `specs` ((path, action)s), or all of them by `choice`. Actions: cast:type, project:type, make_cols,
        make_struct, and match_catalog (as `choice`, with database and table_name)."""
        from awsglue.frames import choices

        if specs is None and not choice:
            raise ValueError("resolveChoice needs specs=[(path, action)] or choice=action")
        if specs is not None and choice:
            raise ValueError("resolveChoice takes specs or choice, not both")
        types = None
        if choice and choice.lower() == "match_catalog":
            if not database or not table_name:
                raise ValueError("resolveChoice: choice='match_catalog' needs database and table_name")
            types = choices.catalog_column_types(database, table_name, catalog_id)
        specs = [specs] if isinstance(specs, tuple) and len(specs) == 2 and isinstance(specs[0], str) else specs
        return self._new(choices.resolve(self._plan, specs, choice, types))

    # Shapes

    def unnest(self, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """Nested fields as top-level ones named by their paths."""
        from awsglue.frames import relational

        return self._new(relational.unnest(self._plan))

    def relationalize(self, root_table_name, staging_path, options=None, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """A collection of flat frames: the root, and one for each list, named by its path below the root's name."""
        from awsglue.frames import relational

        tables = relational.relationalize(self._plan, root_table_name, staging_path)
        return DynamicFrameCollection({name: self._new(plan, name) for name, plan in tables}, self.glue_ctx)

    def split_rows(self, comparison_dict, name1, name2, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """Two frames: the records that meet all comparisons (`{"age": {">": 10, "<": 20}}`), and the others."""
        from awsglue.frames import relational

        first, second = relational.split_rows(self._plan, comparison_dict)
        return DynamicFrameCollection({name1: self._new(first, name1), name2: self._new(second, name2)}, self.glue_ctx)

    def join(self, paths1, paths2, frame2, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """Records of both frames with equal keys. A name that both have gets a dot before it for the second's."""
        from awsglue.frames import relational

        return self._new(relational.join(self._plan, frame2._plan, paths1, paths2), self.name + frame2.name)

    def union(self, other_frame, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        from awsglue.frames import relational

        return self._new(relational.union(self._plan, other_frame._plan))

    def mergeDynamicFrame(self, stage_dynamic_frame, primary_keys, transformation_ctx="", options=None, info="", stageThreshold=0, totalThreshold=0):
        """The staged records, and this frame's records whose primary keys are not staged."""
        from awsglue.frames import relational

        return self._new(relational.merge(self._plan, stage_dynamic_frame._plan, primary_keys))

    # Writing

    def write(self, connection_type, connection_options=None, format=None, format_options=None, accumulator_size=0):
        return self.glue_ctx.write_from_options(
            frame_or_dfc=self,
            connection_type=connection_type,
            connection_options=connection_options or {},
            format=format,
            format_options=format_options or {},
            accumulator_size=accumulator_size,
        )

    def spigot(self, path, options=None, transformation_ctx="", info="", stageThreshold=0, totalThreshold=0):
        """Writes a sample as JSON below `path` at once, and answers this frame. `topk` takes the first k records, `prob` each with that probability."""
        options = json.loads(options) if isinstance(options, str) else options or {}
        sample = self._df
        if "prob" in options:
            sample = sample.sample(float(options["prob"]))
        if "topk" in options:
            sample = sample.limit(int(options["topk"]))
        if len(self.schema()):
            sample.write.mode("append").json(path)
        return self

    # Errors

    def errorsAsDynamicFrame(self):
        """The records that transforms until here lost, each as `error` with `msg`, `stackTrace` and `dynamicRecord`."""
        from functools import reduce

        from awsglue.frames import relational
        from awsglue.frames.plan import empty

        plans = self._plan.error_plans()
        return self._new(reduce(relational.union, plans) if plans else empty(self._plan.spark))

    def errorsCount(self):
        """How many records were lost until here. Runs the functions of the transforms, unless that was done."""
        return self._plan.total_errors()

    def stageErrorsCount(self):
        """How many records were lost in the transform that made this frame."""
        return self._plan.stage_errors()

    def assertErrorThreshold(self):
        """Raises ErrorThresholdExceeded where a transform lost as many records as its threshold says."""
        self._plan.check_thresholds()


def _shown(value):
    """A value that JSON has no form for: decimals as numbers, times as text."""
    return float(value) if isinstance(value, decimal.Decimal) else str(value)


def _callable(f, what):
    if not callable(f):
        raise TypeError(f"{what} takes a function of a record, not a {type(f).__name__}")
    return f


def _label(transform, info):
    """What messages call a transform: its name, `info`, and where the script calls it."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "awsglue":
        frame = frame.f_back
    where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
    return f"{transform}{f' ({info})' if info else ''}{where}"


class DynamicFrameCollection:
    """Frames by name."""

    def __init__(self, dynamic_frames, glue_ctx):
        if isinstance(dynamic_frames, dict):
            self._df_dict = dict(dynamic_frames)
        elif isinstance(dynamic_frames, list):
            self._df_dict = {frame.name: frame for frame in dynamic_frames}
        else:
            raise TypeError(f"a DynamicFrameCollection is made of a dict or a list of frames, not of a {type(dynamic_frames).__name__}")
        self._glue_ctx = glue_ctx

    def __getitem__(self, key):
        return self._df_dict[key]

    def __len__(self):
        return len(self._df_dict)

    def __iter__(self):
        return iter(self._df_dict)

    def __contains__(self, key):
        return key in self._df_dict

    def keys(self):
        return self._df_dict.keys()

    def values(self):
        return self._df_dict.values()

    def items(self):
        return self._df_dict.items()

    def select(self, key, transformation_ctx=""):
        """The frame of that name; one without records, and a word in the log, where there is none."""
        if key in self._df_dict:
            return self._df_dict[key]
        from awsglue.frames.mapping import warn

        warn(f"SelectFromCollection: there is no frame {key!r}; there are: {', '.join(self._df_dict) or 'none'}. An empty frame is used, as AWS Glue does")
        some = next(iter(self._df_dict.values()), None)
        spark = some._plan.spark if some is not None else self._glue_ctx.spark_session
        return DynamicFrame._empty(spark, self._glue_ctx, key)

    def map(self, callable, transformation_ctx=""):
        """A collection of `callable(frame, transformation_ctx)` of each frame."""
        made = {}
        for name, frame in self._df_dict.items():
            made[name] = callable(frame, f"{transformation_ctx}:{name}")
            if not isinstance(made[name], DynamicFrame):
                raise TypeError(f"map of a collection: the function answered a {type(made[name]).__name__} for {name!r}; a DynamicFrame is expected")
        return DynamicFrameCollection(made, self._glue_ctx)

    def flatmap(self, f, transformation_ctx=""):
        """As `map`, where the function may answer collections, whose frames are taken one by one."""
        made = {}
        for frame in self._df_dict.values():
            answer = f(frame, f"{transformation_ctx}:{frame.name}")
            if isinstance(answer, DynamicFrame):
                made[answer.name] = answer
            elif isinstance(answer, DynamicFrameCollection):
                made.update(answer.items())
            else:
                raise TypeError(f"flatmap of a collection: the function answered a {type(answer).__name__}; a DynamicFrame or a collection is expected")
        return DynamicFrameCollection(made, self._glue_ctx)


def _database(database, kwargs, table_name):
    """The database of a reader's or writer's arguments, which is also called name_space."""
    if database is not None and "name_space" in kwargs:
        raise ValueError("database and name_space are the same thing: give one of them")
    database = kwargs.pop("name_space", database)
    if database is None:
        raise ValueError("the argument database (or name_space) is missing")
    if table_name is None:
        raise ValueError("the argument table_name is missing")
    return database


class DynamicFrameReader:
    """What `glueContext.create_dynamic_frame` is."""

    def __init__(self, glue_context):
        self._glue_context = glue_context

    def from_rdd(self, data, name, schema=None, sampleRatio=None):
        return self._glue_context.create_dynamic_frame_from_rdd(data, name, schema, sampleRatio)

    def from_options(
        self, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx="", push_down_predicate="", **kwargs
    ):
        return self._glue_context.create_dynamic_frame_from_options(
            connection_type, connection_options or {}, format, format_options or {}, transformation_ctx, push_down_predicate, **kwargs
        )

    def from_catalog(
        self,
        database=None,
        table_name=None,
        redshift_tmp_dir="",
        transformation_ctx="",
        push_down_predicate="",
        additional_options=None,
        catalog_id=None,
        **kwargs,
    ):
        database = _database(database, kwargs, table_name)
        return self._glue_context.create_dynamic_frame_from_catalog(
            database, table_name, redshift_tmp_dir, transformation_ctx, push_down_predicate, additional_options or {}, catalog_id, **kwargs
        )


class DynamicFrameWriter:
    """What `glueContext.write_dynamic_frame` is."""

    def __init__(self, glue_context):
        self._glue_context = glue_context

    def from_options(self, frame, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx=""):
        return self._glue_context.write_dynamic_frame_from_options(
            frame, connection_type, connection_options or {}, format, format_options or {}, transformation_ctx
        )

    def from_catalog(
        self,
        frame,
        database=None,
        table_name=None,
        redshift_tmp_dir="",
        transformation_ctx="",
        additional_options=None,
        catalog_id=None,
        **kwargs,
    ):
        database = _database(database, kwargs, table_name)
        return self._glue_context.write_dynamic_frame_from_catalog(
            frame, database, table_name, redshift_tmp_dir, transformation_ctx, additional_options or {}, catalog_id
        )

    def from_jdbc_conf(self, frame, catalog_connection, connection_options=None, redshift_tmp_dir="", transformation_ctx=""):
        return self._glue_context.write_dynamic_frame_from_jdbc_conf(
            frame, catalog_connection, connection_options or {}, redshift_tmp_dir, transformation_ctx
        )
