"""What bad input gets: it is taken as a sensible user would want, or gets an error or quarantine row that says where and why. The other files
are not held up, and counts add up: rows in = rows out + rows quarantined."""

import bz2
import gzip
import json

import pytest
import zstandard

from lakes import count, settle, wait_count

FLOW = '[[flow]]\nname = "in"\nfrom = "s3://raw/in/"\nto = "processed.in_data"\nsource_file = true\n'
GOOD = "id,name,price\n1,anna,1.5\n2,ben,2.5\n"


@pytest.fixture
def flow(new_lake):
    return new_lake(FLOW)


def quarantine(lake):
    """source_file, line, column, reason, value, raw of each quarantined row."""
    if not count(lake, "processed.in_data_quarantine"):
        return []
    columns = '"source_file", "line", "column", "reason", "value", "raw"'
    return lake.sql(f"select {columns} from processed.in_data_quarantine order by 1, 2")


def put_with_good(lake, key, body):
    """A good file first, then the bad one, then another good one that must not be held up. Answers when all work is done."""
    lake.put("raw", "in/good1.csv", GOOD)
    wait_count(lake, "processed.in_data", 2)
    lake.put("raw", key, body)
    lake.put("raw", "in/good2.csv", "id,name,price\n3,carl,3.5\n")
    settle(lake)
    found = lake.sql("select count(*) from processed.in_data where source_file in ('s3://raw/in/good1.csv', 's3://raw/in/good2.csv')")
    assert found == [["3"]], "the good files were held up"


def rows_of(lake, key):
    return lake.sql(f"select id, name, price from processed.in_data where source_file = 's3://raw/{key}' order by 1")


def test_an_empty_file_adds_nothing(flow):
    put_with_good(flow, "in/empty.csv", "")
    assert rows_of(flow, "in/empty.csv") == [] and quarantine(flow) == []


def test_a_header_alone_adds_nothing(flow):
    put_with_good(flow, "in/header.csv", "id,name,price\n")
    assert rows_of(flow, "in/header.csv") == [] and quarantine(flow) == []


def test_ragged_rows_are_quarantined_with_their_lines(flow):
    put_with_good(flow, "in/ragged.csv", "id,name,price\n7,x,1.5\n8,y\n9,z,2.5,surplus,more\n10,ok,3.5\n")
    taken = rows_of(flow, "in/ragged.csv")
    bad = [row for row in quarantine(flow) if row[0] == "s3://raw/in/ragged.csv"]
    assert len(taken) + len(bad) == 4, (taken, bad)
    assert ["7", "x", "1.5"] in taken and ["10", "ok", "3.5"] in taken
    assert all(row[1] in ("3", "4") and row[3] for row in bad), bad


def test_a_value_that_does_not_fit_is_quarantined_with_line_column_and_reason(flow):
    put_with_good(flow, "in/bad.csv", "id,name,price\n4,dora,4.5\nfive,emil,5.5\n6,fritz,cheap\n")
    assert rows_of(flow, "in/bad.csv") == [["4", "dora", "4.5"]]
    bad = quarantine(flow)
    assert [(row[0], row[1], row[2], row[4]) for row in bad] == [
        ("s3://raw/in/bad.csv", "3", "id", "five"),
        ("s3://raw/in/bad.csv", "4", "price", "cheap"),
    ]
    assert all(row[3] and row[5] for row in bad)


def test_a_broken_gzip_is_reported_and_keeps_what_could_be_read_out_of_the_table(flow):
    whole = gzip.compress(("id,name,price\n" + "".join(f"{n},row{n},1.5\n" for n in range(20000))).encode())
    put_with_good(flow, "in/broken.csv.gz", whole[: len(whole) // 2])
    bad = [row for row in quarantine(flow) if row[0] == "s3://raw/in/broken.csv.gz"]
    taken = len(rows_of(flow, "in/broken.csv.gz"))
    assert bad, "nothing says that the file is broken"
    assert any("gzip" in row[3].lower() or "deflate" in row[3].lower() or "truncated" in row[3].lower() for row in bad), bad
    assert taken in (0,) or taken + len(bad) >= taken


def test_binary_named_csv_is_reported(flow):
    put_with_good(flow, "in/picture.csv", bytes(range(256)) * 200)
    bad = [row for row in quarantine(flow) if row[0] == "s3://raw/in/picture.csv"]
    crawls = flow.client("glue").list_crawls(CrawlerName="millpond-flow-in")["Crawls"]
    told = json.dumps(crawls, default=str)
    assert bad or "picture.csv" in told, "nothing says what became of it"


def test_latin_1_bytes_are_taken_or_told(flow):
    put_with_good(flow, "in/latin.csv", "id,name,price\n7,Zoë Grün,1.5\n".encode("latin-1"))
    taken = rows_of(flow, "in/latin.csv")
    bad = [row for row in quarantine(flow) if row[0] == "s3://raw/in/latin.csv"]
    assert len(taken) + len(bad) == 1
    assert taken == [["7", "Zoë Grün", "1.5"]] or "UTF-8" in bad[0][3]


def test_a_byte_order_mark_and_windows_line_ends_are_no_data(flow):
    put_with_good(flow, "in/windows.csv", b"\xef\xbb\xbfid,name,price\r\n7,x,1.5\r\n8,y,2.5\r\n")
    assert rows_of(flow, "in/windows.csv") == [["7", "x", "1.5"], ["8", "y", "2.5"]]


@pytest.mark.parametrize("suffix, pack", [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", lambda raw: zstandard.compress(raw))])
def test_compressed_files_are_read(flow, suffix, pack):
    put_with_good(flow, f"in/packed.csv.{suffix}", pack(b"id,name,price\n7,x,1.5\n8,y,2.5\n"))
    assert rows_of(flow, f"in/packed.csv.{suffix}") == [["7", "x", "1.5"], ["8", "y", "2.5"]]


def test_quoted_fields_hold_delimiters_quotes_and_line_breaks(flow):
    put_with_good(flow, "in/quoted.csv", 'id,name,price\n7,"a, ""b""\nc",1.5\n8,plain,2.5\n')
    assert rows_of(flow, "in/quoted.csv") == [["7", 'a, "b"\nc', "1.5"], ["8", "plain", "2.5"]]


def alone(new_lake, files):
    """Files of which none is like another, as the only ones of their flow."""
    lake = new_lake(FLOW)
    for key, body in files.items():
        lake.put("raw", f"in/{key}", body)
    settle(lake)
    return lake


def test_a_file_without_a_header_gets_names(new_lake):
    lake = alone(new_lake, {"a.csv": "1,2.5,3\n4,5.5,6\n7,8.5,9\n"})
    columns = lake.client("glue").get_table(DatabaseName="raw", Name="in")["Table"]["StorageDescriptor"]["Columns"]
    assert [column["Name"] for column in columns] == ["col0", "col1", "col2"]
    assert lake.sql("select col0, col1, col2 from processed.in_data order by 1") == [["1", "2.5", "3"], ["4", "5.5", "6"], ["7", "8.5", "9"]]


def test_duplicate_and_empty_header_names_become_different_columns(new_lake):
    lake = alone(new_lake, {"a.csv": "id,name,name,,Total Price\n1,a,b,c,2.5\n2,d,e,f,3.5\n"})
    columns = lake.client("glue").get_table(DatabaseName="raw", Name="in")["Table"]["StorageDescriptor"]["Columns"]
    names = [column["Name"] for column in columns]
    assert len(names) == 5 and len(set(names)) == 5 and all(names), names
    assert count(lake, "processed.in_data") == 2 and quarantine(lake) == []


def test_two_thousand_columns_are_taken(new_lake):
    header = ",".join(f"c{n}" for n in range(2000))
    row = ",".join(str(n) for n in range(2000))
    lake = alone(new_lake, {"wide.csv": f"{header}\n{row}\n{row}\n"})
    assert lake.sql("select c0, c999, c1999 from processed.in_data") == [["0", "999", "1999"]] * 2


def test_malformed_json_in_line_70001_costs_that_line_alone(new_lake):
    lines = [json.dumps({"id": n, "name": f"n{n}"}) for n in range(1, 70_101)]
    lines[70_000] = '{"id": 70001, "name": "broken'
    lake = alone(new_lake, {"big.json": "\n".join(lines) + "\n"})
    assert count(lake, "processed.in_data") == 70_099
    ((file, line, _, reason, _, raw),) = quarantine(lake)
    assert (file, line) == ("s3://raw/in/big.json", "70001") and reason and "broken" in raw


def test_tab_separated_files_named_csv_with_spaces_in_the_header_are_read(new_lake):
    lake = alone(new_lake, {"tabs.csv": "Order Id\tUnit Price\n1\t2.5\n2\t3.5\n"})
    names = [c["Name"] for c in lake.client("glue").get_table(DatabaseName="raw", Name="in")["Table"]["StorageDescriptor"]["Columns"]]
    assert len(names) == 2, names
    assert count(lake, "processed.in_data") == 2


def test_leading_zeros_stay_text_and_dates_become_dates(new_lake):
    lake = alone(new_lake, {"a.csv": "zip,day,big\n01234,2024-05-01,12345678901234567890\n98765,2024-05-02,2\n"})
    types = {c["Name"]: c["Type"] for c in lake.client("glue").get_table(DatabaseName="raw", Name="in")["Table"]["StorageDescriptor"]["Columns"]}
    assert types["zip"] == "string" and types["day"] == "date" and types["big"].startswith("decimal"), types
    assert lake.sql("select zip, day from processed.in_data order by zip") == [["01234", "2024-05-01"], ["98765", "2024-05-02"]]
