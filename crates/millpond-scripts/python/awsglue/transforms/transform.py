"""What all transforms have in common."""

import inspect

_COMMON = {
    "frame": ("DynamicFrame", "the frame to transform"),
    "transformation_ctx": ("String", "a name for the transform's state"),
    "info": ("String", "a text for messages about records that fail"),
    "stageThreshold": ("Integer", "how many records may fail in this transform; 0: any number"),
    "totalThreshold": ("Integer", "how many records may fail until and in this transform; 0: any number"),
}


class GlueTransform:
    """A transform: `T.apply(frame=..., ...)` and `T()(frame, ...)` are the same.

    A subclass writes `__call__`; `ARGUMENTS` ({name: (type, meaning)}), `RETURNS` (type, meaning) and the first line of its docstring describe it.
    """

    ARGUMENTS = {}
    RETURNS = ("DynamicFrame", "the transformed frame")

    @classmethod
    def apply(cls, *args, **kwargs):
        return cls()(*args, **kwargs)

    @classmethod
    def name(cls):
        return cls.__name__

    @classmethod
    def describeArgs(cls):
        """A dict for each argument: name, type, description, optional, defaultValue."""
        if "__call__" not in vars(cls):
            raise NotImplementedError(f"{cls.__name__} has no __call__ to describe")
        described = []
        for parameter in list(inspect.signature(cls.__call__).parameters.values())[1:]:
            kind, meaning = cls.ARGUMENTS.get(parameter.name) or _COMMON.get(parameter.name) or ("String", "")
            optional = parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
            default = parameter.default if parameter.default is not parameter.empty else None
            described.append({"name": parameter.name, "type": kind, "description": meaning, "optional": optional, "defaultValue": default})
        return described

    @classmethod
    def describeReturn(cls):
        return {"type": cls.RETURNS[0], "description": cls.RETURNS[1]}

    @classmethod
    def describeTransform(cls):
        return (cls.__doc__ or "").strip().split("\n")[0]

    @classmethod
    def describeErrors(cls):
        return []

    @classmethod
    def describe(cls):
        return {
            "transform": {
                "name": cls.name(),
                "args": cls.describeArgs(),
                "returns": cls.describeReturn(),
                "description": cls.describeTransform(),
                "raises": cls.describeErrors(),
                "location": "internal",
            }
        }

    def __eq__(self, other):
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self):
        return hash((type(self).__name__, tuple(sorted(self.__dict__.items()))))

    def __repr__(self):
        return f"<Transform: {self.name()}>"
