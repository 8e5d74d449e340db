"""`getResolvedOptions`: the arguments of a run (AWS Glue developer guide, "Accessing parameters using getResolvedOptions")."""

import argparse
import traceback

from awsglue.job import Job

_global_args = {}


class GlueArgumentError(Exception):
    """Arguments that are missing or have no value."""


class GlueArgumentParser(argparse.ArgumentParser):
    """argparse, with an exception in the place of the process's end."""

    def error(self, message):
        raise GlueArgumentError(message)


def getResolvedOptions(args, options, allow_abbrev=False):
    """A dict of the named arguments in `args` (`sys.argv`), and of those that Glue itself gives (`JOB_NAME` only where it is asked for). A hyphen in a name
    is an underscore in its key (argparse): `["my-opt"]` gives `my_opt`.

    Raises GlueArgumentError where one that is named is missing, RuntimeError where one that Glue reserves is named.
    """
    reserved = ["--job-bookmark-option", "--continuation-option", *Job.job_bookmark_range_options(), "--encryption-type", "--enable-data-lineage"]
    for option in reserved:
        if option[2:] in options:
            raise RuntimeError(f"Using reserved arguments {option[2:]}")
    parser = GlueArgumentParser(allow_abbrev=allow_abbrev, add_help=False)
    parser.add_argument("--job-bookmark-option", choices=Job.job_bookmark_options()[1:])
    parser.add_argument("--continuation-option", choices=Job.continuation_options()[1:])
    parser.add_argument("--encryption-type", choices=Job.encryption_type_options()[1:])
    for option in [*Job.job_bookmark_range_options(), *Job.id_params()[1:], "--enable-data-lineage", "--RedshiftTempDir", "--TempDir"]:
        parser.add_argument(option)
    given = {"TempDir", "RedshiftTempDir", *(option[2:] for option in Job.id_params()[1:])}
    for option in dict.fromkeys(options):
        if option not in given:
            parser.add_argument("--" + option, required=True)
    parsed = vars(parser.parse_known_args([str(one) for one in args[1:]])[0])
    temporary = parsed.get("TempDir") or parsed.get("RedshiftTempDir")
    parsed["TempDir"] = parsed["RedshiftTempDir"] = temporary
    _resolve_bookmark(parsed)
    _global_args.update(parsed)
    return parsed


def _resolve_bookmark(parsed):
    """The bookmark option, by its old name, too; a range is for paused bookmarks, and has two ends."""
    old = parsed.pop("continuation_option", None)
    if parsed.get("job_bookmark_option") is None:
        names = Job.job_bookmark_options()
        parsed["job_bookmark_option"] = names[Job.continuation_options().index(old)] if old else names[3]
    absent = [option for option in Job.job_bookmark_range_options() if parsed.get(option[2:].replace("-", "_")) is None]
    if parsed["job_bookmark_option"] == "job-bookmark-pause":
        if len(absent) == 1:
            raise RuntimeError(f"Missing option or value for {absent[0]}")
    elif not absent:
        raise RuntimeError("Invalid option(s) " + " ".join(Job.job_bookmark_range_options()))


def callsite():
    """Where the caller was called, as text."""
    return "".join(traceback.format_list(traceback.extract_stack()[:-2]))
