"""Choices: what to make of a field whose values have several types.

Source: AWS Glue developer guide, "ResolveChoice class": `cast:type`, `make_cols`, `make_struct`, `project:type`, `match_catalog`. A value that cannot
be cast becomes null.
"""

from awsglue import gluetypes as g
from awsglue.frames import columns, paths
from awsglue.frames.types import named_type

ACTIONS = "cast:type, project:type, make_cols, make_struct, match_catalog"


def parse_action(action):
    """(kind of action, type or None). Raises ValueError for what is none."""
    name, _, argument = str(action).partition(":")
    name = name.strip().lower()
    if name in ("make_cols", "make_struct", "match_catalog") and not argument:
        return name, None
    if name in ("cast", "project") and argument.strip():
        return name, argument.strip()
    raise ValueError(f"resolveChoice: {action!r} is not an action; actions are {ACTIONS}")


def resolve(plan, specs, choice, catalog_types=None):
    """Resolves choices by `specs` ((path, action)s), or all of them by `choice`. `catalog_types` maps lower-case column names to types by name, for match_catalog."""
    plan = plan.columns()
    actions = {}
    for spec in specs or ():
        if not isinstance(spec, (tuple, list)) or len(spec) != 2:
            raise ValueError(f"resolveChoice: a spec is a tuple (path, action), not {spec!r}")
        found = paths.resolve(plan.schema, spec[0])
        action = parse_action(spec[1])
        if action[0] == "match_catalog":
            raise ValueError("resolveChoice: match_catalog is given as choice='match_catalog', with database and table_name, not in specs")
        if found is not None:
            actions[found[0]] = action
    default = parse_action(choice) if choice else None

    def visit(path, column, kind, is_field):
        action = actions.get(path)
        if action is not None and (isinstance(kind, g.ChoiceType) or (isinstance(kind, g.AtomicType) and action[0] in ("cast", "project"))):
            return _resolved(path, column, kind, action, is_field, catalog_types)
        if default is not None and isinstance(kind, g.ChoiceType):
            return _resolved(path, column, kind, default, is_field, catalog_types)
        return None

    return columns.rewrite(plan, visit)


def _resolved(path, column, kind, action, is_field, catalog_types):
    name = path[-1]
    what, argument = action
    if what == "match_catalog":
        argument = (catalog_types or {}).get(".".join(path).lower())
        if argument is None:
            return None
    if what in ("cast", "project", "match_catalog"):
        target = named_type(argument)
        if target is None:
            return _project_branch(name, column, kind, argument)
        return None if kind == target else [(name, columns.cast(column, kind, target), target)]
    branches = columns.branches(column, kind)
    if what == "make_cols" and is_field:
        return [(f"{name}_{branch}", inner, of) for branch, inner, of in branches]
    return [(name, column, g.StructType([g.Field(branch, of) for branch, _, of in branches]))]


def _project_branch(name, column, kind, type_name):
    """`project:struct`, `project:array`: the values of that type; others become null."""
    wanted = type_name.lower().split("<")[0]
    found = columns.branches(column, kind) if isinstance(kind, g.ChoiceType) else []
    inner = next(((name, inner, of) for branch, inner, of in found if branch == wanted), None)
    if inner is None:
        raise ValueError(f"resolveChoice of {name!r}: nothing can be cast to {type_name!r}, and it is not one of the choice's types")
    return [inner]


def catalog_column_types(database, table_name, catalog_id=None):
    """Column types by lower-case name of a table of the Data Catalog, for match_catalog."""
    import boto3

    options = {"CatalogId": catalog_id} if catalog_id else {}
    table = boto3.client("glue").get_table(DatabaseName=database, Name=table_name, **options)["Table"]
    found = table.get("StorageDescriptor", {}).get("Columns", []) + table.get("PartitionKeys", [])
    return {column["Name"].lower(): column.get("Type", "string") for column in found}
