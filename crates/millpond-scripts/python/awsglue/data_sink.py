"""`GlueContext.getSink`: a target whose format and catalog table are set before frames are written to it."""

from awsglue.connections import Unsupported, dynamodb, flag, s3_sink


class DataSink:
    """A target by connection type and options."""

    def __init__(self, glue_context, connection_type, options, format=None, format_options=None):
        self._context = glue_context
        self._connection_type = connection_type
        self._options = dict(options)
        self._format = format
        self._format_options = dict(format_options or {})
        self._catalog = None

    def setFormat(self, format, **options):
        self._format = format
        self._format_options = options

    def setAccumulableSize(self, size):
        """Nothing to do: errors are counted by the frames."""

    def setCatalogInfo(self, catalogDatabase, catalogTableName, catalogId=""):
        """The table that `enableUpdateCatalog` makes or changes."""
        self._catalog = (catalogDatabase, catalogTableName)

    def write(self, dynamic_frame_or_dfc, info=""):
        """Writes a frame, or each frame of a collection (below its name); answers frames of errors."""
        from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection

        if isinstance(dynamic_frame_or_dfc, DynamicFrame):
            return self.writeFrame(dynamic_frame_or_dfc, info)
        if isinstance(dynamic_frame_or_dfc, DynamicFrameCollection):
            written = [self._named(frame).writeFrame(frame, info) for frame in dynamic_frame_or_dfc.values()]
            return DynamicFrameCollection(written, self._context)
        raise TypeError(f"dynamic_frame_or_dfc must be an instance of DynamicFrame or DynamicFrameCollection. Got {type(dynamic_frame_or_dfc)}")

    def writeFrame(self, dynamic_frame, info=""):
        from awsglue.dynamicframe import DynamicFrame

        self._write(dynamic_frame.toDF())
        dynamic_frame.assertErrorThreshold()
        return DynamicFrame._empty(self._context.spark_session, dynamic_frame.glue_ctx or self._context, dynamic_frame.name + "_errors")

    def writeDataFrame(self, data_frame, glue_context=None, info=""):
        self._write(data_frame)
        return data_frame.limit(0)

    def _named(self, frame):
        """This sink, with the frame's name at the end of its path."""
        if self._connection_type in ("dynamodb",) or not self._options.get("path"):
            return self
        other = DataSink(self._context, self._connection_type, self._options, self._format, self._format_options)
        other._options["path"] = self._options["path"].rstrip("/") + "/" + frame.name
        other._catalog = self._catalog
        return other

    def _write(self, df):
        if self._connection_type == "dynamodb":
            dynamodb.write(df, self._options)
            return
        if self._connection_type not in ("s3", "parquet", "orc", "file"):
            raise Unsupported(unsupported(self._connection_type))
        path, kind, keys = s3_sink.write(df, self._options, self._format, self._format_options)
        if flag(self._options, "enableUpdateCatalog"):
            if not self._catalog:
                raise ValueError(
                    "enableUpdateCatalog needs a table: call setCatalogInfo(catalogDatabase=..., catalogTableName=...) before writeFrame"
                )
            behavior = self._options.get("updateBehavior", "UPDATE_IN_DATABASE")
            s3_sink.update_catalog(df, path, kind, keys, *self._catalog, behavior, self._format_options)


def unsupported(connection_type):
    """Why a connection type cannot be used, and what can."""
    return (
        f'connection_type "{connection_type}" is not supported: Millpond reads and writes S3 (csv, json, parquet, orc, avro) and DynamoDB. '
        "Move the data by way of S3, or connect from the script itself with a client of the database (--additional-python-modules)."
    )
