"""`GlueContext.getSource`: a source whose format is set before its frame is asked for."""


class DataSource:
    """A source by connection type and options. Reads nothing until `getFrame`."""

    def __init__(self, glue_context, connection_type, options, format=None, transformation_ctx="", push_down_predicate="", name=""):
        self._context = glue_context
        self._connection_type = connection_type
        self._options = options
        self._format = format
        self._format_options = {}
        self._transformation_ctx = transformation_ctx
        self._push_down_predicate = push_down_predicate
        self.name = name

    def setFormat(self, format, **options):
        self._format = format
        self._format_options = options

    def getFrame(self, **options):
        return self._context._read(self._connection_type, self._options, self._format, self._format_options, self._transformation_ctx)

    def getSampleFrame(self, num, **options):
        """The first `num` records."""
        from awsglue.dynamicframe import DynamicFrame

        return DynamicFrame.fromDF(self.getFrame().toDF().limit(int(num)), self._context, self.name)

    def getDataFrame(self):
        return self.getFrame().toDF()
