//! Measures the store of items on this machine: `cargo run --release -p millpond-tables --example store_rates -- FOLDER [ITEMS]`.
//!
//! A load of items with random keys, the same load again over what is there, durable single puts of 1, 64 and 512 callers (with and without reads beside them), single gets,
//! a scan, an index that is added, many tables, and a restart.
#![allow(clippy::print_stdout, missing_docs)]

use millpond_core::env::SystemEnv;
use millpond_tables::store::{
    IndexSpec, IndexState, Items, Limits, LoadOptions, Loader, Op, Options, Projection, Scan, TableId, TableSpec,
};
use millpond_tables::value::binary::Writer;
use millpond_tables::value::key::{KeyAttribute, KeySchema, KeyType};
use millpond_tables::{Item, Value};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const TABLE: TableId = TableId(1);
const THREADS: u64 = 2;
const FOR: Duration = Duration::from_secs(5);

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("say a folder that is not there yet")?;
    let count: u64 = arguments.next().map_or(Ok(6_000_000), |count| count.parse())?;
    let folder = Path::new(&folder);
    if folder.exists() {
        return Err(format!("{} is there already", folder.display()).into());
    }
    let key = KeySchema { hash: KeyAttribute { name: "id".into(), key_type: KeyType::String }, range: None };
    let tables = [TableSpec { id: TABLE, key, indexes: Vec::new(), expiry: None }];
    let open = || Items::open(folder, Options::default(), Arc::new(SystemEnv), &tables);

    let items = open()?;
    println!("empty store: {}", process());
    load(&items, "load into an empty table", 0, count)?;
    load(&items, "load of the same keys again", 0, count)?;
    load(&items, "load of 1 % beside what is there", count, count / 100)?;
    gets(&items, count)?;
    scan(&items)?;
    for callers in [1, 64, 512] {
        puts(&items, callers, count)?;
    }
    add_index(&items)?;
    println!("counts: {:?}; {}", items.counts(TABLE)?, process());
    tables_come_and_go(&items, &tables[0])?;
    drop(items);
    let start = Instant::now();
    let items = open()?;
    println!("opened again in {:?}; {}", start.elapsed(), process());
    drop(items);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// Threads and memory of this process, as Linux tells them.
fn process() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().replace('\t', " ");
    [line("Threads:"), line("VmRSS:"), line("VmHWM:")].join(", ")
}

fn id(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// About 400 bytes in 16 attributes, as lines of orders have them.
fn encode(number: u64, out: &mut Vec<u8>) {
    out.clear();
    let mut writer = Writer::begin(out, 16);
    let text = format!("{number:020}");
    for name in ["attribute_01", "attribute_02", "attribute_03", "attribute_04", "attribute_05", "attribute_06", "attribute_07"] {
        writer.string(name, &text[4..]);
    }
    for name in ["b1", "b2", "b3", "b4", "b5", "b6", "comment"] {
        writer.string(name, &text);
    }
    writer.string("id", &id(number));
    writer.string("note", "carefully");
    let _ = writer.finish();
}

/// Seconds of processor time that this process has used, in user and system mode.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split(' ');
    // Ticks of 10 ms.
    fields.skip(12).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn rate(what: &str, count: u64, time: Duration) {
    println!(
        "{what}: {count} in {time:.2?}, {:.0}/s; processor so far {:.1} s; {}",
        count as f64 / time.as_secs_f64(),
        processor(),
        process()
    );
}

fn fill(loader: &Loader, first: u64, count: u64) -> Outcome {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let mut writer = loader.writer();
                scope.spawn(move || -> Outcome {
                    let mut bytes = Vec::new();
                    for number in (first + thread..first + count).step_by(THREADS as usize) {
                        encode(number, &mut bytes);
                        writer.put_encoded(number, &bytes)?;
                    }
                    Ok(writer.finish()?)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })
}

fn load(items: &Items, what: &str, first: u64, count: u64) -> Outcome {
    let start = Instant::now();
    let loader = items.loader(TABLE, LoadOptions { writers: THREADS as usize, ..LoadOptions::default() })?;
    fill(&loader, first, count)?;
    let sorted = start.elapsed();
    let sorted_processor = processor();
    let counts = loader.finish(|_, _| true)?;
    rate(what, count, start.elapsed());
    println!("  of which until sorted {sorted:.2?}, processor {sorted_processor:.1} s; {counts:?}");
    Ok(())
}

fn gets(items: &Items, count: u64) -> Outcome {
    let found = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let found = &found;
            scope.spawn(move || -> Outcome {
                let mut random = StdRng::seed_from_u64(thread);
                while start.elapsed() < FOR {
                    let key: Item = [("id".to_owned(), Value::from(id(random.random_range(0..count)).as_str()))].into();
                    if items.get(TABLE, &key)?.is_some() {
                        found.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(())
            });
        }
    });
    rate("gets by 2 threads", found.into_inner(), start.elapsed());
    Ok(())
}

fn scan(items: &Items) -> Outcome {
    let start = Instant::now();
    let (mut count, mut after) = (0, None::<Item>);
    loop {
        let scan = Scan { table: TABLE, index: None, segment: (0, 1), after: after.as_ref(), limits: Limits::PAGE };
        let page = items.scan(&scan, |record| {
            std::hint::black_box(record.bytes());
            Ok(ControlFlow::Continue(()))
        })?;
        count += page.items as u64;
        after = page.last_key;
        if after.is_none() {
            break;
        }
    }
    rate("scan by pages of 1 MB", count, start.elapsed());
    Ok(())
}

/// An index of all items, while nothing else happens.
fn add_index(items: &Items) -> Outcome {
    let start = Instant::now();
    let hash = KeyAttribute { name: "attribute_01".into(), key_type: KeyType::String };
    let key = KeySchema { hash, range: None };
    items.add_index(TABLE, IndexSpec { name: "index".into(), key, projection: Projection::KeysOnly })?;
    while items.index_state(TABLE, "index")? != IndexState::Active {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    rate("an index built, keys only", items.index_counts(TABLE, "index")?.items, start.elapsed());
    Ok(())
}

fn tables_come_and_go(items: &Items, like: &TableSpec) -> Outcome {
    const TABLES: u64 = 300;
    let start = Instant::now();
    for number in 0..TABLES {
        let id = TableId(1000 + number);
        items.create_table(&TableSpec { id, ..like.clone() })?;
        let item: Item = [("id".to_owned(), Value::from("one"))].into();
        items.change::<()>(vec![Op::put(id, item)]).map_err(|error| format!("{error:?}"))?;
    }
    rate("tables made, an item put in each", TABLES, start.elapsed());
    let (start, before) = (Instant::now(), processor());
    while start.elapsed() < FOR {
        std::thread::park_timeout(FOR);
    }
    println!("idle for {FOR:?}: {:.2} s of processor time", processor() - before);
    let start = Instant::now();
    for number in 0..TABLES {
        items.drop_table(TableId(1000 + number))?;
    }
    rate("tables dropped", TABLES, start.elapsed());
    Ok(())
}

/// Single durable puts, half of them of keys that are there.
fn puts(items: &Items, callers: u64, count: u64) -> Outcome {
    for readers in [0, 1] {
        let (done, read, slowest_us) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for reader in 0..readers {
                let (stop, read, slowest_us) = (&stop, &read, &slowest_us);
                scope.spawn(move || -> Outcome {
                    let mut random = StdRng::seed_from_u64(reader);
                    while !stop.load(Ordering::Relaxed) {
                        let key: Item = [("id".to_owned(), Value::from(id(random.random_range(0..count)).as_str()))].into();
                        let begin = Instant::now();
                        items.get(TABLE, &key)?;
                        slowest_us.fetch_max(begin.elapsed().as_micros() as u64, Ordering::Relaxed);
                        read.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                });
            }
            let threads: Vec<_> = (0..callers)
                .map(|caller| {
                    let done = &done;
                    scope.spawn(move || -> Outcome {
                        let mut random = StdRng::seed_from_u64(caller + 100);
                        let text = "x".repeat(350);
                        while start.elapsed() < FOR {
                            let number = random.random_range(0..count * 2);
                            let item: Item = [
                                ("id".to_owned(), Value::from(id(number).as_str())),
                                ("text".to_owned(), Value::from(text.as_str())),
                            ]
                            .into();
                            items.change::<()>(vec![Op::put(TABLE, item)]).map_err(|error| format!("{error:?}"))?;
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            for thread in threads {
                if !matches!(thread.join(), Ok(Ok(()))) {
                    println!("a caller failed");
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        rate(&format!("durable single puts of {callers} callers, {readers} readers"), done.into_inner(), start.elapsed());
        if readers > 0 {
            println!("  {} gets meanwhile, the slowest {} µs", read.into_inner(), slowest_us.into_inner());
        }
    }
    Ok(())
}
