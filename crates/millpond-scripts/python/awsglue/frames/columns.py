"""Expressions over columns whose types are Glue's: reaching into them, casting, and rewriting fields at any depth."""

from pyspark.sql import functions as F

from awsglue import gluetypes as g
from awsglue.frames import paths
from awsglue.frames.plan import empty
from awsglue.frames.types import spark_type

_NUMBERS = {"byte", "short", "int", "long", "float", "double", "decimal"}
_TIMES = {"date", "timestamp", "timestampntz"}


def col(name):
    """The top-level column of exactly this name, whatever characters it has."""
    return F.col("`" + name.replace("`", "``") + "`")


def null(kind):
    return F.lit(None).cast(spark_type(kind))


def select(plan, fields, keep_empty=False):
    """A plan of (name, column, type)s."""
    if not fields and not keep_empty:
        nothing = empty(plan.spark)
        nothing.errors = plan.errors
        return nothing
    schema = g.StructType([g.Field(name, kind) for name, _, kind in fields])
    return plan.derived(plan.df.select(*[column.alias(name) for name, column, _ in fields]), schema)


def addressed(plan):
    """The plan, and (name, column, type) of each of its top-level fields.

    Names that differ in case only are one column to engines: then the plan's columns have other names, by their place, until something is selected of them."""
    names = [f.name for f in plan.schema]
    if len({name.lower() for name in names}) == len(names):
        return plan, [(f.name, col(f.name), f.dataType) for f in plan.schema]
    held = [f"field{number}" for number in range(len(names))]
    return plan.derived(plan.df.toDF(*held), plan.schema), [(f.name, col(name), f.dataType) for name, f in zip(held, plan.schema)]


def members(column, kind):
    """(name, column, type) of each field of a struct column."""
    return [(f.name, column.getField(f.name), f.dataType) for f in kind]


def branches(column, kind):
    """(name, column, type) of each type of a choice: null where the choice is, whatever lies below it."""
    return [(b.typeName(), F.when(column.isNotNull(), column.getField(b.typeName())), b) for b in kind.branches()]


def struct(fields, present=None):
    """A struct column of (name, column, type)s, null where `present` is false, and its type."""
    made = F.struct(*[column.alias(name) for name, column, _ in fields])
    kind = g.StructType([g.Field(name, inner) for name, _, inner in fields])
    return (made if present is None else F.when(present, made)), kind


def at(fields, names):
    """The column at a path of names as the schema writes them, and its type; `fields` are `addressed`. Raises ValueError where the path leads through a list."""
    column, kind = next((column, kind) for name, column, kind in fields if name == names[0])
    for depth, name in enumerate(names[1:], 1):
        if isinstance(kind, g.ChoiceType) and "struct" in kind.choices:
            column, kind = column.getField("struct"), kind.choices["struct"]
        if not isinstance(kind, g.StructType):
            raise ValueError(f"the path {paths.quote(names)} leads through a {kind.typeName()} at {paths.quote(names[:depth])}; relationalize() or explode() it first")
        column, kind = column.getField(name), kind.getField(name).dataType
    return column, kind


def cast(column, kind, target):
    """A column of one Glue type as one of another: null where a value cannot be converted. The type of several values (a choice) is converted one by one."""
    if kind == target:
        return column
    if isinstance(kind, g.ChoiceType):
        # The branch that needs no cast comes first.
        found = sorted(branches(column, kind), key=lambda branch: branch[0] != target.typeName())
        return F.coalesce(*[cast(inner, of, target) for _, inner, of in found])
    name, wanted = kind.typeName(), target.typeName()
    if isinstance(kind, (g.StructType, g.ArrayType, g.MapType)):
        return F.to_json(column) if wanted == "string" else null(target)
    impossible = (
        name in ("null", "unknown")
        or wanted in ("null", "unknown")
        or (name == "date" and wanted in _NUMBERS)
        or (name in _NUMBERS and wanted == "date")
        or ({name, wanted} & {"boolean", "binary"} and {name, wanted} & _TIMES)
        or ("binary" in (name, wanted) and "string" not in (name, wanted))
    )
    if impossible:
        return null(target)
    if {name, wanted} == {"boolean", "decimal"} or (name in _TIMES and wanted in ("byte", "short", "decimal")):
        # Sail does not convert between these two, or raises where the value does not fit.
        column = column.cast("double")
    return try_cast(column, target)


_BOUNDS = {"byte": 7, "short": 15, "int": 31}


def try_cast(column, target):
    """A column as one of a Glue type that an engine converts to; null where a value cannot be."""
    # Spark before 4 has no try_cast of columns; its cast gives null, but lets numbers overflow. (An instance answers to any name: it would be a field.)
    if hasattr(type(column), "try_cast"):
        return column.try_cast(spark_type(target))
    made = column.cast(spark_type(target))
    bits = _BOUNDS.get(target.typeName())
    return made if bits is None else F.when(column.cast("double").between(-(2**bits), 2**bits - 1), made)


def lift(column, kind, target):
    """A column as one of a type that `mergeDataTypes` made of its own and another: nothing is converted, only put into its place."""
    if kind == target:
        return column
    if isinstance(kind, (g.NullType, g.UnknownType)):
        return null(target)
    if isinstance(target, g.ChoiceType):
        own = {b.typeName(): (column.getField(b.typeName()), b) for b in kind.branches()} if isinstance(kind, g.ChoiceType) else {kind.typeName(): (column, kind)}
        made = [(b.typeName(), lift(*own[b.typeName()], b) if b.typeName() in own else null(b), b) for b in target.branches()]
        return struct(made, column.isNotNull())[0]
    if isinstance(target, g.StructType):
        own = {f.name: f.dataType for f in kind}
        made = [(f.name, lift(column.getField(f.name), own[f.name], f.dataType) if f.name in own else null(f.dataType), f.dataType) for f in target]
        return struct(made, column.isNotNull())[0]
    if isinstance(target, g.ArrayType):
        return F.transform(column, lambda element: lift(element, kind.elementType, target.elementType))
    if isinstance(target, g.MapType):
        return _map_values(column, lambda value: lift(value, kind.valueType, target.valueType))
    return column.cast(spark_type(target))


def _map_values(column, change):
    return F.map_from_entries(F.transform(F.map_entries(column), lambda e: F.struct(e.getField("key").alias("key"), change(e.getField("value")).alias("value"))))


def rewrite(plan, visit):
    """Rewrites fields at any depth. `visit(path, column, kind, is_field)` answers None to leave a place as it is (and look into it), or the
    (name, column, type)s to put there; for elements of lists and values of maps (`is_field` false) exactly one. What no visit changes costs nothing."""
    held, fields = addressed(plan)
    made, changed = _rewrite_fields(fields, (), visit)
    return select(held, made) if changed else plan


def _rewrite_fields(fields, path, visit):
    made, changed = [], False
    for name, column, kind in fields:
        answer = visit(path + (name,), column, kind, True)
        if answer is not None:
            made.extend(answer)
            changed = True
            continue
        inner = _rewrite_inside(column, kind, path + (name,), visit)
        if inner is None:
            made.append((name, column, kind))
            continue
        changed = True
        if inner != ():
            made.append((name, *inner))
    return made, changed


def _rewrite_inside(column, kind, path, visit):
    """(column, type) of a rewritten value, () where nothing is left of it, None where nothing changed."""
    if isinstance(kind, g.StructType):
        fields, changed = _rewrite_fields(members(column, kind), path, visit)
        if not changed:
            return None
        return struct(fields, column.isNotNull()) if fields else ()
    if isinstance(kind, g.ChoiceType):
        made, changed = [], False
        for branch in kind.branches():
            name = branch.typeName()
            inner = _rewrite_inside(column.getField(name), branch, path, visit)
            changed = changed or inner is not None
            if inner != ():
                made.append((name, *(inner or (column.getField(name), branch))))
        if not changed:
            return None
        if len(made) == 1:
            return made[0][1:]
        return (struct(made, column.isNotNull())[0], g.ChoiceType([b for _, _, b in made])) if made else ()
    if isinstance(kind, (g.ArrayType, g.MapType)):
        return _rewrite_elements(column, kind, path, visit)
    return None


def _rewrite_elements(column, kind, path, visit):
    is_map = isinstance(kind, g.MapType)
    inner_kind = kind.valueType if is_map else kind.elementType
    if isinstance(inner_kind, g.AtomicType):
        return None
    result = []

    def change(element):
        answer = visit(path, element, inner_kind, False)
        inner = answer[0][1:] if answer else _rewrite_inside(element, inner_kind, path, visit)
        result[:] = [inner]
        return inner[0] if inner else element

    made = _map_values(column, change) if is_map else F.transform(column, change)
    inner = result[0]
    if inner is None or inner == ():
        return inner
    return made, (g.MapType(inner[1]) if is_map else type(kind)(inner[1]))
