"""What DynamicFrames are made of.

A frame's content is a *plan* (`plan.py`): either columns (a Spark DataFrame and a Glue schema), or rows (columns, and Python functions to run on each
record, fused into one pass). Transforms of columns are Spark expressions (`columns.py`, `mapping.py`, `choices.py`, `relational.py`): no Python runs per row.
Records (`records.py`) describe themselves: their types are found in one pass, when somebody asks for the schema or the data.

A choice is held as a struct column with a member for each type, of which at most one is set. That is also what `toDF()` makes of it, as with AWS.
"""
