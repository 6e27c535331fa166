mod error;
mod request;
mod response;

pub(crate) use error::BodyError;
pub(crate) use request::{RequestBody, Stall, Upload};
pub(crate) use response::ResponseBody;
