//! Decoded columns by id, and how many bytes of them are held.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, RwLock};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatchReader};
use arrow::datatypes::DataType;
use arrow::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

static COLUMNS: LazyLock<RwLock<HashMap<u64, Arc<Column>>>> = LazyLock::new(Default::default);
static NEXT: AtomicU64 = AtomicU64::new(1);
static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

/// One column of one row group, in pieces.
#[derive(Debug)]
pub struct Column {
    pub data_type: DataType,
    pub pieces: Vec<ArrayRef>,
    bytes: usize,
}

impl Column {
    fn new(data_type: DataType, pieces: Vec<ArrayRef>) -> Self {
        let bytes = pieces
            .iter()
            .map(|piece| piece.get_buffer_memory_size())
            .sum();
        HELD_BYTES.fetch_add(bytes, Ordering::Relaxed);
        Self {
            data_type,
            pieces,
            bytes,
        }
    }
}

impl Drop for Column {
    fn drop(&mut self) {
        HELD_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub fn find(id: u64) -> Option<Arc<Column>> {
    COLUMNS.read().expect("no holder panics").get(&id).cloned()
}

/// Put the one column of an Arrow C stream; return its id, its bytes, and the rows of each of its pieces.
#[pyfunction]
pub fn put(stream: &Bound<'_, PyAny>) -> PyResult<(u64, usize, Vec<usize>)> {
    let capsule = stream.call_method0("__arrow_c_stream__")?;
    let capsule = capsule
        .cast::<PyCapsule>()
        .map_err(|error| refused(&error))?;
    let pointer = capsule
        .pointer_checked(Some(c"arrow_array_stream"))?
        .as_ptr();
    // SAFETY: a capsule of that name holds such a stream, which is moved out of it here.
    let reader =
        unsafe { ArrowArrayStreamReader::from_raw(pointer.cast::<FFI_ArrowArrayStream>()) };
    let reader = reader.map_err(|error| refused(&error))?;
    let schema = reader.schema();
    if schema.fields().len() != 1 {
        return Err(PyValueError::new_err("a stream of one column is put"));
    }
    let mut pieces = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| refused(&error))?;
        pieces.push(compact(batch.column(0)));
    }
    let rows = pieces.iter().map(|piece| piece.len()).collect();
    let column = Column::new(schema.field(0).data_type().clone(), pieces);
    let bytes = column.bytes;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    COLUMNS
        .write()
        .expect("no holder panics")
        .insert(id, Arc::new(column));
    Ok((id, bytes, rows))
}

/// Drop a column; return whether it was there.
#[pyfunction]
pub fn drop(id: u64) -> bool {
    COLUMNS
        .write()
        .expect("no holder panics")
        .remove(&id)
        .is_some()
}

/// Return the bytes of all columns, those included that are dropped and still read.
#[pyfunction]
pub fn held_bytes() -> usize {
    HELD_BYTES.load(Ordering::Relaxed)
}

/// Views point into buffers of whole pages: have those hold nothing but what is pointed at.
fn compact(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}

fn refused(error: &dyn std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
