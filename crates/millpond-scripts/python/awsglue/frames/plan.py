"""The content of a DynamicFrame: columns, or rows that become columns when somebody needs them.

Schema and data are found lazily, and once: a plan is never changed, so frames share it freely.
"""

import json
import pickle

from awsglue import gluetypes as g
from awsglue.frames import rows
from awsglue.frames.shapes import TooManyFields, check_fields, with_hint
from awsglue.frames.types import spark_struct, struct_of


class ErrorThresholdExceeded(Exception):
    """More records failed than `stageThreshold` or `totalThreshold` allows."""


class Columns:
    """A Spark DataFrame, and the Glue schema of its columns (found from the DataFrame where it is not given).

    `declared` says that the schema was stated by somebody (a table, a header, a DataFrame) and not found in records: then a field that a script
    names and that is missing is a mistake rather than something that this run's records happened not to have.
    `errors` are the plans whose records were lost on the way here.
    """

    def __init__(self, df, schema=None, declared=True, errors=()):
        self.df = df
        self._schema = schema
        self.declared = declared
        self.errors = tuple(errors)

    @property
    def schema(self):
        if self._schema is None:
            self._schema = struct_of(self.df.schema)
        return self._schema

    def columns(self):
        return self

    @property
    def spark(self):
        return self.df.sparkSession

    def derived(self, df, schema=None):
        """A plan of other columns that were made of these."""
        return Columns(df, schema, self.declared, self.errors)

    def check_thresholds(self):
        for plan in self.errors:
            plan.check_thresholds()

    def stage_errors(self):
        return 0

    def total_errors(self):
        return sum(plan.total_errors() for plan in self.errors)

    def error_plans(self):
        return [found for plan in self.errors for found in plan.error_plans()]


class Rows:
    """Steps to run on the records of a `Columns`. `thresholds` are (records that may fail in the step, records that may fail until it) by step; 0 is no limit."""

    def __init__(self, base, steps, thresholds):
        self.base = base
        self.steps = tuple(steps)
        self.thresholds = tuple(thresholds)
        self._found = None
        self._columns = None

    declared = False

    @classmethod
    def then(cls, plan, step, stage_threshold=0, total_threshold=0):
        """`plan` with one more step."""
        thresholds = (int(stage_threshold or 0), int(total_threshold or 0))
        if isinstance(plan, Rows):
            return cls(plan.base, plan.steps + (step,), plan.thresholds + (thresholds,))
        return cls(plan, (step,), (thresholds,))

    @property
    def spark(self):
        return self.base.spark

    @property
    def filters_only(self):
        """Whether no step changes a record: then whole rows are kept or not, and the schema is known."""
        return all(step.kind == "filter" for step in self.steps)

    @property
    def schema(self):
        return self.columns().schema

    def found(self):
        """What one pass over the records finds: `schema`, `records` and `errors` by step."""
        if self._found is None:
            rows.ship_by_value()
            try:
                answers = self.base.df.mapInArrow(rows.schema_pass(self.base.schema, self.steps), "found string").collect()
            except pickle.PicklingError as error:
                raise pickle.PicklingError(
                    f"{self.steps[-1].label}: the function, or something that it uses, cannot be sent to workers ({error}); make clients, contexts and "
                    "frames outside of it into plain values, or inside the function"
                ) from error
            schema, count, errors = g.UnknownType(), 0, [0] * len(self.steps)
            for answer in answers:
                part = json.loads(answer["found"])
                if "refused" in part:
                    raise TooManyFields(f"{self.steps[-1].label}: {part['refused']}")
                schema = g.mergeDataTypes(schema, g._deserialize_json_value(part["schema"]))
                count += part["records"]
                errors = [a + b for a, b in zip(errors, part["errors"])]
            if isinstance(schema, g.StructType):
                check_fields(len(schema), schema.field_map, f"{self.steps[-1].label}: ")
            self._found = {"schema": schema, "records": count, "errors": errors}
        return self._found

    def _schema_of_records(self):
        parsed = self.steps[0].kind == "parse"
        found = self.found()
        if found["records"] == 0:
            return g.StructType([]) if parsed else self.base.schema
        seen = found["schema"]
        if not isinstance(seen, g.StructType):
            return g.StructType([])
        if parsed:
            keep = [f for f in self.base.schema if f.name in self.steps[0].options.get("keep", ())]
            hints = {f.name: f.dataType for f in keep}
            return g.StructType([g.Field(f.name, with_hint(f.dataType, hints.get(f.name))) for f in seen])
        return with_hint(seen, self.base.schema)

    def columns(self):
        if self._columns is None:
            rows.ship_by_value()
            self.check_thresholds()
            df, base = self.base.df, self.base
            if self.filters_only:
                schema = base.schema
                df = df.mapInArrow(rows.mask_pass(schema, self.steps), df.schema)
            else:
                schema = self._schema_of_records()
                if len(schema) == 0:
                    df = empty(self.spark).df
                else:
                    df = df.mapInArrow(rows.column_pass(base.schema, self.steps, schema), spark_struct(schema))
            self._columns = Columns(df, schema, self.filters_only and base.declared, (self,))
        return self._columns

    def stage_errors(self):
        return self.found()["errors"][-1]

    def total_errors(self):
        return sum(self.found()["errors"]) + self.base.total_errors()

    def error_plans(self):
        """Plans of the records that failed, as `errorsAsDynamicFrame` shows them."""
        if sum(self.found()["errors"]) == 0:
            return self.base.error_plans()
        return self.base.error_plans() + [Rows(self.base, self.steps + (rows.Step("errors", "errorsAsDynamicFrame"),), self.thresholds + ((0, 0),))]

    def check_thresholds(self):
        """Raises ErrorThresholdExceeded where a step that has a threshold lost too many records. Costs a pass only where there is one."""
        self.base.check_thresholds()
        if not any(stage or total for stage, total in self.thresholds):
            return
        errors = self.found()["errors"]
        before = self.base.total_errors()
        for index, (stage, total) in enumerate(self.thresholds):
            label = self.steps[index].label
            if stage and errors[index] >= stage:
                raise ErrorThresholdExceeded(f"{label}: {errors[index]} records failed; stageThreshold is {stage}")
            until = before + sum(errors[: index + 1])
            if total and until >= total:
                raise ErrorThresholdExceeded(f"{label}: {until} records failed until here; totalThreshold is {total}")


def empty(spark):
    """A plan without fields and records, as a frame has whose source has nothing new."""
    from pyspark.sql.types import StructType

    return Columns(spark.createDataFrame([], StructType([])), g.StructType([]), declared=False)
