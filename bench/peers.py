"""One conversion of lineitem.csv to zstd Parquet by one peer, in a process of its own: `peers.py duckdb|polars|chdb IN OUT`.

All get the same types (TPC-H's), use all cores, and write one file with their own defaults for row groups. Prints the seconds that the
conversion took, without the start of Python and the import of the library.
"""

import sys
import time

TYPES = [
    ("l_orderkey", "bigint"),
    ("l_partkey", "bigint"),
    ("l_suppkey", "bigint"),
    ("l_linenumber", "bigint"),
    ("l_quantity", "decimal(15,2)"),
    ("l_extendedprice", "decimal(15,2)"),
    ("l_discount", "decimal(15,2)"),
    ("l_tax", "decimal(15,2)"),
    ("l_returnflag", "string"),
    ("l_linestatus", "string"),
    ("l_shipdate", "date"),
    ("l_commitdate", "date"),
    ("l_receiptdate", "date"),
    ("l_shipinstruct", "string"),
    ("l_shipmode", "string"),
    ("l_comment", "string"),
]


def duckdb(source, target):
    import duckdb

    names = {"bigint": "BIGINT", "decimal(15,2)": "DECIMAL(15,2)", "string": "VARCHAR", "date": "DATE"}
    columns = "{" + ", ".join(f"'{name}': '{names[kind]}'" for name, kind in TYPES) + "}"
    began = time.perf_counter()
    read = f"read_csv('{source}', header = true, columns = {columns})"
    duckdb.sql(f"COPY (SELECT * FROM {read}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    return time.perf_counter() - began


def polars(source, target):
    import polars

    names = {"bigint": polars.Int64, "decimal(15,2)": polars.Decimal(15, 2), "string": polars.String, "date": polars.Date}
    schema = {name: names[kind] for name, kind in TYPES}
    began = time.perf_counter()
    polars.scan_csv(source, schema=schema).sink_parquet(target, compression="zstd")
    return time.perf_counter() - began


def chdb(source, target):
    import chdb

    names = {"bigint": "Int64", "decimal(15,2)": "Decimal(15,2)", "string": "String", "date": "Date32"}
    structure = ", ".join(f"{name} {names[kind]}" for name, kind in TYPES)
    began = time.perf_counter()
    chdb.query(
        f"SELECT * FROM file('{source}', CSVWithNames, '{structure}') INTO OUTFILE '{target}' TRUNCATE FORMAT Parquet "
        "SETTINGS output_format_parquet_compression_method = 'zstd'"
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    peer, source, target = sys.argv[1:]
    print({"duckdb": duckdb, "polars": polars, "chdb": chdb}[peer](source, target))
