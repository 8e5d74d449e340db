//! Pages that are kept without their compression.

use super::*;
use crate::scan::PageCache;
use arrow::array::{ListArray, StringArray};
use arrow::datatypes::Int32Type;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};

const ROWS: i64 = 40_000;

/// 40,000 rows in four row groups of small pages: `id` (growing), `kind` (few texts, NULL in each seventh row), `words` (long ones, all different),
/// `list` (of numbers, some empty, some NULL), `half` (a double).
fn written(properties: WriterPropertiesBuilder) -> Vec<u8> {
    let rows = 0..ROWS;
    let kind: StringArray = rows.clone().map(|n| (n % 7 != 0).then(|| ["a", "b", "c", "d", "e"][n as usize % 5])).collect();
    let words: StringArray =
        rows.clone().map(|n| Some(format!("{} and what else there is to say of {n}", n * 7919 % 40_009))).collect();
    let list = rows.clone().map(|n| (n % 11 != 0).then(|| (0..n as i32 % 4).map(Some).collect::<Vec<_>>()));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", longs(&rows.clone().collect::<Vec<_>>()), true),
        ("kind", Arc::new(kind), true),
        ("words", Arc::new(words), true),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(list)), true),
        ("half", doubles(&rows.map(|n| n as f64 / 2.0).collect::<Vec<_>>()), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = properties
        .set_max_row_group_row_count(Some(10_000))
        .set_data_page_row_count_limit(1000)
        .set_write_batch_size(500)
        .set_dictionary_page_size_limit(32 << 10);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

async fn lake_of(bytes: Vec<u8>, page_cache_bytes: u64) -> Lake {
    let lake = Lake::with(EngineConfig { memory_bytes: 64 << 20, threads: 2, page_cache_bytes, ..EngineConfig::default() });
    let file = lake.put("t/part.parquet", bytes).await;
    let names = [("id", "bigint"), ("kind", "string"), ("words", "string"), ("list", "array<int>"), ("half", "double")];
    lake.add(parquet_table("t", &names, &[]), vec![(vec![], vec![file])]);
    lake
}

const QUERIES: [&str; 7] = [
    "SELECT count(*), sum(id), count(kind), max(words), sum(cardinality(list)), sum(half) FROM t",
    "SELECT id, kind, words, list, half FROM t WHERE id BETWEEN 12345 AND 12349 ORDER BY id",
    "SELECT id, words FROM t WHERE id IN (1, 9999, 10000, 39999) ORDER BY id",
    "SELECT kind, count(*), sum(half) FROM t GROUP BY kind ORDER BY kind",
    "SELECT count(*) FROM t WHERE words LIKE '%of 777%' AND kind = 'b'",
    "SELECT sum(x) FROM t CROSS JOIN UNNEST(list) AS u (x) WHERE half > 19990",
    "SELECT max(id) FROM t WHERE kind IS NULL AND id < 5000",
];

/// The answers, and the bytes that were scanned for each.
async fn answers(lake: &Lake) -> Vec<(String, u64)> {
    let mut answers = Vec::new();
    for sql in QUERIES {
        let stream = lake.engine.query(lake.request(sql)).await.unwrap();
        let statistics = Arc::clone(stream.statistics());
        let read = stream.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        answers.push((rows(&read).join("; "), statistics.scanned_bytes()));
    }
    answers
}

fn cache(lake: &Lake) -> Arc<PageCache> {
    lake.engine.page_cache().expect("there is one")
}

/// Asks until so many chunks are unpacked, which happens beside the statements.
async fn until_kept(lake: &Lake, chunks: usize, sql: &str) {
    for _ in 0..1000 {
        if cache(lake).chunks() >= chunks {
            return;
        }
        lake.run(sql).await.unwrap();
    }
    panic!("{:?} never has {chunks} chunks", cache(lake));
}

const WHOLE_CHUNKS: &str = "SELECT sum(id), count(words), sum(half) FROM t";

#[tokio::test(flavor = "multi_thread")]
async fn unpacked_pages_give_the_same_rows_and_count_the_same_bytes() {
    let codecs = [
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::BROTLI(BrotliLevel::default()),
    ];
    let mut forms = Vec::new();
    for codec in codecs {
        let v1 = WriterProperties::builder().set_compression(codec);
        forms.push((format!("{codec} v1"), v1.clone()));
        forms.push((format!("{codec} v2"), v1.clone().set_writer_version(WriterVersion::PARQUET_2_0)));
        forms.push((format!("{codec} without dictionaries"), v1.clone().set_dictionary_enabled(false)));
        let blind = v1.set_offset_index_disabled(true).set_statistics_enabled(EnabledStatistics::Chunk);
        forms.push((format!("{codec} without page index"), blind));
    }
    let mut expected = None;
    for (form, properties) in forms {
        let lake = lake_of(written(properties), 64 << 20).await;
        // The footer is read once.
        answers(&lake).await;
        let first = answers(&lake).await;
        let texts: Vec<String> = first.iter().map(|(text, _)| text.clone()).collect();
        assert_eq!(*expected.get_or_insert_with(|| texts.clone()), texts, "{form}");
        // Three chunks of each of four row groups.
        until_kept(&lake, 12, WHOLE_CHUNKS).await;
        assert_eq!(answers(&lake).await, first, "{form}");
        assert_eq!(answers(&lake).await, first, "{form}");
    }
    assert!(expected.unwrap()[1].starts_with("12345|a|"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unpacked_pages_are_not_read_from_the_file_again() {
    let lake = lake_of(written(WriterProperties::builder().set_compression(Compression::SNAPPY)), 64 << 20).await;
    let sql = "SELECT count(words), sum(half) FROM t";
    let first = lake.text(sql).await;
    until_kept(&lake, 12, WHOLE_CHUNKS).await;
    lake.store.delete(&Path::from("t/part.parquet")).await.unwrap();
    assert_eq!(lake.text(sql).await, first);
    assert!(lake.text("SELECT max(list) FROM t").await.contains("s3://lake/t/part.parquet"), "what is not kept is missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_would_fill_the_cache_are_not_kept() {
    // Those of `id` and `half` have 80 KB, those of `words` half a megabyte.
    let lake = lake_of(written(WriterProperties::builder().set_compression(Compression::SNAPPY)), 2 << 20).await;
    answers(&lake).await;
    let first = answers(&lake).await;
    until_kept(&lake, 8, WHOLE_CHUNKS).await;
    for _ in 0..8 {
        assert_eq!(answers(&lake).await, first);
    }
    assert_eq!(cache(&lake).chunks(), 8, "{:?}", cache(&lake));
    let none = lake_of(written(WriterProperties::builder().set_compression(Compression::SNAPPY)), 0).await;
    answers(&none).await;
    assert_eq!(answers(&none).await, first);
    assert!(none.engine.page_cache().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_pages_are_named_every_time() {
    let mut bytes = written(WriterProperties::builder().set_compression(Compression::SNAPPY));
    let footer = bytes.len() - 8 - u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap()) as usize;
    let middle = footer / 2;
    bytes[middle..middle + 2000].fill(0xff);
    let lake = lake_of(bytes, 64 << 20).await;
    for _ in 0..6 {
        let said = lake.text("SELECT count(*), max(words), max(half), max(id), count(kind) FROM t").await;
        assert!(said.starts_with("HIVE_BAD_DATA") && said.contains("s3://lake/t/part.parquet"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_read_in_pieces_once_each_by_a_cache_that_is_too_small() {
    let page_cache_bytes = 8 << 20;
    let lake = Lake::with(EngineConfig { memory_bytes: 64 << 20, threads: 2, page_cache_bytes, ..EngineConfig::default() });
    // Hardly to be compressed, so that the file is long enough to be divided.
    let ids: Vec<i64> = (0..1_500_000i64).collect();
    let noise: Vec<i64> = ids.iter().map(|n| n.wrapping_mul(-7_046_029_254_386_353_131).rotate_left(29)).collect();
    let columns = [("noise", longs(&noise)), ("id", longs(&ids))];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_max_row_group_row_count(Some(50_000));
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.set_dictionary_enabled(false).build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(bytes.len() > 16 << 20, "{}", bytes.len());
    let file = lake.put("t/part.parquet", bytes).await;
    lake.add(parquet_table("t", &[("noise", "bigint"), ("id", "bigint")], &[]), vec![(vec![], vec![file])]);
    let expected = format!("1500000|{}|{}", ids.iter().sum::<i64>(), noise.iter().fold(0, |all, n| all ^ n));
    for _ in 0..6 {
        lake.check("SELECT count(*), sum(id), bitwise_xor_agg(noise) FROM t", &expected).await;
        lake.check("SELECT count(*), min(noise) FROM t WHERE id = 777777", &format!("1|{}", noise[777_777])).await;
    }
    until_kept(&lake, 8, "SELECT sum(id) FROM t").await;
    lake.check("SELECT count(*), sum(id), bitwise_xor_agg(noise) FROM t", &expected).await;
    assert!(cache(&lake).bytes() <= page_cache_bytes, "{:?}", cache(&lake));
}
