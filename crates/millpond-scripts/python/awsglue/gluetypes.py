"""Types of a DynamicFrame's schema.

They are Spark's types and two more: a *choice* for a field whose values have several types, and `UnknownType` for one of which nothing is known.
Their JSON is the one of AWS's library (`dataType`, `properties`, `fields` with `container`), so that schemas that scripts keep can be read back.
Source: AWS Glue developer guide, "DynamicFrame types" (aws-glue-api-crawler-pyspark-extensions-types.html).
"""

import json


class DataType:
    """A type. Two are equal when their class and all members are."""

    def __init__(self, properties=None):
        self.properties = dict(properties or {})

    @classmethod
    def typeName(cls):
        """The name that a schema's JSON, a choice and `cast:` use: `int`, `long`, `struct`."""
        return cls.__name__[: -len("Type")].lower()

    def jsonValue(self):
        return {"dataType": self.typeName(), "properties": self.properties}

    @classmethod
    def fromJsonValue(cls, value):
        return cls(**{key: member for key, member in value.items() if key != "dataType"})

    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(json.dumps(self.jsonValue(), sort_keys=True))

    def __repr__(self):
        return f"{type(self).__name__}({self.properties})"


class AtomicType(DataType):
    """A type without parts."""


class BinaryType(AtomicType):
    pass


class BooleanType(AtomicType):
    pass


class ByteType(AtomicType):
    pass


class DateType(AtomicType):
    pass


class DecimalType(AtomicType):
    """A decimal of `precision` digits, `scale` of them after the point."""

    def __init__(self, precision=10, scale=2, properties=None):
        super().__init__(properties)
        self.precision = precision
        self.scale = scale

    def jsonValue(self):
        return {**super().jsonValue(), "precision": self.precision, "scale": self.scale}

    def __repr__(self):
        return f"DecimalType({self.precision}, {self.scale}, {self.properties})"


class DoubleType(AtomicType):
    pass


class EnumType(AtomicType):
    """A string out of `options`."""

    def __init__(self, options, properties=None):
        super().__init__(properties)
        self.options = list(options)

    def jsonValue(self):
        return {**super().jsonValue(), "options": self.options}

    def __repr__(self):
        shown = ",".join(self.options[:3]) + (",..." if len(self.options) > 3 else "")
        return f"EnumType([{shown}], {self.properties})"


class FloatType(AtomicType):
    pass


class IntegerType(AtomicType):
    @classmethod
    def typeName(cls):
        return "int"


class LongType(AtomicType):
    pass


class NullType(AtomicType):
    """A field that has only ever been null."""


class ShortType(AtomicType):
    pass


class StringType(AtomicType):
    pass


class TimestampType(AtomicType):
    pass


class TimestampNTZType(AtomicType):
    pass


class UnknownType(AtomicType):
    pass


class ArrayType(DataType):
    """A list of elements of one type (which may be a choice)."""

    def __init__(self, elementType=None, properties=None):
        super().__init__(properties)
        self.elementType = _checked(UnknownType() if elementType is None else elementType, "elementType")

    def jsonValue(self):
        return {**super().jsonValue(), "elementType": self.elementType.jsonValue()}

    @classmethod
    def fromJsonValue(cls, value):
        return cls(_deserialize_json_value(value["elementType"]), value.get("properties"))

    def __repr__(self):
        return f"{type(self).__name__}({self.elementType}, {self.properties})"


class SetType(ArrayType):
    """A list without order and duplicates."""


class MapType(DataType):
    """A map from strings to values of one type."""

    def __init__(self, valueType=None, properties=None):
        super().__init__(properties)
        self.valueType = _checked(UnknownType() if valueType is None else valueType, "valueType")

    def jsonValue(self):
        return {**super().jsonValue(), "valueType": self.valueType.jsonValue()}

    @classmethod
    def fromJsonValue(cls, value):
        return cls(_deserialize_json_value(value["valueType"]), value.get("properties"))

    def __repr__(self):
        return f"MapType({self.valueType}, {self.properties})"


class ChoiceType(DataType):
    """What a field is whose values have several types; `choices` holds them by their names."""

    def __init__(self, choices=(), properties=None):
        super().__init__(properties)
        self.choices = {}
        for choice in choices:
            self.add(choice)

    def add(self, new_choice):
        """Adds a type. Raises ValueError if one of that name is there."""
        name = _checked(new_choice, "choice").typeName()
        if name in self.choices:
            raise ValueError(f"the choice has the type {name} already; use merge() to widen it")
        self.choices[name] = new_choice

    def merge(self, new_choices):
        """Adds types; those of a name that is there are merged with it."""
        for choice in new_choices if isinstance(new_choices, (list, tuple)) else [new_choices]:
            name = choice.typeName()
            self.choices[name] = mergeDataTypes(self.choices[name], choice) if name in self.choices else choice

    def branches(self):
        """The types in the order in which schemas show them and columns hold them."""
        return [self.choices[name] for name in sorted(self.choices)]

    def jsonValue(self):
        return {**super().jsonValue(), "choices": [choice.jsonValue() for choice in self.branches()]}

    @classmethod
    def fromJsonValue(cls, value):
        return cls([_deserialize_json_value(choice) for choice in value["choices"]], value.get("properties"))

    def __repr__(self):
        return f"ChoiceType([{','.join(map(str, self.branches()))}], {self.properties})"


class Field:
    """A named member of a struct."""

    def __init__(self, name, dataType, properties=None):
        if not isinstance(name, str):
            raise TypeError(f"a field's name is a string, not {type(name).__name__}")
        self.name = name
        self.dataType = _checked(dataType, "dataType")
        self.properties = dict(properties or {})

    def jsonValue(self):
        return {"name": self.name, "container": self.dataType.jsonValue(), "properties": self.properties}

    @classmethod
    def fromJsonValue(cls, value):
        return cls(value["name"], _deserialize_json_value(value["container"]), value.get("properties"))

    def __eq__(self, other):
        return isinstance(other, Field) and self.name == other.name and self.dataType == other.dataType

    def __hash__(self):
        return hash((self.name, self.dataType))

    def __repr__(self):
        return f"Field({self.name}, {self.dataType}, {self.properties})"


class StructType(DataType):
    """Named fields in order. Names are case-sensitive."""

    def __init__(self, fields=(), properties=None):
        super().__init__(properties)
        self.fields = []
        self.field_map = {}
        for field in fields:
            self.add(field)

    def __iter__(self):
        return iter(self.fields)

    def __len__(self):
        return len(self.fields)

    def __bool__(self):
        return True

    def add(self, field):
        if not isinstance(field, Field):
            raise TypeError(f"a struct is made of Field, not {type(field).__name__}")
        self.fields.append(field)
        self.field_map[field.name] = field

    def hasField(self, field):
        return (field.name if isinstance(field, Field) else field) in self.field_map

    def getField(self, field):
        """The field of that name. Raises KeyError."""
        return self.field_map[field.name if isinstance(field, Field) else field]

    def jsonValue(self):
        return {**super().jsonValue(), "fields": [field.jsonValue() for field in self.fields]}

    @classmethod
    def fromJsonValue(cls, value):
        return cls([Field.fromJsonValue(field) for field in value["fields"]], value.get("properties"))

    def __eq__(self, other):
        return type(self) is type(other) and self.fields == other.fields

    def __hash__(self):
        return hash(tuple(self.fields))

    def __repr__(self):
        return f"StructType([{','.join(map(str, self.fields))}], {self.properties})"


class EntityType(DataType):
    """Named by AWS's library and implemented by neither."""

    def __init__(self, entity, base_type, properties):
        raise NotImplementedError("EntityType has no meaning in DynamicFrames; use the base type")


def _checked(value, what):
    if not isinstance(value, DataType):
        raise TypeError(f"{what} is a DataType, not {type(value).__name__}")
    return value


_atomic_types = [
    BinaryType, BooleanType, ByteType, DateType, DecimalType, DoubleType, EnumType, FloatType, IntegerType, LongType, NullType, ShortType, StringType,
    TimestampType, TimestampNTZType, UnknownType,
]  # fmt: skip
_complex_types = [ArrayType, ChoiceType, MapType, StructType, SetType]
_atomic_type_map = {kind.typeName(): kind for kind in _atomic_types}
_complex_type_map = {kind.typeName(): kind for kind in _complex_types}
_all_type_map = {**_atomic_type_map, **_complex_type_map}


def _deserialize_json_value(value):
    if not isinstance(value, dict) or value.get("dataType") not in _all_type_map:
        raise ValueError(f"not a type of a Glue schema: {value!r}")
    return _all_type_map[value["dataType"]].fromJsonValue(value)


def _deserialize_json_string(text):
    return _deserialize_json_value(json.loads(text))


def _serialize_schema(schema):
    return json.dumps(schema.jsonValue())


def mergeDataTypes(s1, s2):
    """The type that holds the values of both: structs field by field, arrays by element, else a choice. Nothing is lost: int and long stay apart."""
    if isinstance(s1, (UnknownType, NullType)):
        return s2
    if isinstance(s2, (UnknownType, NullType)):
        return s1
    if isinstance(s1, ChoiceType) or isinstance(s2, ChoiceType):
        merged = ChoiceType(s1.branches() if isinstance(s1, ChoiceType) else [s1], s1.properties)
        merged.merge(s2.branches() if isinstance(s2, ChoiceType) else [s2])
        return merged
    if type(s1) is not type(s2):
        return ChoiceType([s1, s2], s1.properties)
    if isinstance(s1, StructType):
        fields = [Field(f.name, mergeDataTypes(f.dataType, s2.getField(f).dataType) if s2.hasField(f) else f.dataType, f.properties) for f in s1]
        return StructType(fields + [f for f in s2 if not s1.hasField(f)], s1.properties)
    if isinstance(s1, ArrayType):
        return type(s1)(mergeDataTypes(s1.elementType, s2.elementType))
    if isinstance(s1, MapType):
        return MapType(mergeDataTypes(s1.valueType, s2.valueType))
    if isinstance(s1, EnumType):
        return EnumType(s1.options + [option for option in s2.options if option not in s1.options])
    if isinstance(s1, DecimalType):
        scale = max(s1.scale, s2.scale)
        digits = max(s1.precision - s1.scale, s2.precision - s2.scale)
        return DecimalType(min(38, digits + scale), scale)
    return s1


class DynamicRecord(dict):
    """A record as `Filter` and `Map` see it: a dict whose names are case-sensitive, and members by attribute (`rec.address.zip`).

    A name that is not there raises KeyError both ways, as with AWS: `Filter` takes that for "no".
    """

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name, value):
        self[name] = value

    def __delattr__(self, name):
        del self[name]


def _create_dynamic_record(value):
    """Makes a plain dict, and the dicts within, into DynamicRecords."""
    if isinstance(value, dict):
        return DynamicRecord((name, _create_dynamic_record(member)) for name, member in value.items())
    if isinstance(value, list):
        return [_create_dynamic_record(member) for member in value]
    return value


def _revert_to_dict(value):
    """The opposite of `_create_dynamic_record`."""
    if isinstance(value, dict):
        return {name: _revert_to_dict(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_revert_to_dict(member) for member in value]
    return value
