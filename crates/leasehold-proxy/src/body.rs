mod error;
mod kept;
mod request;
mod response;
mod sealed;
mod upload;

pub(crate) use error::BodyError;
pub(crate) use kept::{Kept, Room};
pub(crate) use request::{RequestBody, Unread};
pub(crate) use response::ResponseBody;
pub(crate) use sealed::Seal;
pub(crate) use upload::{Demands, Stall, Upload};
