//! Columns that were decoded once, given to plans of DataFusion as a leaf.
//!
//! A column of a row group is put as an Arrow C stream of one column; its batches are its pieces, and are kept without a
//! copy, but for text, which is made compact. A plan names columns by their ids in the payload of an extension node:
//! `payload.rs` says how. Decoding the node takes a reference on each column, so that a column that is dropped meanwhile
//! lives until the plan's streams have passed it.

mod column;
mod exec;
mod payload;

use std::sync::{Arc, LazyLock};

use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{TaskContext, TaskContextProvider};
use datafusion_ffi::proto::physical_extension_codec::FFI_PhysicalExtensionCodec;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::exec::LeafExec;
use crate::payload::Payload;

#[derive(Debug)]
struct LeafCodec;

impl PhysicalExtensionCodec for LeafCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        _ctx: &TaskContext,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(LeafExec::try_new(Payload::parse(buf)?)?))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        _buf: &mut Vec<u8>,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let name = node.name();
        Err(DataFusionError::NotImplemented(format!(
            "{name} is not for other processes"
        )))
    }
}

/// A context that a leaf never needs. The codec holds it weakly, and asks for it as long as a session has the codec.
#[derive(Debug)]
struct NoContext;

impl TaskContextProvider for NoContext {
    fn task_ctx(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::default())
    }
}

static NO_CONTEXT: LazyLock<Arc<NoContext>> = LazyLock::new(|| Arc::new(NoContext));

/// What a session takes by `with_physical_extension_codec`.
#[pyclass(frozen)]
struct Codec;

#[pymethods]
impl Codec {
    #[new]
    fn new() -> Self {
        Self
    }

    #[classattr]
    fn __datafusion_codec_id__() -> &'static str {
        "leaf"
    }

    #[pyo3(signature = (_session = None))]
    fn __datafusion_physical_extension_codec__<'py>(
        &self,
        py: Python<'py>,
        _session: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let provider: Arc<dyn TaskContextProvider> = Arc::clone(&*NO_CONTEXT) as _;
        let codec = FFI_PhysicalExtensionCodec::new(Arc::new(LeafCodec), None, &provider);
        PyCapsule::new_with_value(py, codec, c"datafusion_physical_extension_codec")
    }
}

#[pymodule]
fn firn_leaf(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(column::put, module)?)?;
    module.add_function(wrap_pyfunction!(column::drop, module)?)?;
    module.add_function(wrap_pyfunction!(column::held_bytes, module)?)?;
    module.add_class::<Codec>()
}
