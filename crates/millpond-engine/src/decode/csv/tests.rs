use crate::decode::Mode;
use crate::table::{CsvOptions, Format};
use crate::testing::{Lake, gzip};
use millpond_core::catalog::Column;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn columns(text: &str) -> Vec<Column> {
    text.split_whitespace().map(|c| c.split_once(':').unwrap()).map(|(n, t)| Column::new(n, t)).collect()
}

fn options(header_lines: usize) -> CsvOptions {
    CsvOptions { header_lines, ..CsvOptions::default() }
}

fn read(text: &str, types: &str, options: CsvOptions, mode: Mode) -> (Vec<String>, Vec<String>) {
    let lake = Lake::new();
    let file = lake.put("t.csv", text);
    lake.decode(vec![file], Format::Csv(options), &columns(types), mode)
}

#[test]
fn quotes_line_ends_and_blank_lines_are_read_as_people_write_them() {
    let text = "a,b\r\n\r\n\"x, \"\"y\"\"\",1\n\"two\nlines\",2\nit's 5\" wide,3\n\"tail\"x,4\nlast,5";
    let (rows, rejects) = read(text, "a:string b:int", options(1), Mode::Strict);
    assert_eq!(rows, ["x, \"y\"|1", "two\nlines|2", "it's 5\" wide|3", "tailx|4", "last|5"]);
    assert!(rejects.is_empty(), "{rejects:?}");
}

#[test]
fn rejects_name_the_physical_line_the_column_and_the_reason() {
    let text = "id,day,amount\n1,2024-01-01,1.50\n\"2\n\",2024-01-02,1\nx,2024-01-03,2\n4,2024-02-30,3\n5,2024-01-05,1.234\n6,2024-01-06\n7,2024-01-07,7,8\n8,2024-01-08,9";
    let (rows, rejects) = read(text, "id:int day:date amount:decimal(10,2)", options(1), Mode::Strict);
    assert_eq!(rows, ["1|2024-01-01|1.50", "2|2024-01-02|1.00", "8|2024-01-08|9.00"]);
    assert_eq!(
        rejects,
        [
            "5 id=x: is not an int",
            "6 day=2024-02-30: is not a date: YYYY-MM-DD is expected",
            "7 amount=1.234: has more than 2 digits after the point, too many for decimal(10,2)",
            "8 =: the row has 2 fields where 3 are expected",
            "9 =: the row has 4 fields where 3 are expected",
        ]
    );
}

#[test]
fn lenient_reading_gives_null_pads_short_rows_and_cuts_long_ones() {
    let (rows, rejects) = read("1,a,2.5\nx,b\n3,c,4.5,more\n", "n:bigint s:string d:double", options(0), Mode::Lenient);
    assert_eq!(rows, ["1|a|2.5", "∅|b|∅", "3|c|4.5"]);
    assert!(rejects.is_empty());
}

#[test]
fn nulls_are_empty_fields_and_words_for_nothing_but_not_in_text() {
    let text = "1,x\n,\nNA,NA\n\\N,\\N\n\"\",\"\"\n";
    let lazy = CsvOptions { null_text: Some("\\N".into()), ..options(0) };
    let (rows, rejects) = read(text, "n:bigint s:string", lazy, Mode::Strict);
    assert_eq!(rows, ["1|x", "∅|", "∅|NA", "∅|∅", "∅|"]);
    assert!(rejects.is_empty(), "{rejects:?}");
}

#[test]
fn every_type_is_read_at_its_edges() {
    let text = "127,32767,2147483647,9223372036854775807,1.5,-2.25,true,2024-01-02 03:04:05.5,12.0\n-129,0,0,0,0,0,f,2024-01-02T00:00:00Z,1e2\n1,1,1,1,NaN,inf,no,2024-01-02,x\n";
    let types = "a:tinyint b:smallint c:int d:bigint e:float f:double g:boolean h:timestamp i:bigint";
    let (rows, rejects) = read(text, types, options(0), Mode::Strict);
    assert_eq!(rows, ["127|32767|2147483647|9223372036854775807|1.5|-2.25|true|2024-01-02T03:04:05.500|12"]);
    assert_eq!(rejects, ["2 a=-129: is out of the range of tinyint", "3 i=x: is not a bigint"]);
}

#[test]
fn columns_are_found_by_name_where_the_header_knows_them() {
    let (rows, _) = read("B, A ,new\n1,x,9\n", "a:string b:int c:date", options(1), Mode::Strict);
    assert_eq!(rows, ["x|1|∅"]);
    let (rows, _) = read("unknown,names\nx,1\n", "a:string b:int", options(1), Mode::Strict);
    assert_eq!(rows, ["x|1"]);
}

#[test]
fn a_file_without_header_that_is_older_than_a_column_has_null_for_it() {
    let (rows, rejects) = read("x,1\ny,2\nz\n", "a:string b:int c:date", options(0), Mode::Strict);
    assert_eq!(rows, ["x|1|∅", "y|2|∅"]);
    assert_eq!(rejects, ["3 =: the row has 1 fields where 2 are expected"]);
}

#[test]
fn a_first_line_that_is_data_is_not_thrown_away_where_a_header_was_promised() {
    let (rows, _) = read("x,1\ny,2\n", "a:string b:int", options(1), Mode::Strict);
    assert_eq!(rows, ["x|1", "y|2"]);
    let (rows, _) = read("x,z\ny,2\n", "a:string b:int", options(1), Mode::Strict);
    assert_eq!(rows, ["y|2"]);
}

#[test]
fn trailing_delimiters_are_no_field() {
    let (rows, rejects) = read("a,b,\n1,2,\n3,4\n", "a:int b:int", options(1), Mode::Strict);
    assert_eq!(rows, ["1|2", "3|4"]);
    assert!(rejects.is_empty(), "{rejects:?}");
}

#[test]
fn a_quote_that_is_never_closed_costs_one_line() {
    let (rows, rejects) = read("1,a\n2,\"b\n3,c\n4,d\n", "n:int s:string", options(0), Mode::Strict);
    assert_eq!(rows, ["1|a", "3|c", "4|d"]);
    assert_eq!(rejects, ["2 =: a quote that this record opens is never closed"]);
}

#[test]
fn latin_1_bytes_marks_and_nuls_are_text() {
    let lake = Lake::new();
    let bytes = [b"\xef\xbb\xbfname,n\n".as_slice(), b"caf\xe9,1\n", "na\u{ef}ve,2\n".as_bytes(), b"a\0b,3\n"].concat();
    let file = lake.put("t.csv", bytes);
    let (rows, rejects) = lake.decode(vec![file], Format::Csv(options(1)), &columns("name:string n:int"), Mode::Strict);
    assert_eq!(rows, ["café|1", "naïve|2", "a\0b|3"]);
    assert!(rejects.is_empty());
}

#[test]
fn escapes_of_unquoted_formats_hide_delimiters_and_line_feeds() {
    let lazy = CsvOptions { quote: None, escape: Some(b'\\'), null_text: Some("\\N".into()), ..options(0) };
    let (rows, _) = read("a\\,b,1\nc\\\nd,2\n\\N,3\n", "s:string n:int", lazy, Mode::Strict);
    assert_eq!(rows, ["a,b|1", "c\nd|2", "∅|3"]);
    let open = CsvOptions { escape: Some(b'\\'), ..options(0) };
    let (rows, _) = read("\"a\\\"b\",1\n\"C:\\dir\",2\n", "s:string n:int", open, Mode::Strict);
    assert_eq!(rows, ["a\"b|1", "C:\\dir|2"]);
}

#[test]
fn an_escaped_null_is_text_and_escaped_delimiters_of_nested_values_are_text() {
    let lazy = CsvOptions {
        quote: None,
        escape: Some(b'\\'),
        null_text: Some("\\N".into()),
        separators: vec![b',', b';', b':'],
        lazy: true,
        ..options(0)
    };
    let text = "\\\\N,\\N,\\N\nx,a\\;b;\\N;\\\\N,k\\:1:v\\,w;l:\\N\n";
    let (rows, rejects) = read(text, "s:string a:array<string> m:map<string,string>", lazy.clone(), Mode::Lenient);
    assert_eq!(rows, ["\\N|∅|∅", "x|[a;b, ∅, \\N]|{k:1: v,w, l: ∅}"]);
    assert!(rejects.is_empty());
    let named = CsvOptions { null_text: Some("nil".into()), ..lazy };
    let (rows, _) = read("nil,nil\nn\\il,7\n", "s:string n:int", named, Mode::Strict);
    assert_eq!(rows, ["∅|∅", "nil|7"]);
}

#[test]
fn records_longer_than_the_limit_are_refused_and_the_rest_is_read() {
    let text = format!("1,a\n2,{}\n3,c\n", "x".repeat(super::super::blocks::RECORD_BYTES_MAX + (6 << 20)));
    let (rows, rejects) = read(&text, "n:int s:string", options(0), Mode::Strict);
    assert_eq!(rows, ["1|a", "3|c"]);
    assert_eq!(rejects, ["2 =: the record is longer than 32 MiB"]);
}

/// A field that is awkward in one of many ways.
fn awkward(random: &mut StdRng) -> String {
    let pieces = ["", "a", "\"", "\"\"", ",", "\n", "\r\n", "é", " ", "longer text in a field", "0123456789", "x\"y", ";"];
    (0..random.random_range(0..6)).map(|_| pieces[random.random_range(0..pieces.len())]).collect()
}

#[test]
fn random_tables_read_back_as_they_were_written_at_any_block_size() {
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let width = random.random_range(1..8);
        let style = if seed % 3 == 0 { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let terminator = if seed % 2 == 0 { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().quote_style(style).terminator(terminator).from_writer(Vec::new());
        for _ in 0..random.random_range(1..400) {
            // A record that is one empty field is a blank line to some and a row to others.
            let row: Vec<String> =
                (0..width).map(|i| if i == 0 { format!("k{}", awkward(&mut random)) } else { awkward(&mut random) }).collect();
            writer.write_record(&row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let mut oracle = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
        let want: Vec<String> = oracle.records().map(|r| r.unwrap().iter().collect::<Vec<_>>().join("|")).collect();
        let types: String = (0..width).map(|i| format!("c{i}:string ")).collect();
        let lake = Lake::new();
        let plain = lake.put("t.csv", bytes.clone());
        let packed = lake.put("t.csv.gz", gzip(&bytes));
        for file in [plain, packed] {
            let (rows, rejects) = lake.decode(vec![file], Format::Csv(options(0)), &columns(&types), Mode::Strict);
            assert_eq!(rows, want, "seed {seed}");
            assert!(rejects.is_empty(), "seed {seed}: {rejects:?}");
        }
        blocks_agree(&bytes, &mut random, seed);
    }
}

/// Blocks of any size hold all records, whole, with the right line numbers.
fn blocks_agree(bytes: &[u8], random: &mut StdRng, seed: u64) {
    use super::super::blocks::{Cut, Cutter};
    use super::index::Syntax;
    let syntax = Syntax { delimiter: b',', quote: Some(b'"'), escape: None };
    let size = random.random_range(1..200);
    let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let mut cutter = Cutter::new(input, "t", Cut::Csv(syntax), Vec::new(), size);
    let mut whole = Vec::new();
    while let Some(block) = cutter.next_block().unwrap() {
        assert_eq!(block.first_line, 1 + whole.iter().filter(|&&c| c == b'\n').count() as u64, "seed {seed}");
        assert!(block.rejects.is_empty());
        whole.extend(block.data);
    }
    assert_eq!(whole, bytes, "seed {seed}, blocks of {size}");
}

#[test]
fn random_bytes_never_panic_and_never_lose_count() {
    let alphabet = b"\"\",,\n\n\r\\ab1\x01\xe9";
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let bytes: Vec<u8> = (0..random.random_range(0..600)).map(|_| alphabet[random.random_range(0..alphabet.len())]).collect();
        let lake = Lake::new();
        // Text must begin like text, or the file is refused as binary.
        let file = lake.put("t.csv", [b"first,row\n".as_slice(), &bytes].concat());
        let options = CsvOptions { escape: (seed % 2 == 0).then_some(b'\\'), ..options(0) };
        let strict = lake.decode(vec![file.clone()], Format::Csv(options.clone()), &columns("a:string b:string"), Mode::Strict);
        let lenient = lake.decode(vec![file], Format::Csv(options), &columns("a:string b:string"), Mode::Lenient);
        assert_eq!(strict.0.len() + strict.1.len(), lenient.0.len() + lenient.1.len(), "seed {seed}");
    }
}
