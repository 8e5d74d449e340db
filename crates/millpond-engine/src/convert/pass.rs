//! One pass over all inputs, on several threads.

use super::assemble::{PartitionValues, assemble};
use super::feed::{Feeder, Unit, Unknown, is_text, layout_of, note, refused, rows_of, small_block_bytes};
use super::plan::{Learned, Plan};
use super::quarantine::Quarantine;
use super::{ConvertError, ConvertOutcome, ConvertSpec, InputCount, Progress, check, check_cancel};
use crate::decode::adapt::Adapter;
use crate::decode::csv::{Batch, CsvParser, Start};
use crate::decode::file::{Stopped, open_text};
use crate::decode::json::JsonParser;
use crate::decode::{DecodeError, Rejected, avro, orc, parquet};
use crate::table::Format;
use crate::types::{HiveType, merge};
use crate::write::{Local, Output, PartitionWriter, WrittenFile};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use millpond_core::catalog::Column;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Rows that are decoded and encoded at a time: their fields' places and values then stay in the processor's caches.
const BATCH_ROWS: usize = 8_192;

/// What a pass did and found out.
#[derive(Debug)]
pub(crate) struct Pass {
    pub files: Vec<WrittenFile>,
    pub quarantine: Vec<WrittenFile>,
    quarantined: u64,
    /// For each input: rows taken, rows refused.
    pub counts: Vec<(u64, u64)>,
    /// Inputs that cannot be taken as a whole.
    pub refused: BTreeMap<usize, String>,
    pub unknown: Unknown,
    /// Columns whose nested types lack fields, and types that have them.
    pub grown: Unknown,
}

struct Shared<'a> {
    spec: &'a ConvertSpec,
    plan: &'a Plan,
    keys: PartitionValues,
    feeder: Mutex<Feeder<'a>>,
    writer: PartitionWriter,
    quarantine: Quarantine,
    counts: Mutex<Vec<(u64, u64)>>,
    refused: Mutex<BTreeMap<usize, String>>,
    unknown: Mutex<Unknown>,
    grown: Mutex<Unknown>,
    /// No more columns may be added.
    full: bool,
    /// This pass will be repeated: look for more to learn, but write nothing.
    dry: AtomicBool,
    failed: AtomicBool,
    rows: AtomicU64,
    bytes: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one pass.
pub(crate) fn run(spec: &ConvertSpec, plan: &Plan, learned: &Learned) -> Result<Pass, ConvertError> {
    let (keys, wrong_groups) = PartitionValues::new(spec, plan)?;
    let output = Output {
        store: Arc::clone(&spec.reader.store),
        handle: spec.reader.handle.clone(),
        schema: Arc::clone(&plan.file_schema),
        options: spec.options.write.clone(),
        new_path: Arc::clone(&spec.new_path),
    };
    let shared = Shared {
        spec,
        plan,
        keys,
        feeder: Mutex::new(Feeder::new(spec, plan, learned)),
        writer: PartitionWriter::new(output, plan.keys.clone()),
        quarantine: Quarantine::new(spec),
        counts: Mutex::new(vec![(0, 0); plan.inputs.len()]),
        refused: Mutex::default(),
        unknown: Mutex::default(),
        grown: Mutex::default(),
        full: learned.full,
        dry: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        rows: AtomicU64::new(0),
        bytes: plan.inputs.iter().map(|i| i.file.size).sum(),
    };
    // Files that can be refused without opening them are, and the pass is begun anew without them: cheap, since nothing was done.
    let mut known: BTreeMap<usize, String> = plan.unreadable.iter().cloned().collect();
    for (i, input) in plan.inputs.iter().enumerate() {
        if let Some((_, reason)) = wrong_groups.iter().find(|(group, _)| *group == input.group) {
            known.insert(i, reason.clone());
        }
    }
    known.retain(|i, _| !learned.refused.contains_key(i));
    if !known.is_empty() {
        let mut counts = vec![(0, 0); plan.inputs.len()];
        known.keys().for_each(|&i| counts[i].1 = 1);
        return Ok(Pass {
            files: vec![],
            quarantine: vec![],
            quarantined: 0,
            counts,
            refused: known,
            unknown: Unknown::new(),
            grown: Unknown::new(),
        });
    }
    match shared.run_threads() {
        Ok(()) => shared.finish(learned),
        Err(error) => {
            super::discard(spec, shared.writer.abort().iter().chain(&shared.quarantine.abort()));
            Err(error)
        }
    }
}

/// Where decoded batches go.
type Forward = Option<mpsc::Sender<RecordBatch>>;

impl Shared<'_> {
    fn run_threads(&self) -> Result<(), ConvertError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.spec.options.threads == 0 { processors } else { self.spec.options.threads };
        let (sender, receiver) = match self.spec.transform {
            None => (None, None),
            Some(_) => {
                let (sender, receiver) = mpsc::channel(threads * 2);
                (Some(sender), Some(receiver))
            }
        };
        let results: Vec<Result<(), ConvertError>> = std::thread::scope(|scope| {
            let transform = receiver.map(|receiver| scope.spawn(move || self.transform(receiver)));
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let done = Worker::new(self, sender).run();
                        if done.is_err() {
                            self.failed.store(true, Ordering::Relaxed);
                        }
                        done
                    })
                })
                .collect();
            drop(sender);
            // The transformation's own error explains why the workers could not go on: it comes first.
            let workers: Vec<_> = workers.into_iter().map(join).collect();
            transform.into_iter().map(join).chain(workers).collect()
        });
        results.into_iter().collect::<Result<(), _>>()?;
        if !self.dry.load(Ordering::Relaxed) {
            std::thread::scope(|scope| {
                let drains: Vec<_> = (0..threads)
                    .map(|_| {
                        scope.spawn(|| {
                            while self.writer.drain_one()? {}
                            Ok::<(), ConvertError>(())
                        })
                    })
                    .collect();
                drains.into_iter().try_for_each(join)
            })?;
        }
        Ok(())
    }

    /// Runs the transformation over what the workers send.
    fn transform(&self, receiver: mpsc::Receiver<RecordBatch>) -> Result<(), ConvertError> {
        let transform = self.spec.transform.as_ref().expect("there is a transformation");
        let input = futures::stream::unfold(receiver, |mut r| async move { r.recv().await.map(|batch| (batch, r)) });
        let handle = &self.spec.reader.handle;
        // Entered, not blocked on: planning SQL blocks on the same runtime itself.
        let entered = handle.enter();
        let run = transform.run(Arc::clone(&self.plan.input_schema), Box::pin(input));
        drop(entered);
        let mut output = run.map_err(ConvertError::Input)?;
        let mut adapter = Adapter::new(&self.plan.output, true);
        let encoders = if self.plan.keys.is_empty() { 2 } else { 1 };
        let (sender, receiver) = std::sync::mpsc::sync_channel::<RecordBatch>(encoders * 2);
        let receiver = Mutex::new(receiver);
        std::thread::scope(|scope| {
            let encoding: Vec<_> = (0..encoders).map(|_| scope.spawn(|| self.encode(&receiver))).collect();
            let mut read = || -> Result<(), ConvertError> {
                while let Some(batch) = handle.block_on(output.next()) {
                    check_cancel(&self.spec.cancel)?;
                    let adapted = adapter.adapt(&batch.map_err(ConvertError::Input)?, 0)?;
                    let (kept, refused) = self.checked(adapted.batch, &[])?;
                    // After the SQL it is not known any more from which file a row came.
                    let refused = adapted.rejects.into_iter().map(|(_, r)| r).chain(refused.into_iter().map(|(_, r)| r));
                    self.quarantine.add(refused.map(|r| (String::new(), Rejected { line: 0, ..r })))?;
                    if sender.send(kept).is_err() {
                        break;
                    }
                }
                Ok(())
            };
            let done = read();
            drop(sender);
            let encoded: Result<(), ConvertError> = encoding.into_iter().try_for_each(join);
            done.and(encoded)
        })
    }

    /// Encodes what comes out of the transformation, beside it. Goes on receiving after an error, so that nobody waits for room.
    fn encode(&self, receiver: &Mutex<std::sync::mpsc::Receiver<RecordBatch>>) -> Result<(), ConvertError> {
        let mut local = Local::default();
        let mut failed = Ok(());
        loop {
            let received = lock(receiver).recv();
            let Ok(batch) = received else { break };
            if failed.is_ok() && !self.dry.load(Ordering::Relaxed) {
                failed = self.writer.write(&mut local, &batch);
            }
        }
        failed?;
        Ok(self.writer.finish_local(local)?)
    }

    fn finish(&self, learned: &Learned) -> Result<Pass, ConvertError> {
        let counts = std::mem::take(&mut *lock(&self.counts));
        let refused = std::mem::take(&mut *lock(&self.refused));
        let mut unknown = std::mem::take(&mut *lock(&self.unknown));
        let grown = std::mem::take(&mut *lock(&self.grown));
        let again = grown.iter().any(|(name, t)| learned.grown.get(name).is_none_or(|have| merge(have, t) != *have));
        lock(&self.feeder).unknown.iter().for_each(|(name, t)| note(&mut unknown, name, t));
        if self.dry.load(Ordering::Relaxed) || !unknown.is_empty() || again {
            let files = [self.writer.abort(), self.quarantine.abort()].concat();
            return Ok(Pass { files, quarantine: Vec::new(), quarantined: 0, counts, refused, unknown, grown });
        }
        for (&input, reason) in learned.refused.iter().chain(&refused) {
            let uri = self.plan.inputs[input].file.uri.clone();
            let whole = Rejected { line: 0, column: None, value: None, reason: reason.clone(), raw: String::new() };
            self.quarantine.add([(uri, whole)])?;
        }
        let files = self.writer.finish()?;
        let (quarantine, quarantined) = self.quarantine.finish()?;
        Ok(Pass { files, quarantine, quarantined, counts, refused, unknown, grown })
    }

    fn refuse(&self, input: usize, reason: String) {
        let counts = lock(&self.counts)[input];
        if counts.0 + counts.1 > 0 {
            self.dry.store(true, Ordering::Relaxed);
        }
        lock(&self.refused).insert(input, reason);
    }

    fn progress(&self) {
        let Some(progress) = &self.spec.progress else { return };
        let (files_done, bytes_done) = {
            let feeder = lock(&self.feeder);
            (feeder.files_done, feeder.bytes_done)
        };
        progress(Progress {
            files_done,
            files: self.plan.inputs.len() as u64,
            bytes_done,
            bytes: self.bytes,
            rows: self.rows.load(Ordering::Relaxed),
        });
    }

    fn checked(&self, rows: RecordBatch, starts: &[Start]) -> Result<(RecordBatch, Vec<(usize, Rejected)>), ConvertError> {
        self.spec.check.as_ref().map_or_else(|| Ok((rows.clone(), Vec::new())), |check| check::split(&**check, &rows, starts))
    }

    fn keeps_starts(&self) -> bool {
        self.spec.check.is_some() || self.spec.options.order.is_some()
    }

    /// What is to be written of a batch; rows that the target cannot take go to its rejects.
    fn assembled(&self, shape: usize, batch: &mut Batch) -> Result<RecordBatch, ConvertError> {
        let rows = assemble(self.spec, self.plan, &self.plan.shapes[shape], &self.keys, batch)?;
        if self.spec.transform.is_some() {
            return Ok(rows);
        }
        let (kept, refused) = self.checked(rows, &batch.starts)?;
        check::refuse(batch, refused);
        Ok(kept)
    }

    /// Takes decoded rows.
    fn take(&self, shape: usize, mut batch: Batch, local: &mut Local, forward: &Forward) -> Result<(), ConvertError> {
        let rows = self.assembled(shape, &mut batch)?;
        {
            let mut counts = lock(&self.counts);
            batch.segments.iter().for_each(|s| counts[s.file].0 += s.rows as u64);
            batch.rejects.iter().for_each(|(file, _)| counts[*file].1 += 1);
        }
        self.rows.fetch_add(rows_of(&batch.segments) + batch.rejects.len() as u64, Ordering::Relaxed);
        if self.dry.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !batch.rejects.is_empty() {
            let uri = |file: usize| self.plan.inputs[file].file.uri.clone();
            self.quarantine.add(batch.rejects.into_iter().map(|(file, r)| (uri(file), r)))?;
        }
        if rows.num_rows() == 0 {
            return Ok(());
        }
        match forward {
            None => Ok(self.writer.write(local, &rows)?),
            Some(sender) => sender.blocking_send(rows).map_err(|_| ConvertError::Bug("the transformation ended early".into())),
        }
    }
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, ConvertError>>) -> Result<T, ConvertError> {
    thread.join().unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(ConvertError::Bug(format!("a conversion thread panicked: {}", message.unwrap_or_default())))
    })
}

enum Parser {
    Csv(CsvParser),
    Json(JsonParser),
}

struct Worker<'s, 'a> {
    shared: &'s Shared<'a>,
    forward: Forward,
    local: Local,
    /// One for each text shape that this thread has met.
    parsers: Vec<Option<Parser>>,
}

impl<'s, 'a> Worker<'s, 'a> {
    fn new(shared: &'s Shared<'a>, forward: Forward) -> Self {
        let parsers = shared.plan.shapes.iter().map(|_| None).collect();
        Self { shared, forward, local: Local::default(), parsers }
    }

    fn run(mut self) -> Result<(), ConvertError> {
        let shared = self.shared;
        loop {
            check_cancel(&shared.spec.cancel)?;
            if shared.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let unit = lock(&shared.feeder).next()?;
            match unit {
                None => break,
                Some(Unit::Refused(input, reason)) => shared.refuse(input, reason),
                Some(Unit::Block { input, block, layout, lines_only }) => {
                    let shape = shared.plan.inputs[input].shape;
                    self.with_parser(shape, |parser, emit| match parser {
                        Parser::Csv(csv) => csv.parse(block, &layout, input, emit),
                        Parser::Json(json) => json.parse(block, lines_only, input, emit),
                    })?;
                }
                Some(Unit::Files(inputs)) => {
                    for input in inputs {
                        self.file(input)?;
                    }
                }
            }
            shared.progress();
        }
        for shape in 0..self.parsers.len() {
            if self.parsers[shape].is_some() {
                self.with_parser(shape, |parser, emit| match parser {
                    Parser::Csv(csv) => csv.flush(emit),
                    Parser::Json(json) => json.flush(emit),
                })?;
            }
        }
        for parser in self.parsers.iter_mut().flatten() {
            if let Parser::Json(json) = parser {
                let mut unknown = lock(&shared.unknown);
                json.unknown().iter().for_each(|(name, t)| note(&mut unknown, name, t));
                let mut grown = lock(&shared.grown);
                json.grown().iter().for_each(|(name, t)| note(&mut grown, name, t));
            }
        }
        if shared.dry.load(Ordering::Relaxed) {
            return Ok(());
        }
        Ok(shared.writer.finish_local(self.local)?)
    }

    /// Calls `f` with the shape's parser and with where its batches go.
    fn with_parser<T>(
        &mut self,
        shape: usize,
        f: impl FnOnce(&mut Parser, &mut dyn FnMut(Batch) -> Result<(), ConvertError>) -> Result<T, ConvertError>,
    ) -> Result<T, ConvertError> {
        let shared = self.shared;
        let look = &shared.plan.shapes[shape];
        let parser = self.parsers[shape].get_or_insert_with(|| match &look.format {
            Format::Json(options) => {
                let mut json = JsonParser::new(options, &look.parsed, true, BATCH_ROWS);
                json.pending.keep_starts = shared.keeps_starts();
                json.ignore(look.names.iter().cloned());
                if shared.full {
                    json.close();
                }
                json.ignore(shared.spec.source.partition_keys.iter().map(|k| k.name.to_lowercase()));
                Parser::Json(json)
            }
            Format::Csv(options) => {
                let mut csv = CsvParser::new(options, &look.parsed, true, BATCH_ROWS);
                csv.pending.keep_starts = shared.keeps_starts();
                if shared.spec.options.text {
                    let typed = |(read, (_, t)): (&usize, &(String, HiveType))| t.is_text() && !look.types[*read].is_text();
                    csv.text_of(look.wanted.iter().zip(&look.parsed).map(typed).collect());
                }
                Parser::Csv(csv)
            }
            Format::Parquet | Format::Avro | Format::Orc(_) | Format::Lines(_) => unreachable!("only CSV and JSON have parsers"),
        });
        let (local, forward) = (&mut self.local, &self.forward);
        f(parser, &mut |batch| shared.take(shape, batch, local, forward))
    }

    /// Decodes one file whole.
    fn file(&mut self, input: usize) -> Result<(), ConvertError> {
        let (shared, shape) = (self.shared, self.shared.plan.inputs[input].shape);
        let look = &shared.plan.shapes[shape];
        let done = if is_text(look) { self.text_file(input, shape)? } else { self.typed_file(input, shape)? };
        if let Err(error) = done
            && let Unit::Refused(input, reason) = refused(input, error)?
        {
            shared.refuse(input, reason);
        }
        Ok(())
    }

    fn text_file(&mut self, input: usize, shape: usize) -> Result<Result<(), DecodeError>, ConvertError> {
        let shared = self.shared;
        let (look, source) = (&shared.plan.shapes[shape], &shared.plan.inputs[input]);
        let mut text = match open_text(&shared.spec.reader, &source.file, &look.format, small_block_bytes(source)) {
            Ok(text) => text,
            Err(error) => return Ok(Err(error)),
        };
        let mut layout = None;
        loop {
            let block = match text.cutter.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            };
            let now = match &layout {
                None => match layout_of(shared.spec, look, &block, &mut lock(&shared.unknown), shared.full) {
                    Ok(layout) => layout,
                    Err(reason) => return Ok(Err(DecodeError::content(&source.file.uri, reason))),
                },
                Some(_) if block.data.is_empty() && block.rejects.is_empty() => continue,
                Some(layout) => crate::decode::csv::Layout::rest(layout),
            };
            let lines_only = text.lines_only;
            self.with_parser(shape, |parser, emit| match parser {
                Parser::Csv(csv) => csv.parse(block, &now, input, emit),
                Parser::Json(json) => json.parse(block, lines_only, input, emit),
            })?;
            layout = Some(now);
        }
    }

    fn typed_file(&mut self, input: usize, shape: usize) -> Result<Result<(), DecodeError>, ConvertError> {
        let shared = self.shared;
        let (look, file) = (&shared.plan.shapes[shape], &shared.plan.inputs[input].file);
        let mut failed = None;
        let mut emit = |mut batch: Batch| {
            batch.segments.iter_mut().for_each(|s| s.file = input);
            batch.rejects.iter_mut().for_each(|r| r.0 = input);
            let taken =
                check_cancel(&shared.spec.cancel).and_then(|()| shared.take(shape, batch, &mut self.local, &self.forward));
            taken.map_err(|error| {
                failed = Some(error);
                Stopped::ByConsumer
            })
        };
        let mut adapter = Adapter::new(&look.parsed, true);
        adapter.keep_starts = shared.keeps_starts();
        let done = match look.format {
            Format::Avro => avro::decode(&shared.spec.reader, file, adapter, BATCH_ROWS, &mut emit),
            Format::Orc(_) => orc::decode(&shared.spec.reader, file, adapter, None, BATCH_ROWS, &mut emit),
            _ => parquet::decode(&shared.spec.reader, file, adapter, BATCH_ROWS, &mut emit),
        };
        match (failed, done) {
            (Some(error), _) => Err(error),
            (None, Ok(()) | Err(Stopped::ByConsumer)) => Ok(Ok(())),
            (None, Err(Stopped::Failed(error))) => Ok(Err(error)),
        }
    }
}

impl Pass {
    pub fn into_outcome(self, spec: &ConvertSpec, plan: &Plan, learned: &Learned) -> ConvertOutcome {
        let inputs: Vec<InputCount> = plan
            .inputs
            .iter()
            .zip(&self.counts)
            .enumerate()
            .map(|(i, (input, &(taken, refused)))| {
                let error = learned.refused.get(&i).cloned();
                let whole = u64::from(error.is_some());
                InputCount {
                    uri: input.file.uri.clone(),
                    rows_in: taken + refused + whole,
                    rows_out: taken,
                    rows_quarantined: refused + whole,
                    error,
                }
            })
            .collect();
        let column = |i: usize| Column::new(plan.output[i].0.clone(), plan.output[i].1.to_string());
        // What the catalog knows of a column besides its type (comment, properties) stays.
        let kept = |mut column: Column| {
            if let Some(have) = spec.target.iter().flat_map(|t| &t.columns).find(|c| c.name.eq_ignore_ascii_case(&column.name)) {
                column.comment.clone_from(&have.comment);
                column.parameters.clone_from(&have.parameters);
            }
            column
        };
        ConvertOutcome {
            columns: (0..plan.output.len()).filter(|i| !plan.keys.contains(i)).map(|i| kept(column(i))).collect(),
            partition_keys: plan.keys.iter().map(|&i| column(i)).collect(),
            rows_in: inputs.iter().map(|i| i.rows_in).sum(),
            rows_out: self.files.iter().map(|f| f.rows).sum(),
            rows_quarantined: self.quarantined,
            bytes_in: plan.inputs.iter().map(|i| i.file.size).sum(),
            bytes_out: self.files.iter().map(|f| f.size).sum(),
            inputs,
            files: self.files,
            quarantine: self.quarantine,
        }
    }
}

impl From<DecodeError> for ConvertError {
    fn from(e: DecodeError) -> Self {
        Self::Input(e.to_string())
    }
}

impl From<Stopped> for ConvertError {
    fn from(e: Stopped) -> Self {
        match e {
            Stopped::ByConsumer => Self::Bug("decoding was stopped".into()),
            Stopped::Failed(e) => e.into(),
        }
    }
}
