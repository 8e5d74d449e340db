//! Where records and fields begin and end.
//!
//! The scan looks at 64 bytes at a time and makes a bit mask of those that matter (delimiter, line feed, quote or escape), so that ordinary bytes cost
//! nothing each. It handles what real files have: quoted fields with delimiters, line feeds and doubled quotes in them; `\r\n`; a quote
//! in the middle of a bare field (an ordinary character); text after a closing quote (kept as it is); blank lines (no records).

use crate::table::CsvOptions;

/// The bytes that matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    pub delimiter: u8,
    pub quote: Option<u8>,
    /// Inside quotes it goes before a quote or itself; in unquoted formats (LazySimpleSerDe) before any byte.
    pub escape: Option<u8>,
}

impl From<&CsvOptions> for Syntax {
    fn from(options: &CsvOptions) -> Self {
        Self { delimiter: options.delimiter, quote: options.quote, escape: options.escape.filter(|e| Some(*e) != options.quote) }
    }
}

#[derive(Debug, Clone, Copy)]
struct Needles([u8; 3]);

impl Needles {
    fn new(syntax: &Syntax) -> Self {
        let third = match syntax.quote {
            Some(quote) => quote,
            None => syntax.escape.unwrap_or(b'\n'),
        };
        Self([syntax.delimiter, b'\n', third])
    }

    /// One bit for each byte that matters. Written so that the compiler turns the comparison into vector instructions; then eight bytes, each 0
    /// or 1, are gathered into eight bits by one multiplication.
    #[inline(always)]
    fn mask(&self, block: &[u8; 64]) -> u64 {
        let [a, b, c] = self.0;
        let mut hits = [0u8; 64];
        for (hit, &byte) in hits.iter_mut().zip(block) {
            *hit = u8::from(byte == a) | u8::from(byte == b) | u8::from(byte == c);
        }
        let mut mask = 0;
        for (i, word) in hits.as_chunks::<8>().0.iter().enumerate() {
            let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            mask |= bits << (8 * i);
        }
        mask
    }
}

/// One record's place: `data[start..end]`, without the line feed (a carriage return before it is still inside).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub start: u32,
    pub end: u32,
    /// Fields before any padding or cutting.
    pub fields: u32,
}

/// The fields of some records.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// `ends[r * width + f]`: the byte after field `f` of record `r`.
    pub ends: Vec<u32>,
    pub records: Vec<Record>,
    /// Fields that every record has here.
    pub width: usize,
    /// Records that have another number of fields (strict reading only).
    pub ragged: Vec<Record>,
    /// An empty line is a record.
    pub keep_blank: bool,
}

impl Index {
    pub fn clear(&mut self, width: usize) {
        self.ends.clear();
        self.records.clear();
        self.ragged.clear();
        self.width = width;
    }

    /// Field `f` of record `r` as it stands in the file, quotes and all; `None` where the record ends before it.
    #[inline]
    pub fn field<'a>(&self, data: &'a [u8], r: usize, f: usize) -> Option<&'a [u8]> {
        let at = r * self.width + f;
        let start = if f == 0 { self.records[r].start as usize } else { self.ends[at - 1] as usize + 1 };
        data.get(start..self.ends[at] as usize)
    }
}

/// What ends a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// As many records as were asked for.
    Full,
    /// All of the data; what follows `at` is no whole record.
    End,
}

/// A scan over whole and partial records.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    data: &'a [u8],
    syntax: Syntax,
    needles: Needles,
    /// Where the next record begins.
    pub at: usize,
}

/// How one record ended.
enum Ended {
    /// At the line feed at this position.
    Line(usize),
    /// At the end of the data, in a bare field.
    Data,
    /// At the end of the data, in a quoted field that was opened at this position.
    Open(usize),
}

impl<'a> Scanner<'a> {
    pub fn new(data: &'a [u8], syntax: Syntax, at: usize) -> Self {
        debug_assert!(u32::try_from(data.len()).is_ok(), "blocks are smaller than 4 GiB");
        Self { data, syntax, needles: Needles::new(&syntax), at }
    }

    #[inline]
    fn mask_at(&self, base: usize) -> u64 {
        match self.data[base..].first_chunk::<64>() {
            Some(block) => self.needles.mask(block),
            None => {
                let rest = &self.data[base..];
                let mut block = [0; 64];
                block[..rest.len()].copy_from_slice(rest);
                self.needles.mask(&block) & ((1u64 << rest.len()) - 1)
            }
        }
    }

    /// Indexes up to `max` records of `index.width` fields. At the end of the file (`last`) the data's end ends the last record too. Records of
    /// another width are put aside (`strict`), or padded and cut.
    pub fn index(&mut self, index: &mut Index, max: usize, last: bool, strict: bool) -> Stop {
        let (width, syntax) = (index.width, self.syntax);
        let wanted = index.records.len() + max;
        let mut start = self.at;
        let mut base = start & !63;
        let mut mask = if base < self.data.len() { self.mask_at(base) & (!0u64 << (start - base)) } else { 0 };
        let mut field_start = start;
        let mut first = index.ends.len();
        loop {
            while mask == 0 {
                base += 64;
                if base >= self.data.len() {
                    return self.finish(index, first, start, last, strict);
                }
                mask = self.mask_at(base);
            }
            let at = base + mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let byte = self.data[at];
            if byte == syntax.delimiter {
                index.ends.push(at as u32);
                field_start = at + 1;
            } else if byte == b'\n' {
                index.ends.push(at as u32);
                end_record(self.data, index, first, start, at, width, strict);
                start = at + 1;
                self.at = start;
                field_start = start;
                first = index.ends.len();
                if index.records.len() >= wanted {
                    return Stop::Full;
                }
            } else if let Some(to) = self.special(at, field_start) {
                // Past the closing quote, or past an escaped byte.
                match to {
                    Ok(to) => {
                        base = to & !63;
                        if base >= self.data.len() {
                            return self.finish(index, first, start, last, strict);
                        }
                        mask = self.mask_at(base) & (!0u64 << (to - base));
                    }
                    Err(_open) => {
                        index.ends.truncate(first);
                        return Stop::End;
                    }
                }
            }
        }
    }

    /// What a quote or escape at `at` means: `None` nothing; else where to go on, or that the quote is not closed.
    #[inline]
    fn special(&self, at: usize, field_start: usize) -> Option<Result<usize, usize>> {
        let byte = self.data[at];
        if Some(byte) == self.syntax.quote {
            return (at == field_start).then(|| self.closing(at).map(|close| close + 1).ok_or(at));
        }
        (self.syntax.quote.is_none() && Some(byte) == self.syntax.escape).then(|| Ok((at + 2).min(self.data.len())))
    }

    /// The closing quote of the field whose opening quote is at `open`.
    fn closing(&self, open: usize) -> Option<usize> {
        let quote = self.syntax.quote?;
        let mut at = open + 1;
        loop {
            let rest = self.data.get(at..)?;
            let hit = match self.syntax.escape {
                Some(escape) => memchr::memchr2(quote, escape, rest)?,
                None => memchr::memchr(quote, rest)?,
            };
            let found = at + hit;
            let next = self.data.get(found + 1).copied();
            if self.data[found] == quote {
                if next != Some(quote) {
                    return Some(found);
                }
                at = found + 2;
            } else {
                let escapes = next == Some(quote) || next == self.syntax.escape;
                at = found + 1 + usize::from(escapes);
            }
        }
    }

    /// The data's end: a last line without a line feed is a record, if this is the end of the file.
    fn finish(&mut self, index: &mut Index, first: usize, start: usize, last: bool, strict: bool) -> Stop {
        if last && start < self.data.len() {
            index.ends.push(self.data.len() as u32);
            end_record(self.data, index, first, start, self.data.len(), index.width, strict);
            self.at = self.data.len();
        } else {
            index.ends.truncate(first);
        }
        Stop::End
    }

    /// Moves past one record: `Some(Some(next))`, or `Some(None)` where the data end in it; `None` where a quote stays open.
    pub fn skip_record(&mut self) -> Option<Option<usize>> {
        match self.one() {
            Ended::Line(at) => {
                self.at = at + 1;
                Some(Some(self.at))
            }
            Ended::Data => Some(None),
            Ended::Open(_) => None,
        }
    }

    /// Puts the next `max` records into `index.ragged`, each with its number of fields.
    pub fn index_widths(&mut self, index: &mut Index, max: usize, last: bool) {
        while index.ragged.len() < max {
            let start = self.at;
            let end = match self.one() {
                Ended::Line(at) => at,
                Ended::Data if last && start < self.data.len() => self.data.len(),
                Ended::Data | Ended::Open(_) => return,
            };
            self.at = (end + 1).min(self.data.len());
            let record = &self.data[start..end];
            let record = record.strip_suffix(b"\r").unwrap_or(record);
            if record.is_empty() {
                continue;
            }
            let mut fields = 1;
            let mut inner = Scanner::new(record, self.syntax, 0);
            loop {
                let field_end = inner.field_end();
                if field_end >= record.len() {
                    break;
                }
                fields += 1;
                inner.at = field_end + 1;
            }
            index.ragged.push(Record { start: start as u32, end: (start + record.len()) as u32, fields });
        }
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// The end of the field that begins at `self.at`, in a single record.
    pub fn field_end(&self) -> usize {
        let mut at = self.at;
        while let Some(&byte) = self.data.get(at) {
            if byte == self.syntax.delimiter {
                return at;
            }
            at = match self.special(at, self.at) {
                Some(Ok(to)) => to,
                Some(Err(_)) => self.data.len(),
                None => at + 1,
            };
        }
        self.data.len()
    }

    /// The end of the record that begins at `self.at`, without an index.
    fn one(&self) -> Ended {
        let mut base = self.at & !63;
        if base >= self.data.len() {
            return Ended::Data;
        }
        let mut mask = self.mask_at(base) & (!0u64 << (self.at - base));
        let mut field_start = self.at;
        loop {
            while mask == 0 {
                base += 64;
                if base >= self.data.len() {
                    return Ended::Data;
                }
                mask = self.mask_at(base);
            }
            let at = base + mask.trailing_zeros() as usize;
            mask &= mask - 1;
            let byte = self.data[at];
            if byte == self.syntax.delimiter {
                field_start = at + 1;
            } else if byte == b'\n' {
                return Ended::Line(at);
            } else {
                match self.special(at, field_start) {
                    None => {}
                    Some(Err(open)) => return Ended::Open(open),
                    Some(Ok(to)) => {
                        base = to & !63;
                        if base >= self.data.len() {
                            return Ended::Data;
                        }
                        mask = self.mask_at(base) & (!0u64 << (to - base));
                    }
                }
            }
        }
    }
}

#[inline]
fn end_record(data: &[u8], index: &mut Index, first: usize, start: usize, at: usize, width: usize, strict: bool) {
    let fields = index.ends.len() - first;
    let mut end = at;
    if end > start && data[end - 1] == b'\r' {
        end -= 1;
        index.ends[first + fields - 1] = end as u32;
    }
    let record = Record { start: start as u32, end: end as u32, fields: fields as u32 };
    if fields == width && (index.keep_blank || !(fields == 1 && start == end)) {
        index.records.push(record);
        return;
    }
    odd_record(index, first, record, strict);
}

#[cold]
fn odd_record(index: &mut Index, first: usize, record: Record, strict: bool) {
    let (fields, width) = (record.fields as usize, index.width);
    if record.start == record.end && !index.keep_blank {
        index.ends.truncate(first);
        return;
    }
    // A delimiter at the line's end, as many exports write it.
    let trailing = fields == width + 1 && index.ends[first + width] == index.ends[first + width - 1] + 1;
    if strict && !trailing && fields != width {
        index.ends.truncate(first);
        index.ragged.push(record);
        return;
    }
    // Missing fields get an end before their start, and so read as absent.
    index.ends.resize(first + width, record.end);
    index.records.push(record);
}

/// The end of the last whole record in `data` (which begins with a record), and whether a quote is open there.
pub(crate) fn last_record_end(data: &[u8], syntax: Syntax) -> (usize, Option<usize>) {
    let special = match (syntax.quote, syntax.escape) {
        (Some(quote), _) => memchr::memchr(quote, data).is_some(),
        (None, Some(escape)) => memchr::memchr(escape, data).is_some(),
        (None, None) => false,
    };
    if !special {
        return (memchr::memrchr(b'\n', data).map_or(0, |at| at + 1), None);
    }
    let mut scanner = Scanner::new(data, syntax, 0);
    loop {
        match scanner.one() {
            Ended::Line(at) => scanner.at = at + 1,
            Ended::Data => return (scanner.at, None),
            Ended::Open(open) => return (scanner.at, Some(open)),
        }
    }
}

/// A field's value without quotes and escapes. `scratch` holds it where it is not a part of the file as it stands.
#[inline]
pub(crate) fn value<'a>(raw: &'a [u8], syntax: &Syntax, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    match syntax.quote {
        Some(quote) if raw.first() == Some(&quote) => quoted_value(raw, quote, syntax.escape, scratch),
        None => unescaped(raw, syntax.escape, scratch),
        _ => raw,
    }
}

/// A text without its escapes (of which LazySimpleSerDe has those of line ends, too).
#[inline]
pub(crate) fn unescaped<'a>(raw: &'a [u8], escape: Option<u8>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(escape) = escape.filter(|escape| memchr::memchr(*escape, raw).is_some()) else { return raw };
    scratch.clear();
    let mut bytes = raw.iter().copied();
    while let Some(c) = bytes.next() {
        if c != escape {
            scratch.push(c);
            continue;
        }
        match bytes.next() {
            Some(b'n') => scratch.push(b'\n'),
            Some(b'r') => scratch.push(b'\r'),
            Some(other) => scratch.push(other),
            None => scratch.push(c),
        }
    }
    scratch
}

fn quoted_value<'a>(raw: &'a [u8], quote: u8, escape: Option<u8>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let inner = &raw[1..];
    let hit = match escape {
        Some(escape) => memchr::memchr2(quote, escape, inner),
        None => memchr::memchr(quote, inner),
    };
    match hit {
        None => return inner,
        Some(at) if at + 1 == inner.len() && inner[at] == quote => return &inner[..at],
        Some(_) => {}
    }
    scratch.clear();
    let mut at = 0;
    while at < inner.len() {
        let (c, next) = (inner[at], inner.get(at + 1).copied());
        if c == quote && next == Some(quote) {
            scratch.push(quote);
            at += 2;
        } else if c == quote {
            // What stands after the closing quote is kept.
            scratch.extend_from_slice(&inner[at + 1..]);
            break;
        } else if Some(c) == escape && (next == Some(quote) || next == escape) {
            scratch.extend(next);
            at += 2;
        } else {
            scratch.push(c);
            at += 1;
        }
    }
    scratch
}
