"""What `glueContext.create_data_frame` is: sources as Spark DataFrames."""


class DataFrameReader:
    def __init__(self, glue_context):
        self._glue_context = glue_context

    def from_catalog(self, database=None, table_name=None, **kwargs):
        return self._glue_context.create_data_frame_from_catalog(database, table_name, **kwargs)

    def from_options(
        self, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx="", push_down_predicate="", **kwargs
    ):
        return self._glue_context.create_data_frame_from_options(
            connection_type, connection_options, format, format_options, transformation_ctx, push_down_predicate, **kwargs
        )
