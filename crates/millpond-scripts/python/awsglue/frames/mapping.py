"""Which fields a frame has and what they are called: apply_mapping, select, drop, rename.

Source: AWS Glue developer guide, "ApplyMapping class" and "AWS Glue Scala DynamicFrame class" (applyMapping). AWS leaves a mapping whose source
no record has out, without a word. Here that is so for records that describe themselves (JSON, results of Map) and for frames without records; where
the columns are stated (a table, a header, a DataFrame), a missing one ends the script with its name, unless the job's argument
`--millpond-missing-columns drop` asks for AWS's way.
"""

import difflib
import os
import sys

from awsglue import gluetypes as g
from awsglue.frames import columns, paths
from awsglue.frames.types import named_type

MISSING_COLUMNS_OPTION = "--millpond-missing-columns"


class MissingColumns(ValueError):
    """A mapping names columns that the data has not."""


def warn(message):
    """Says something in the run's error log."""
    print(f"awsglue: {message}", file=sys.stderr, flush=True)


def _missing_are_dropped():
    for index, argument in enumerate(sys.argv):
        if argument.startswith(MISSING_COLUMNS_OPTION + "="):
            return argument.split("=", 1)[1] == "drop"
        if argument == MISSING_COLUMNS_OPTION:
            return sys.argv[index + 1 : index + 2] == ["drop"]
    return os.environ.get("MILLPOND_MISSING_COLUMNS") == "drop"


def parse_mappings(mappings):
    """(source path, target path, target type name or None) of tuples of 2 (source, target), 3 (source, target, type) or 4 (source, type, target, type)."""
    if isinstance(mappings, tuple):
        mappings = [mappings]
    parsed = []
    for index, mapping in enumerate(mappings):
        if not isinstance(mapping, (tuple, list)) or not 2 <= len(mapping) <= 4 or not all(isinstance(part, str) for part in mapping):
            raise ValueError(f"mapping {index + 1} is {mapping!r}; it must be a tuple of strings: (source, source type, target, target type)")
        source, target, kind = {2: lambda: (*mapping, None), 3: lambda: mapping, 4: lambda: (mapping[0], mapping[2], mapping[3])}[len(mapping)]()
        try:
            parsed.append((source, paths.parse(target), named_type(kind) if kind else None))
            paths.parse(source)
        except ValueError as error:
            raise ValueError(f"mapping {index + 1}, {tuple(mapping)!r}: {error}") from None
    return parsed


def apply(plan, mappings, case_sensitive=False):
    """A plan of the mapped fields, in the mappings' order; targets with dots become structs."""
    parsed = parse_mappings(mappings)
    plan, fields = columns.addressed(plan.columns())
    schema, made, missing = plan.schema, [], []
    for source, target, kind in parsed:
        found = paths.resolve(schema, source, case_sensitive)
        if found is None:
            missing.append(source)
            continue
        try:
            column, own = columns.at(fields, found[0])
        except ValueError as error:
            raise ValueError(f"ApplyMapping of {source!r}: {error}") from None
        if kind is not None and not isinstance(kind, g.NullType):
            column, own = columns.cast(column, own, kind), kind
        made.append((target, column, own))
    if missing:
        _report_missing(plan, missing)
    return columns.select(plan, nested(made))


def _report_missing(plan, missing):
    names = [f.name for f in plan.schema]
    told = ", ".join(repr(name) + _similar(name, names) for name in missing)
    if plan.declared and names and not _missing_are_dropped():
        raise MissingColumns(
            f"ApplyMapping: the data has no column {told}. It has: {', '.join(names)}. Correct the mapping, or give the job the argument "
            f"{MISSING_COLUMNS_OPTION} drop to leave such mappings out, as AWS Glue does"
        )
    warn(f"ApplyMapping: no record has {told}; the mapping is left out")


def _similar(name, names):
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], 1, 0.75)
    found = next((n for n in names if close and n.lower() == close[0]), None)
    return f" (is {found!r} meant?)" if found else ""


def nested(fields):
    """(path, column, type)s as top-level (name, column, type)s: paths of one beginning become one struct where the first of them stands. The last of a path wins."""
    groups = {}
    for path, column, kind in fields:
        inner = groups.setdefault(path[0], {})
        if len(path) == 1:
            groups[path[0]] = (column, kind)
        elif isinstance(inner, tuple):
            groups[path[0]] = {path[1:]: (column, kind)}
        else:
            inner[path[1:]] = (column, kind)
    made = []
    for name, inner in groups.items():
        if not isinstance(inner, tuple):
            inner = columns.struct(nested([(path, *found) for path, found in inner.items()]))
        made.append((name, *inner))
    return made


def drop_fields(plan, dropped):
    """Without the fields at these paths; one that is not there is no matter."""
    found = {f[0] for f in (paths.resolve(plan.schema, path) for path in paths.name_lists(dropped)) if f}
    plan = plan.columns()
    return columns.rewrite(plan, lambda path, column, kind, is_field: [] if is_field and path in found else None)


def select_fields(plan, selected):
    """Only the fields at these paths, top-level ones in the order in which they are named; structs keep only what is named."""
    wanted, missing = [], []
    for path in paths.name_lists(selected):
        found = paths.resolve(plan.schema, path)
        (wanted.append(found[0]) if found else missing.append(path))
    if missing:
        warn(f"SelectFields: there is no field {', '.join(map(repr, missing))}{_similar(missing[0], [f.name for f in plan.schema])}; it is left out")

    def visit(path, column, kind, is_field):
        if not is_field or path in wanted or any(path[: len(w)] == w for w in wanted):
            return None
        return None if any(w[: len(path)] == path for w in wanted) else []

    narrowed = columns.rewrite(plan.columns(), visit)
    order = list(dict.fromkeys(w[0] for w in wanted))
    if not order or order == [f.name for f in narrowed.schema]:
        return narrowed
    held, fields = columns.addressed(narrowed)
    return columns.select(held, sorted(fields, key=lambda field: order.index(field[0])))


def rename_field(plan, old, new):
    """The field at one path under another. Within one parent it stays where it is; else it moves to the end of the new one."""
    found = paths.resolve(plan.schema, old)
    target = paths.parse(new) if not new.startswith(".") else (new,)
    if found is None:
        warn(f"RenameField: there is no field {old!r}{_similar(old, [f.name for f in plan.schema])}; nothing is renamed")
        return plan.columns()
    names, kind = found
    plan = plan.columns()
    if names == target:
        return plan
    if names[:-1] == target[:-1]:
        replaced = names[:-1] + (target[-1],)

        def visit(path, column, inner, is_field):
            if is_field and path == names:
                return [(target[-1], column, inner)]
            return [] if is_field and path == replaced else None

        return columns.rewrite(plan, visit)
    held, fields = columns.addressed(plan)
    moved = columns.select(held, fields + [("\x00moved", *columns.at(fields, names))])
    without = columns.rewrite(moved, lambda path, c, k, is_field: [] if is_field and path == names else None)
    held, remaining = columns.addressed(without)
    fields = []
    for name, top, inner in remaining:
        if name == "\x00moved":
            fields.append((target, top, inner))
        elif name == target[0] and isinstance(inner, g.StructType):
            fields.extend(((name, f), c, k) for f, c, k in columns.members(top, inner))
        else:
            fields.append(((name,), top, inner))
    return columns.select(held, nested(fields))
