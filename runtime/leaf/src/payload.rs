//! What a leaf gives, as bytes. All numbers are little-endian, text and lists have their length (u32) before them.
//!
//! payload: name, fields, partitions; field: u8 (1 when it may be null), name; partition: a list of runs;
//! run: u32 (1 when it begins a file), and a column's id (u64) for each field, all of one row group.

use datafusion_common::{DataFusionError, Result};

pub struct Payload {
    pub name: String,
    /// Name, and whether it may be null.
    pub fields: Vec<(String, bool)>,
    pub partitions: Vec<Vec<Run>>,
}

pub struct Run {
    pub begins_file: bool,
    pub columns: Vec<u64>,
}

impl Payload {
    pub fn parse(data: &[u8]) -> Result<Self> {
        let mut reader = Reader(data);
        let name = reader.text()?;
        let fields = (0..reader.u32()?)
            .map(|_| {
                let nullable = reader.take::<1>()?[0] == 1;
                Ok((reader.text()?, nullable))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut partitions = Vec::new();
        for _ in 0..reader.u32()? {
            let mut runs = Vec::new();
            for _ in 0..reader.u32()? {
                let begins_file = reader.u32()? == 1;
                let columns = (0..fields.len())
                    .map(|_| reader.u64())
                    .collect::<Result<Vec<_>>>()?;
                runs.push(Run {
                    begins_file,
                    columns,
                });
            }
            partitions.push(runs);
        }
        Ok(Self {
            name,
            fields,
            partitions,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(torn)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(torn)?;
        self.0 = rest;
        String::from_utf8(head.to_vec()).map_err(|_| torn())
    }
}

fn torn() -> DataFusionError {
    DataFusionError::Execution("the payload of a leaf is torn".to_string())
}
