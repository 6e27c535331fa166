mod error;
mod kept;
mod request;
mod response;
mod sealed;

pub(crate) use error::BodyError;
pub(crate) use kept::{Kept, Room};
pub(crate) use request::{Demands, RequestBody, Stall, Unread, Upload};
pub(crate) use response::ResponseBody;
pub(crate) use sealed::Seal;
