use bytes::Bytes;
use reqwest::Response;
use serde::Serialize;
use zeroize::Zeroizing;

/// Reads the body of an answer into a buffer that is wiped when it is dropped.
pub(crate) async fn read(mut response: Response) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let announced = response
        .content_length()
        .map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced > LARGEST {
        return Err(BodyError::TooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced.max(SMALLEST)));
    while let Some(chunk) = response.chunk().await? {
        append(&mut body, &chunk)?;
    }
    Ok(body)
}

/// Writes a request's body into a buffer that is wiped when the last holder drops it.
///
/// `longest` is the most that the JSON text can take up.
pub(crate) fn write<T: Serialize>(value: &T, longest: usize) -> Result<Bytes, serde_json::Error> {
    let mut body = Zeroizing::new(Vec::with_capacity(longest));
    serde_json::to_writer(&mut *body, value)?;
    Ok(Bytes::from_owner(body))
}

fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) -> Result<(), BodyError> {
    let length = body.len().saturating_add(chunk.len());
    if length > LARGEST {
        return Err(BodyError::TooLarge);
    }
    if length > body.capacity() {
        // Growing in place could move the bytes and free the old buffer as it is.
        let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
    Ok(())
}

/// Why the body of an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("the answer broke off")]
    Broken(#[from] reqwest::Error),
}

const LARGEST: usize = 1024 * 1024;
const SMALLEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_grows_chunk_by_chunk_up_to_the_limit_and_no_further() {
        let mut body = Zeroizing::new(Vec::with_capacity(4));
        append(&mut body, b"abc").expect("fits");
        append(&mut body, b"defgh").expect("grows");
        assert_eq!(&**body, b"abcdefgh");
        let rest = vec![b'x'; LARGEST - body.len()];
        append(&mut body, &rest).expect("reaches the limit");
        assert!(matches!(append(&mut body, b"x"), Err(BodyError::TooLarge)));
    }

    #[test]
    fn a_request_is_written_into_the_room_that_was_reserved() {
        let body = write(&["a\"b"], 64).expect("writes");
        assert_eq!(&*body, br#"["a\"b"]"#);
    }
}
