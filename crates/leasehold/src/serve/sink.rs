use std::io::Write;

use leasehold_audit::SinkError;
use leasehold_config::RecordTarget;

/// Opens what access records are written to.
pub(super) fn open(target: &RecordTarget) -> Result<Box<dyn Write + Send>, SinkError> {
    Ok(match target {
        RecordTarget::Stdout => Box::new(leasehold_audit::stdout()?),
        RecordTarget::File(path) => Box::new(leasehold_audit::append(path)?),
    })
}
