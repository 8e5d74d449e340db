//! awsQuery responses: XML out, and in again for our own client.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

use crate::schema::{Kind, Schema};
use crate::shapes::{Shape as _, Timestamp};

/// Writes elements; the caller closes what it opens.
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned())
    }

    pub(crate) fn open(&mut self, name: &str, namespace: Option<&str>) {
        self.0.push('<');
        self.0.push_str(name);
        if let Some(namespace) = namespace {
            self.0.push_str(" xmlns=\"");
            self.escaped(namespace);
            self.0.push('"');
        }
        self.0.push('>');
    }

    pub(crate) fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.open(name, None);
        self.escaped(text);
        self.close(name);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }

    /// XML 1.0 has no way to carry most control characters; they become U+FFFD. Line ends are
    /// written as references where a parser would change them.
    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\r' => self.0.push_str("&#xD;"),
                '\t' | '\n' => self.0.push(c),
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
                _ => self.0.push(c),
            }
        }
    }
}

/// Writes the members of an output structure.
pub(crate) fn write_members(writer: &mut Writer, value: &Value, schema: &Schema) {
    let Value::Object(object) = value else {
        return;
    };
    for member in schema.members() {
        if let Some(value) = object.get(member.name) {
            write(writer, member.query_name, value, member.schema, member.flattened);
        }
    }
}

fn write(writer: &mut Writer, name: &str, value: &Value, schema: &Schema, flat: bool) {
    match (schema.kind, value) {
        (Kind::Structure(_), _) => {
            writer.open(name, None);
            write_members(writer, value, schema);
            writer.close(name);
        }
        (Kind::List { member, member_name, flattened }, Value::Array(values)) => {
            let flattened = flattened || flat;
            if !flattened {
                writer.open(name, None);
            }
            for value in values {
                write(writer, if flattened { name } else { member_name }, value, member, false);
            }
            if !flattened {
                writer.close(name);
            }
        }
        (Kind::Map { value: schema, key_name, value_name, flattened, .. }, Value::Object(object)) => {
            let flattened = flattened || flat;
            let entry = if flattened { name } else { "entry" };
            if !flattened {
                writer.open(name, None);
            }
            for (key, value) in object {
                writer.open(entry, None);
                writer.text(key_name, key);
                write(writer, value_name, value, schema, false);
                writer.close(entry);
            }
            if !flattened {
                writer.close(name);
            }
        }
        (Kind::Timestamp, value) => {
            let timestamp = Timestamp::from_value(value.clone()).unwrap_or_default();
            writer.text(name, &timestamp.iso8601());
        }
        (_, Value::String(text)) => writer.text(name, text),
        (_, other) => writer.text(name, &other.to_string()),
    }
}

/// An element as it was read.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
}

/// The deepest response that is read.
const DEPTH_MAX: usize = 64;

impl Element {
    /// Reads a document's root element; names lose their prefix, attributes are not kept.
    pub(crate) fn parse(document: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(document);
        let mut stack = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|error| format!("the response is not XML: {error}"))? {
                Event::Start(start) => {
                    if stack.len() > DEPTH_MAX {
                        return Err(format!("the response nests deeper than {DEPTH_MAX} elements"));
                    }
                    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                    stack.push(Self { name, ..Self::default() });
                }
                Event::Empty(start) => {
                    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                    if let Some(parent) = stack.last_mut() {
                        parent.children.push(Self { name, ..Self::default() });
                    }
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| format!("the response is not UTF-8: {error}"))?;
                    if let Some(element) = stack.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Event::CData(text) => {
                    if let Some(element) = stack.last_mut() {
                        element.text.push_str(&String::from_utf8_lossy(&text));
                    }
                }
                Event::GeneralRef(reference) => {
                    let resolved = match reference.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        _ => {
                            let name = reference.decode().map_err(|error| error.to_string())?;
                            quick_xml::escape::resolve_predefined_entity(&name)
                                .ok_or_else(|| format!("the response has the unknown entity &{name};"))?
                                .to_owned()
                        }
                    };
                    if let Some(element) = stack.last_mut() {
                        element.text.push_str(&resolved);
                    }
                }
                Event::End(_) => {
                    if let (Some(element), Some(parent)) = (stack.pop(), stack.last_mut()) {
                        parent.children.push(element);
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if stack.len() != 1 {
            return Err("the response ends within an element".to_owned());
        }
        let root = stack.pop().and_then(|mut outside| outside.children.pop());
        root.ok_or_else(|| "the response has no element".to_owned())
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element's content as a value of the schema.
    pub(crate) fn value(&self, schema: &Schema) -> Value {
        match schema.kind {
            Kind::Structure(members) => {
                let mut object = Map::new();
                for member in members {
                    if member.is_flattened() {
                        let same = self.children.iter().filter(|child| child.name == member.query_name);
                        object.insert(member.name.to_owned(), entries_value(same, member.schema));
                    } else if let Some(child) = self.child(member.query_name) {
                        object.insert(member.name.to_owned(), child.value(member.schema));
                    }
                }
                Value::Object(object)
            }
            Kind::List { .. } | Kind::Map { .. } => entries_value(self.children.iter(), schema),
            Kind::Boolean => Value::Bool(self.text == "true"),
            Kind::Integer | Kind::Long => self.text.parse::<i64>().map_or(Value::Null, Value::from),
            Kind::Double => self.text.parse::<f64>().map_or(Value::Null, Value::from),
            _ => Value::from(&*self.text),
        }
    }
}

fn entries_value<'e>(entries: impl Iterator<Item = &'e Element>, schema: &Schema) -> Value {
    match schema.kind {
        Kind::List { member, .. } => entries.map(|entry| entry.value(member)).collect(),
        Kind::Map { value, key_name, value_name, .. } => Value::Object(
            entries
                .filter_map(|entry| Some((entry.child(key_name)?.text.clone(), entry.child(value_name)?.value(value))))
                .collect(),
        ),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use crate::sns;
    use serde_json::json;

    #[test]
    fn what_is_written_can_be_read() {
        let schema = sns::GetTopicAttributes::OUTPUT;
        let value = json!({"Attributes": {"Policy": "{\"a\":\"<&>\"}", "Empty": "", "Lines": "a\r\nb\tc", "é": "ü"}});
        let mut writer = Writer::new();
        writer.open("R", Some("http://x/?a&b"));
        write_members(&mut writer, &value, schema);
        writer.close("R");
        let text = writer.finish();
        assert_eq!(Element::parse(&text).unwrap().value(schema), value, "{text}");
    }

    #[test]
    fn control_characters_do_not_break_the_document() {
        let mut writer = Writer::new();
        writer.text("M", "a\u{0}\u{8}b");
        assert_eq!(Element::parse(&writer.finish()).unwrap().text, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "<a>".repeat(100_000);
        for document in ["", "<a>", "<a></b>", "<a>&unknown;</a>", "text", deep.as_str()] {
            assert!(Element::parse(document).is_err(), "{}", document.chars().take(40).collect::<String>());
        }
    }
}
