"""Paths to fields: `a.b`, `` `a.b`.c `` (back-ticks keep a dot in a name), `list[].price` (elements of a list)."""


def parse(path):
    """The names along a path. Raises ValueError with the column where it is not one."""
    if not isinstance(path, str) or not path:
        raise ValueError(f"a path to a field is a string like 'address.zip', not {path!r}")
    names, at = [], 0
    while True:
        if path[at : at + 1] == "`":
            end = path.find("`", at + 1)
            if end < 0:
                raise ValueError(f"the back-tick at column {at + 1} of the path {path!r} has no end")
            names.append(path[at + 1 : end])
            at = end + 1
        else:
            end = min((found for found in (path.find(".", at), len(path)) if found >= 0), default=len(path))
            names.append(path[at:end].removesuffix("[]"))
            at = end
        if path.startswith("[]", at):
            at += 2
        if at >= len(path):
            return tuple(names)
        if path[at] != ".":
            raise ValueError(f"column {at + 1} of the path {path!r}: a '.' is expected after a name in back-ticks")
        at += 1


def within(schema, names, case_sensitive=True):
    """The names along a path as the schema writes them, and the type there; None where there is no such field. Goes through lists and structs."""
    from awsglue import gluetypes as g

    found, kind = [], schema
    for name in names:
        while isinstance(kind, g.ArrayType):
            kind = kind.elementType
        if isinstance(kind, g.ChoiceType):
            kind = next((branch for branch in kind.branches() if isinstance(branch, g.StructType)), kind)
        if not isinstance(kind, g.StructType):
            return None
        if not kind.hasField(name):
            other = None if case_sensitive else next((f.name for f in kind if f.name.lower() == name.lower()), None)
            if other is None:
                return None
            name = other
        found.append(name)
        kind = kind.getField(name).dataType
    return tuple(found), kind


def resolve(schema, path, case_sensitive=True):
    """Like `within` for a path as a script writes it. A name with dots that has no back-ticks (`.id`, `val.x`) is found where no nested field has that path."""
    found = within(schema, parse(path), case_sensitive) if not path.startswith(".") else None
    return found or within(schema, (path.replace("`", ""),), case_sensitive)


def quote(names):
    """The path of these names, with back-ticks where they are needed."""
    return ".".join(f"`{name}`" if "." in name or not name else name for name in names)


def name_lists(paths):
    """A script's `paths` argument: one path or a list of them."""
    return [paths] if isinstance(paths, str) else list(paths)
