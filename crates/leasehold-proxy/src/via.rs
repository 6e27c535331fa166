use leasehold_model::ListenerName;

/// What is known of a connection from a consumer before its first request.
#[derive(Debug)]
pub(crate) struct Via {
    pub(crate) listener: ListenerName,
}
