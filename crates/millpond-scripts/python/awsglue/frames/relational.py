"""Frames of several rows' shapes: unnest, relationalize, join, union, merge, split by rows.

Source: AWS Glue developer guide, "AWS Glue Scala DynamicFrame class" (unnest, relationalize) and "Code example: Joining and relationalizing data".
"""

import uuid

from pyspark.sql import functions as F

from awsglue import gluetypes as g
from awsglue.frames import columns, paths
from awsglue.frames.plan import Columns


def unnest(plan):
    """Fields of structs as top-level fields named by their paths (`address.zip`). Lists stay lists."""
    plan, fields = columns.addressed(plan.columns())
    return columns.select(plan, _flat(fields))


def _flat(fields, prefix=""):
    made = []
    for name, column, kind in fields:
        if isinstance(kind, g.StructType) and len(kind):
            made.extend(_flat(columns.members(column, kind), f"{prefix}{name}."))
        else:
            made.append((prefix + name, column, kind))
    return made


_ROW_ID = "\x00row"


def relationalize(plan, root_name, staging_path):
    """(name, plan)s: the unnested root, and a table of (`id`, `index`, values) for each list at any depth. A list's place in its parent holds the `id`
    of its rows. Tables with lists are written once below `staging_path` (as Parquet) and read back, so that parent and children agree on the ids."""
    return _pivoted(unnest(plan), root_name, root_name, staging_path, [])


def _pivoted(plan, name, root_name, staging_path, tables):
    lists = [f.name for f in plan.schema if isinstance(f.dataType, g.ArrayType)]
    own = (name, plan)
    tables.append(own)
    if not lists:
        return tables
    staged, fields, row = _staged(plan, staging_path)
    root = [(n, F.when(column.isNotNull(), row), g.LongType()) if n in lists else (n, column, kind) for n, column, kind in fields]
    tables[tables.index(own)] = (name, columns.select(staged, root))
    for list_name, column, kind in fields:
        if list_name not in lists:
            continue
        rows = staged.df.select(row.alias("id"), F.posexplode(column).alias("index", "val"))
        value = f"{list_name}.val"
        schema = g.StructType([g.Field("id", g.LongType()), g.Field("index", g.IntegerType()), g.Field(value, kind.elementType)])
        pivot = plan.derived(rows.select("id", F.col("index").cast("int").alias("index"), F.col("val").alias(value)), schema)
        _pivoted(unnest(pivot), f"{root_name}_{list_name}", root_name, staging_path, tables)
    return tables


def _staged(plan, staging_path):
    """The plan in a form in which the number of a row (from 1, with gaps) never changes; (name, column, type) of each field, and the column of that number."""
    plan, fields = columns.addressed(plan)
    numbered = plan.df.withColumn(_ROW_ID, F.monotonically_increasing_id() + F.lit(1))
    if not staging_path:
        raise ValueError("relationalize: staging_path is missing: give the path of a folder (s3://...) for the intermediate tables, or the job's argument --TempDir")
    # Names go by position: Parquet's readers disagree on dots and control characters in them.
    order = [column for _, column, _ in fields] + [columns.col(_ROW_ID)]
    path = f"{staging_path.rstrip('/')}/relationalize-{uuid.uuid4().hex}/"
    numbered.select(*[column.alias(f"c{i}") for i, column in enumerate(order)]).write.mode("error").parquet(path)
    back = [(name, F.col(f"c{i}"), kind) for i, (name, _, kind) in enumerate(fields)]
    return plan.derived(plan.spark.read.parquet(path), plan.schema), back, F.col(f"c{len(fields)}")


def join(left, right, left_paths, right_paths):
    """An inner join on equal keys. A field of the right frame whose name the left one has gets a dot before its name, as with AWS (`.id`)."""
    left, right = left.columns(), right.columns()
    left_paths, right_paths = paths.name_lists(left_paths), paths.name_lists(right_paths)
    if len(left_paths) != len(right_paths) or not left_paths:
        raise ValueError(f"join: {len(left_paths)} keys of the first frame and {len(right_paths)} of the second; give as many of each, at least one")
    sides = []
    for side, plan, own, which in (("l", left, left_paths, "first"), ("r", right, right_paths, "second")):
        held, fields = columns.addressed(plan)
        keys = [_key(fields, plan.schema, path, which).alias(f"{side}k{i}") for i, path in enumerate(own)]
        sides.append(held.df.select(*[column.alias(f"{side}{i}") for i, (_, column, _) in enumerate(fields)], *keys))
    condition = None
    for i in range(len(left_paths)):
        equal = F.col(f"lk{i}") == F.col(f"rk{i}")
        condition = equal if condition is None else condition & equal
    joined = sides[0].join(sides[1], condition, "inner")
    taken, made = set(), []
    for side, plan in (("l", left), ("r", right)):
        for i, field in enumerate(plan.schema):
            name = field.name
            while name in taken:
                name = "." + name
            taken.add(name)
            made.append((name, F.col(f"{side}{i}"), field.dataType))
    return columns.select(Columns(joined, None, left.declared and right.declared, left.errors + right.errors), made)


def _key(fields, schema, path, which):
    found = paths.resolve(schema, path)
    if found is None:
        raise ValueError(f"join: the {which} frame has no field {path!r}; it has: {', '.join(f.name for f in schema) or 'no fields'}")
    column, kind = columns.at(fields, found[0])
    if isinstance(kind, (g.ChoiceType, g.StructType, g.ArrayType, g.MapType)):
        raise ValueError(f"join: the key {path!r} of the {which} frame is a {kind.typeName()}, which cannot be compared; resolve or select one value of it first")
    return column


def union(one, other):
    """The records of both. Where a field's types differ, it becomes a choice."""
    one, other = one.columns(), other.columns()
    if len(one.schema) == 0 or len(other.schema) == 0:
        kept = other if len(one.schema) == 0 else one
        return Columns(kept.df, kept.schema, kept.declared, one.errors + other.errors)
    schema = g.mergeDataTypes(one.schema, other.schema)
    sides = []
    for plan in (one, other):
        held, fields = columns.addressed(plan)
        own = {name: (column, kind) for name, column, kind in fields}
        made = [columns.lift(*own[f.name], f.dataType) if f.name in own else columns.null(f.dataType) for f in schema]
        sides.append(held.df.select(*[column.alias(f.name) for column, f in zip(made, schema)]))
    return Columns(sides[0].union(sides[1]), schema, one.declared and other.declared, one.errors + other.errors)


def merge(source, stage, primary_keys):
    """The staged records, and those of the source whose keys are not staged."""
    source, stage = source.columns(), stage.columns()
    if len(source.schema) == 0 or len(stage.schema) == 0:
        return union(source, stage)
    names = paths.name_lists(primary_keys)
    held, fields = columns.addressed(stage)
    staged = held.df.select(*[_key(fields, stage.schema, name, "staging").alias(f"rk{i}") for i, name in enumerate(names)]).distinct()
    held, fields = columns.addressed(source)
    keys = [_key(fields, source.schema, name, "source").alias(f"lk{i}") for i, name in enumerate(names)]
    rows = held.df.select(*[column.alias(f"l{i}") for i, (_, column, _) in enumerate(fields)], *keys)
    condition = None
    for i in range(len(names)):
        equal = F.col(f"lk{i}") == F.col(f"rk{i}")
        condition = equal if condition is None else condition & equal
    kept = rows.join(staged, condition, "left_anti").select(*[F.col(f"l{i}").alias(f.name) for i, f in enumerate(source.schema)])
    return union(source.derived(kept, source.schema), stage)


_COMPARE = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def split_rows(plan, comparison_dict):
    """(records that meet all comparisons, the others). A null meets none."""
    plan, fields = columns.addressed(plan.columns())
    condition = F.lit(True)
    for path, comparisons in comparison_dict.items():
        found = paths.resolve(plan.schema, path)
        if found is None:
            raise ValueError(f"split_rows: there is no field {path!r}; there are: {', '.join(f.name for f in plan.schema)}")
        column, kind = columns.at(fields, found[0])
        for operator, value in comparisons.items():
            if operator not in _COMPARE:
                raise ValueError(f"split_rows: {operator!r} is not a comparison; comparisons are {', '.join(_COMPARE)}")
            condition = condition & F.coalesce(_COMPARE[operator](_comparable(column, kind, value), F.lit(value)), F.lit(False))
    return tuple(columns.select(plan.derived(plan.df.where(which), plan.schema), fields) for which in (condition, ~condition))


def _comparable(column, kind, value):
    """Of a choice, what can be compared with the value: numbers with numbers, text with text."""
    if not isinstance(kind, g.ChoiceType):
        return column
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        names = [n for n in kind.choices if n in ("byte", "short", "int", "long", "float", "double", "decimal")]
        return F.coalesce(*[column.getField(n).cast("double") for n in names], F.lit(None).cast("double"))
    return column.getField("string") if "string" in kind.choices else F.lit(None).cast("string")
