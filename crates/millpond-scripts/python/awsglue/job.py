"""`Job`: the start and the end of a run, as scripts mark them."""


class Job:
    """A run of a job. `commit` says that bookmarks are to be saved; what was written becomes visible with the end of the script."""

    @classmethod
    def continuation_options(cls):
        return ["--continuation-option", "continuation-enabled", "continuation-readonly", "continuation-ignore"]

    @classmethod
    def job_bookmark_options(cls):
        return ["--job-bookmark-option", "job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable"]

    @classmethod
    def job_bookmark_range_options(cls):
        return ["--job-bookmark-from", "--job-bookmark-to"]

    @classmethod
    def id_params(cls):
        return ["--JOB_NAME", "--JOB_ID", "--JOB_RUN_ID", "--SECURITY_CONFIGURATION"]

    @classmethod
    def encryption_type_options(cls):
        return ["--encryption-type", "sse-s3"]

    @classmethod
    def data_lineage_options(cls):
        return ["--enable-data-lineage"]

    def __init__(self, glue_context_or_spark_session):
        self._context = glue_context_or_spark_session
        self._name = None

    def init(self, job_name, args=None):
        """Marks the start. `args` are those of `getResolvedOptions`."""
        self._name = job_name

    def isInitialized(self):
        return self._name is not None

    def commit(self):
        """Marks bookmarks to be saved with the end of the run. May be called several times."""
        from millpond_job import run

        run.current().commit()
