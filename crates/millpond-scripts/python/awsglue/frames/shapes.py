"""The types of values: found a batch at a time, and told apart by what is known of the fields.

Types of Python values are found with `set(map(type, values))` and the like, which run at C's speed, rather than value by value.
"""

import datetime
import decimal
from itertools import chain

from awsglue import gluetypes as g

INT_MIN, INT_MAX = -(1 << 31), (1 << 31) - 1
LONG_MIN, LONG_MAX = -(1 << 63), (1 << 63) - 1
ATOMS = {
    bool: "boolean",
    str: "string",
    float: "double",
    bytes: "binary",
    datetime.datetime: "timestamp",
    datetime.date: "date",
    decimal.Decimal: "decimal",
}


# So many different names in one record, or in all records at one place, are values that somebody used as names: each would be a column.
FIELDS_MAX = 10_000


class TooManyFields(ValueError):
    """Records have more different names at one place than a table can have columns."""


class Seen:
    """The types of the values that were seen at one place."""

    def __init__(self):
        self.atoms = set()
        self.null = False
        self.digits = 0
        self.scale = 0
        self.fields = None
        self.element = None

    def add_all(self, values):
        """Takes plain values in (`records.plain`)."""
        kinds = set(map(type, values))
        for kind in kinds:
            if kind is type(None):
                self.null = True
            elif kind is int:
                self._integers(values if len(kinds) == 1 else [v for v in values if type(v) is int])
            elif kind is decimal.Decimal:
                self.atoms.add("decimal")
                for value in values:
                    if type(value) is decimal.Decimal:
                        self._decimal(value)
            elif kind in ATOMS:
                self.atoms.add(ATOMS[kind])
            elif issubclass(kind, dict):
                self._structs(values if len(kinds) == 1 else [v for v in values if type(v) is kind])
            elif issubclass(kind, list):
                if self.element is None:
                    self.element = Seen()
                self.element.add_all(list(chain.from_iterable(v for v in values if type(v) is kind)))
            else:
                self.atoms.add("timestamp" if issubclass(kind, datetime.datetime) else "date")

    def add(self, value):
        self.add_all([value])

    def _structs(self, values):
        if self.fields is None:
            self.fields = {}
        for name in dict.fromkeys(chain.from_iterable(values)):
            seen = self.fields.get(name)
            if seen is None:
                seen = self.fields[name] = Seen()
            seen.add_all([v[name] for v in values if name in v])
        check_fields(len(self.fields), self.fields)

    def _integers(self, values):
        if INT_MIN <= min(values) and max(values) <= INT_MAX:
            self.atoms.add("int")
            return
        for value in values:
            if INT_MIN <= value <= INT_MAX:
                self.atoms.add("int")
            elif LONG_MIN <= value <= LONG_MAX:
                self.atoms.add("long")
            elif abs(value) < 10**38:
                self.atoms.add("decimal")
                self._decimal(decimal.Decimal(value))
            else:
                self.atoms.add("double")

    def _decimal(self, value):
        _, digits, exponent = value.as_tuple()
        if isinstance(exponent, int):
            scale = max(0, -exponent)
            self.scale = max(self.scale, scale)
            self.digits = max(self.digits, len(digits) + max(exponent, 0) - scale, 0)

    def type(self):
        """The Glue type of what was seen; NullType where it was only nulls, UnknownType where it was nothing."""
        found = []
        for name in sorted(self.atoms):
            if name == "decimal":
                scale = min(self.scale, 38)
                found.append(g.DecimalType(max(1, min(38, self.digits + scale)), scale))
            else:
                found.append(g._atomic_type_map[name]())
        if self.fields is not None:
            found.append(g.StructType([g.Field(name, seen.type()) for name, seen in self.fields.items()]))
        if self.element is not None:
            found.append(g.ArrayType(self.element.type()))
        if not found:
            return g.NullType() if self.null else g.UnknownType()
        return found[0] if len(found) == 1 else g.ChoiceType(found)


def check_fields(count, names, label=""):
    """Raises TooManyFields, with the label before its message."""
    if count > FIELDS_MAX:
        some = ", ".join(repr(name) for name, _ in zip(names, range(3)))
        raise TooManyFields(
            f"{label}records have more than {FIELDS_MAX} different names ({some}, ...): values seem to be used as names. Make them a list of name and value in Map, "
            "or read the file as text"
        )


def type_name_of(value):
    """The Glue name of a plain value's type."""
    seen = Seen()
    seen.add(value)
    return seen.type().typeName()


_WIDTH = {"byte": 0, "short": 1, "int": 2, "long": 3}


def with_hint(seen, hint):
    """`seen`, told apart by what the field was before the function ran: a long column whose values happen to be small stays long."""
    if hint is None or seen == hint:
        return seen
    if isinstance(seen, (g.NullType, g.UnknownType)):
        return hint
    if isinstance(hint, g.MapType) and isinstance(seen, g.StructType):
        value = g.UnknownType()
        for field in seen:
            value = g.mergeDataTypes(value, field.dataType)
        return g.MapType(with_hint(value, hint.valueType))
    if isinstance(seen, g.ChoiceType) or isinstance(hint, g.ChoiceType):
        return _choice_with_hint(seen, hint)
    if isinstance(seen, g.StructType) and isinstance(hint, g.StructType):
        kept = [f for f in hint if seen.hasField(f)]
        fields = [g.Field(f.name, with_hint(seen.getField(f).dataType, f.dataType)) for f in kept]
        return g.StructType(fields + [f for f in seen if not hint.hasField(f)])
    if isinstance(seen, g.ArrayType) and isinstance(hint, g.ArrayType):
        return type(hint)(with_hint(seen.elementType, hint.elementType))
    if isinstance(seen, g.DecimalType) and isinstance(hint, g.DecimalType):
        return g.mergeDataTypes(hint, seen)
    a, b = seen.typeName(), hint.typeName()
    if a in _WIDTH and b in _WIDTH:
        return hint if _WIDTH[b] >= _WIDTH[a] else seen
    if (a, b) in (("double", "float"), ("timestamp", "timestampntz"), ("string", "enum")):
        return hint
    return seen


def _choice_with_hint(seen, hint):
    hints = {t.typeName(): t for t in (hint.branches() if isinstance(hint, g.ChoiceType) else [hint])}
    merged = g.UnknownType()
    for branch in seen.branches() if isinstance(seen, g.ChoiceType) else [seen]:
        name = branch.typeName()
        nearest = hints.get(name)
        if nearest is None and name in _WIDTH:
            nearest = next((hints[wider] for wider in ("int", "long") if wider in hints and _WIDTH[wider] >= _WIDTH[name]), None)
        merged = g.mergeDataTypes(merged, with_hint(branch, nearest))
    return merged
