"""Names that scripts import for machine-learning transforms. They say at their use what to do instead.

Source: AWS Glue developer guide, "FillMissingValues class", "FindMatches class", "FindIncrementalMatches class", "EntityDetector class".
"""

from awsglue.transforms.transform import GlueTransform


def _refused(name, instead):
    def refuse(self, *args, **kwargs):
        raise NotImplementedError(f"{name} needs a model that AWS trains and Millpond does not have; {instead}")

    return refuse


class FillMissingValues(GlueTransform):
    """Refused: needs a trained model."""

    __call__ = _refused("FillMissingValues", "fill the column with frame.toDF().fillna({column: value}) and DynamicFrame.fromDF")


class FindMatches(GlueTransform):
    """Refused: needs a trained model."""

    __call__ = _refused("FindMatches", "find equal records with frame.toDF().dropDuplicates([columns]), or similar ones with a join on levenshtein()")


class FindIncrementalMatches(GlueTransform):
    """Refused: needs a trained model."""

    __call__ = _refused("FindIncrementalMatches", "join new records with known ones on columns that identify them")


class EntityDetector(GlueTransform):
    """Refused: needs AWS's detectors."""

    __call__ = _refused("EntityDetector", "detect patterns with Filter or Map and regular expressions")
    detect = classify_columns = __call__
