"""Functions over columns that Glue adds to Spark's."""


def namedStruct(*cols):
    """A struct of columns."""
    from pyspark.sql import functions as F

    given = cols[0] if len(cols) == 1 and isinstance(cols[0], (list, set, tuple)) else cols
    return F.struct(*given)


def explodeWithIndex(col):
    """A row for each element of an array, with columns `index` and `val`."""
    from pyspark.sql import functions as F

    return F.posexplode(col).alias("index", "val")


def replaceArrayElement(srcCol, replaceCol, idx):
    """The array with another element at an index, from 0."""
    from pyspark.sql import functions as F

    source = F.col(srcCol) if isinstance(srcCol, str) else srcCol
    replacement = F.col(replaceCol) if isinstance(replaceCol, str) else replaceCol
    return F.transform(source, lambda element, index: F.when(index == int(idx), replacement).otherwise(element))
