use std::io::Write;

use leasehold_audit::{SinkError, Syslog, SyslogAddress};
use leasehold_config::RecordTarget;

/// Opens what access records are written to.
pub(super) fn open(target: &RecordTarget) -> Result<Box<dyn Write + Send>, SinkError> {
    Ok(match target {
        RecordTarget::Stdout => Box::new(leasehold_audit::stdout()?),
        RecordTarget::File(path) => Box::new(leasehold_audit::append(path)?),
        RecordTarget::SyslogUnix(path) => Box::new(Syslog::new(SyslogAddress::Unix(path.clone()))),
        RecordTarget::SyslogTcp(server) => {
            Box::new(Syslog::new(SyslogAddress::Tcp(server.clone())))
        }
    })
}
