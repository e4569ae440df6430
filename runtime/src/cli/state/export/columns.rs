//! From a state's types to the columns of a table, and from rows to its cells.
//!
//! Called by [`super`]. A key or value that has no parts is one column, `key` or `value`; a struct
//! or tuple of such is a column for each field, `key.country`, `value.0`; anything deeper is JSON
//! as text. Invariant: a cell holds exactly what the row holds, or the export fails: no number is
//! rounded and nothing that does not fit becomes null.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMillisecondBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use riverrun_engine::state::StateKind;
use serde_json::Value;
use serde_reflection::{Format, Named, VariantFormat};

use crate::value::{Layout, Node, Place, Scalar, Shape, ShownRow, Within, from_hex};

/// The columns of one state's table, with the rows that wait to be written.
pub(super) struct Columns {
    columns: Vec<Column>,
    schema: SchemaRef,
    rows: usize,
}

/// One column.
struct Column {
    name: String,
    from: Source,
    kind: Kind,
    nullable: bool,
    cells: Box<dyn ArrayBuilder>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    Float,
    Text,
    Json,
    Bytes,
    Moment,
}

/// Which part of a row a column shows.
enum Source {
    Key(Step),
    Value(Step),
    Place,
    MapKey,
    Chunk,
    /// Of what was added to a list.
    Generation,
    Run,
    Portion,
    /// The value as it lies in the checkpoint, where its codec is not known.
    Encoded,
}

/// A part of a key or value.
enum Step {
    Whole,
    Field(String),
    Index(usize),
}

/// A row whose cell does not fit its column.
#[derive(Debug, PartialEq)]
pub(super) struct Misplaced {
    pub(super) column: String,
    pub(super) found: String,
}

impl Columns {
    /// For the rows of `layout`; `about` is kept in the file.
    pub(super) fn of(layout: &Layout, about: [(&str, String); 4]) -> Columns {
        let mut columns = parts(layout.key(), "key", Source::Key);
        match layout.kind() {
            StateKind::Sliced => {
                columns.push(Column::new("window_start", Source::Place, Kind::Moment, false));
                columns.push(Column::new("portion", Source::Portion, Kind::Unsigned, true));
            }
            StateKind::Timers => {
                columns.push(Column::new("at", Source::Place, Kind::Moment, false))
            }
            StateKind::List => {
                columns.push(Column::new("chunk", Source::Chunk, Kind::Unsigned, true));
                columns.push(Column::new(
                    "added_generation",
                    Source::Generation,
                    Kind::Unsigned,
                    true,
                ));
                columns.push(Column::new("added_run", Source::Run, Kind::Unsigned, true));
            }
            StateKind::Map => {
                columns.push(Column::new("map_key", Source::MapKey, Kind::Json, true))
            }
            StateKind::Value => {}
        }
        match layout.kind() {
            StateKind::Timers => {}
            _ if !layout.reads_values() => {
                columns.push(Column::new("value", Source::Encoded, Kind::Bytes, false));
            }
            // The elements of collections are not described by the state's type as such.
            StateKind::List | StateKind::Map => {
                columns.push(Column::new("value", Source::Value(Step::Whole), Kind::Json, false));
            }
            StateKind::Value | StateKind::Sliced => {
                let mut values = parts(layout.value(), "value", Source::Value);
                // A field that was added later is absent in older rows.
                values.iter_mut().for_each(|column| column.nullable |= column.kind != Kind::Json);
                columns.extend(values);
            }
        }
        let fields: Vec<Field> = columns.iter().map(Column::field).collect();
        let about = about.map(|(name, text)| (format!("riverrun.{name}"), text));
        let schema = Arc::new(Schema::new_with_metadata(fields, about));
        Columns { columns, schema, rows: 0 }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// How many rows wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends one row; `value` are its bytes.
    pub(super) fn push(&mut self, row: &ShownRow, value: &[u8]) -> Result<(), Misplaced> {
        for column in &mut self.columns {
            let pushed = match (&column.from, &row.place, &row.within) {
                (Source::Key(step), ..) => column.push_part(step.of(&row.key)),
                (Source::Value(step), ..) => column.push_part(step.of(&row.value)),
                (Source::Place, Some(Place::WindowStart(at) | Place::At(at)), _) => {
                    column.push_moment(at.as_millis())
                }
                (Source::Place, ..) => None,
                (Source::MapKey, _, Some(Within::MapKey(key))) => column.push(key),
                (Source::MapKey, _, Some(Within::Bytes(hex))) => {
                    column.push(&Value::String(hex.clone()))
                }
                (Source::Chunk, _, Some(Within::Chunk(first))) => column.push(&Value::from(*first)),
                (Source::Generation, _, Some(Within::Added(number, _)))
                | (Source::Run, _, Some(Within::Added(_, number))) => {
                    column.push(&Value::from(*number))
                }
                (Source::Portion, _, Some(Within::Portion(number))) => {
                    column.push(&Value::from(*number))
                }
                (Source::Chunk, _, Some(Within::Added(..)))
                | (Source::Generation | Source::Run, _, Some(Within::Chunk(_)))
                | (Source::MapKey | Source::Chunk | Source::Portion, _, None)
                | (Source::Generation | Source::Run, _, None) => column.push_null(),
                (Source::MapKey | Source::Chunk | Source::Portion, ..)
                | (Source::Generation | Source::Run, ..) => None,
                (Source::Encoded, ..) => column.push_bytes(value),
            };
            if pushed.is_none() {
                let found = match &column.from {
                    Source::Key(step) => step.of(&row.key).cloned().unwrap_or_default().to_string(),
                    Source::Value(step) => {
                        step.of(&row.value).cloned().unwrap_or_default().to_string()
                    }
                    _ => format!("{:?}", (&row.place, &row.within)),
                };
                return Err(Misplaced { column: column.name.clone(), found });
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows that waited.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(|c| c.cells.finish()).collect();
        RecordBatch::try_new(self.schema(), arrays)
    }
}

/// The columns of a key or value.
fn parts(shape: Option<&Shape>, name: &str, from: fn(Step) -> Source) -> Vec<Column> {
    let untraced = || vec![Column::new(name, from(Step::Whole), Kind::Text, false)];
    let Some(shape) = shape else { return untraced() };
    let root = shape.root();
    if let Some((kind, nullable)) = scalar(shape, root) {
        return vec![Column::new(name, from(Step::Whole), kind, nullable)];
    }
    let fields: Vec<(String, Step, &Format)> = match shape.node(root) {
        Node::Struct(fields) => {
            let named = fields.iter().map(|Named { name: field, value }| {
                (format!("{name}.{field}"), Step::Field(field.clone()), value)
            });
            named.collect()
        }
        Node::Tuple(fields) => {
            let field = |(i, f)| (format!("{name}.{i}"), Step::Index(i), f);
            fields.into_iter().enumerate().map(field).collect()
        }
        _ => Vec::new(),
    };
    let columns = fields.into_iter().map(|(name, step, format)| {
        let (kind, nullable) = scalar(shape, format)?;
        Some(Column::new(&name, from(step), kind, nullable))
    });
    match columns.collect::<Option<Vec<_>>>() {
        Some(columns) if !columns.is_empty() => columns,
        _ => vec![Column::new(name, from(Step::Whole), Kind::Json, false)],
    }
}

/// The column of a value without parts, and whether it may be absent.
fn scalar(shape: &Shape, format: &Format) -> Option<(Kind, bool)> {
    let kind = match shape.node(format) {
        Node::Option(inner) => return scalar(shape, inner).map(|(kind, _)| (kind, true)),
        Node::Scalar(scalar) => match scalar {
            Scalar::Bool => Kind::Bool,
            Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 => Kind::Signed,
            Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 => Kind::Unsigned,
            Scalar::F32 | Scalar::F64 => Kind::Float,
            Scalar::Char | Scalar::Str => Kind::Text,
            Scalar::Bytes => Kind::Bytes,
            Scalar::Unit | Scalar::I128 | Scalar::U128 => return None,
        },
        Node::Enum(variants) => {
            let plain = variants.values().all(|v| v.value == VariantFormat::Unit);
            return plain.then_some((Kind::Text, false));
        }
        Node::Seq(_) | Node::Tuple(_) | Node::Struct(_) | Node::Map | Node::Unknown => return None,
    };
    Some((kind, false))
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Step::Whole => Some(value),
            // An added field is absent in older rows.
            Step::Field(name) => Some(value.as_object()?.get(name).unwrap_or(&Value::Null)),
            Step::Index(i) => value.as_array()?.get(*i),
        }
    }
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Kind::Bool => DataType::Boolean,
            Kind::Signed => DataType::Int64,
            Kind::Unsigned => DataType::UInt64,
            Kind::Float => DataType::Float64,
            Kind::Text | Kind::Json => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Moment => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        }
    }

    fn cells(self) -> Box<dyn ArrayBuilder> {
        match self {
            Kind::Bool => Box::new(BooleanBuilder::new()),
            Kind::Signed => Box::new(Int64Builder::new()),
            Kind::Unsigned => Box::new(UInt64Builder::new()),
            Kind::Float => Box::new(Float64Builder::new()),
            Kind::Text | Kind::Json => Box::new(StringBuilder::new()),
            Kind::Bytes => Box::new(BinaryBuilder::new()),
            Kind::Moment => Box::new(TimestampMillisecondBuilder::new().with_timezone("UTC")),
        }
    }
}

impl Column {
    fn new(name: &str, from: Source, kind: Kind, nullable: bool) -> Self {
        Column { name: name.to_owned(), from, kind, nullable, cells: kind.cells() }
    }

    fn field(&self) -> Field {
        Field::new(&self.name, self.kind.data_type(), self.nullable)
    }

    fn cells<B: ArrayBuilder>(&mut self) -> Option<&mut B> {
        self.cells.as_any_mut().downcast_mut()
    }

    fn push_part(&mut self, part: Option<&Value>) -> Option<()> {
        self.push(part?)
    }

    fn push_moment(&mut self, ms: i64) -> Option<()> {
        self.cells::<TimestampMillisecondBuilder>()?.append_value(ms);
        Some(())
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.cells::<BinaryBuilder>()?.append_value(bytes);
        Some(())
    }

    fn push_null(&mut self) -> Option<()> {
        if !self.nullable {
            return None;
        }
        match self.kind {
            Kind::Bool => self.cells::<BooleanBuilder>()?.append_null(),
            Kind::Signed => self.cells::<Int64Builder>()?.append_null(),
            Kind::Unsigned => self.cells::<UInt64Builder>()?.append_null(),
            Kind::Float => self.cells::<Float64Builder>()?.append_null(),
            Kind::Text | Kind::Json => self.cells::<StringBuilder>()?.append_null(),
            Kind::Bytes => self.cells::<BinaryBuilder>()?.append_null(),
            Kind::Moment => self.cells::<TimestampMillisecondBuilder>()?.append_null(),
        }
        Some(())
    }

    /// Appends one value, or nothing where it does not fit.
    fn push(&mut self, value: &Value) -> Option<()> {
        if value.is_null() && self.kind != Kind::Json {
            return self.push_null();
        }
        match self.kind {
            Kind::Bool => self.cells::<BooleanBuilder>()?.append_value(value.as_bool()?),
            Kind::Signed => self.cells::<Int64Builder>()?.append_value(value.as_i64()?),
            Kind::Unsigned => self.cells::<UInt64Builder>()?.append_value(value.as_u64()?),
            Kind::Float => {
                // What JSON has not is text: `NaN`, `inf`, `-inf`.
                let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
                self.cells::<Float64Builder>()?.append_value(number);
            }
            Kind::Text => self.cells::<StringBuilder>()?.append_value(value.as_str()?),
            Kind::Json => self.cells::<StringBuilder>()?.append_value(value.to_string()),
            Kind::Bytes => self.push_bytes(&from_hex(value.as_str()?)?)?,
            Kind::Moment => self.push_moment(value.as_i64()?)?,
        }
        Some(())
    }
}
