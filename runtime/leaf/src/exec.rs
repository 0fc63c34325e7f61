//! The leaf's operator: it gives out the pieces of its columns as they are, without a copy.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DataFusionError, Result};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion_physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::stream;

use crate::column::{self, Column};
use crate::payload::Payload;

/// Columns of one row group, one for each field.
#[derive(Debug)]
struct Group {
    begins_file: bool,
    columns: Vec<Arc<Column>>,
}

impl Group {
    fn pieces(&self) -> usize {
        self.columns.first().map_or(0, |column| column.pieces.len())
    }
}

#[derive(Debug)]
pub struct LeafExec {
    name: String,
    schema: SchemaRef,
    partitions: Vec<Arc<Vec<Group>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LeafExec {
    /// Take a reference on all columns of a payload; fails when one is gone, or of another type than others.
    pub fn try_new(payload: Payload) -> Result<Self> {
        let mut partitions = Vec::with_capacity(payload.partitions.len());
        for runs in payload.partitions {
            let mut groups = Vec::with_capacity(runs.len());
            for run in runs {
                let columns = run
                    .columns
                    .iter()
                    .map(|id| found(*id))
                    .collect::<Result<Vec<_>>>()?;
                groups.push(Group {
                    begins_file: run.begins_file,
                    columns,
                });
            }
            partitions.push(Arc::new(groups));
        }
        let groups = || partitions.iter().flat_map(|groups| groups.iter());
        let first = groups().next().ok_or_else(|| wrong("has no columns"))?;
        let types = first
            .columns
            .iter()
            .map(|column| column.data_type.clone())
            .collect::<Vec<_>>();
        for group in groups() {
            if group
                .columns
                .iter()
                .zip(&types)
                .any(|(column, kind)| column.data_type != *kind)
            {
                return Err(wrong("has columns of several types"));
            }
            if group
                .columns
                .iter()
                .any(|column| column.pieces.len() != group.pieces())
            {
                return Err(wrong("has columns that do not fit together"));
            }
        }
        let fields = payload.fields.into_iter().zip(types);
        let fields = fields.map(|((name, nullable), kind)| Field::new(name, kind, nullable));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::NonCooperative);
        Ok(Self {
            name: payload.name,
            schema,
            partitions,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

fn found(id: u64) -> Result<Arc<Column>> {
    column::find(id).ok_or_else(|| wrong("names a column that is not there"))
}

fn wrong(what: &str) -> DataFusionError {
    DataFusionError::Execution(format!("a leaf {what}"))
}

impl DisplayAs for LeafExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl ExecutionPlan for LeafExec {
    fn name(&self) -> &str {
        &self.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let groups = Arc::clone(
            self.partitions
                .get(partition)
                .ok_or_else(|| wrong("has no such partition"))?,
        );
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition);
        let files = MetricBuilder::new(&self.metrics).counter("files_opened", partition);
        let schema = Arc::clone(&self.schema);
        let places = (0..groups.len()).flat_map({
            let groups = Arc::clone(&groups);
            move |group| (0..groups[group].pieces()).map(move |piece| (group, piece))
        });
        let batches = places.map(move |(number, piece)| {
            let group = &groups[number];
            if group.begins_file && piece == 0 {
                files.add(1);
            }
            let arrays: Vec<ArrayRef> = group
                .columns
                .iter()
                .map(|column| Arc::clone(&column.pieces[piece]))
                .collect();
            bytes.add(
                arrays
                    .iter()
                    .map(|array| array.get_buffer_memory_size())
                    .sum(),
            );
            let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
            baseline.record_output(batch.num_rows());
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream::iter(batches),
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
