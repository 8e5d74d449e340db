"""What `glueContext.write_data_frame` is: Spark DataFrames to targets."""


class DataFrameWriter:
    def __init__(self, glue_context):
        self._glue_context = glue_context

    def from_catalog(self, frame, database=None, table_name=None, **kwargs):
        return self._glue_context.write_data_frame_from_catalog(frame, database, table_name, **kwargs)

    def from_options(self, frame, connection_type, connection_options=None, format=None, format_options=None, transformation_ctx="", **kwargs):
        from awsglue.data_sink import DataSink

        DataSink(self._glue_context, connection_type, connection_options or {}, format, format_options).writeDataFrame(frame)
