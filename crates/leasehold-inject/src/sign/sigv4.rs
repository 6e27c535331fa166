//! Signature Version 4 of AWS, in the headers.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::{SigningParams, generate_signing_key};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use leasehold_model::{Hash, Payload, SigV4};
use leasehold_provider::Material;
use leasehold_secret::{Expose as _, Secret};
use zeroize::Zeroizing;

use super::chunks::{ChunkSigner, encoded_length};
use super::{Known, SignError, Unsigned, Wants, digest};
use crate::alias::Alias;
use crate::prepare::{not_empty, wanted};
use crate::{Fault, PrepareError, TargetError};

/// Signs with the key of one generation, which the credentials of AWS's own crate hold.
pub(super) struct SigV4Signer {
    credentials: Credentials,
    region: String,
    service: String,
    payload: Payload,
}

impl SigV4Signer {
    pub(super) fn prepare(rule: &SigV4, material: &Material) -> Result<Self, PrepareError> {
        let token = material.field(&rule.session_token);
        let token = token.filter(|it| !it.is_empty());
        if token.is_none() && rule.needs_session_token {
            wanted(&rule.session_token, material)?;
            not_empty(&rule.session_token, &[])?;
        }
        let credentials = Credentials::new(
            text(&rule.access_key, wanted(&rule.access_key, material)?)?,
            text(&rule.secret_key, wanted(&rule.secret_key, material)?)?,
            token.map(|it| text(&rule.session_token, it)).transpose()?,
            None,
            "leasehold",
        );
        Ok(Self {
            credentials,
            region: rule.region.clone(),
            service: rule.service.clone(),
            payload: rule.payload,
        })
    }

    pub(super) const fn wants(&self) -> Wants {
        match self.payload {
            Payload::Unsigned => Wants::Nothing,
            Payload::Signed => Wants::Whole,
            Payload::Chunked => Wants::Length,
        }
    }

    pub(super) fn sign(
        &self,
        request: &mut Unsigned<'_>,
        now: SystemTime,
    ) -> Result<Option<ChunkSigner>, SignError> {
        let chunked = self.chunked(request)?;
        let payload = self.payload_hash(request, chunked)?;
        if let Some(length) = chunked {
            frame(request.headers, length)?;
        }
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(now)
            .settings(self.settings())
            .build()
            .map_err(|_hidden| SignError::Key)?
            .into();
        let signed = {
            let headers = signed_headers(request.headers)?;
            let target = request.path_and_query();
            let body = SignableBody::Precomputed(payload);
            let unsigned =
                SignableRequest::new(request.method.as_str(), target, headers.into_iter(), body);
            let unsigned = unsigned.map_err(|_hidden| SignError::Target)?;
            sign(unsigned, &params).map_err(|_hidden| SignError::Target)?
        };
        let (instructions, signature) = signed.into_parts();
        for (name, value) in instructions.headers() {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_hidden| SignError::Unfit)?;
            // The session token is among them, and the access key id.
            request.set_hidden(name, value.as_bytes())?;
        }
        Ok(chunked.map(|length| self.chunks(length, now, signature)))
    }

    /// Returns how long the body is, where it is sent in signed parts.
    fn chunked(&self, request: &Unsigned<'_>) -> Result<Option<u64>, SignError> {
        if is_chunked(request.headers) {
            return Err(SignError::SignedParts);
        }
        match (self.payload, request.body) {
            (Payload::Chunked, Known::Length(length)) => length
                .map(|length| (length > 0).then_some(length))
                .ok_or(SignError::NoLength),
            (Payload::Chunked, Known::Whole(body)) => {
                Ok(Some(body.len() as u64).filter(|it| *it > 0))
            }
            (Payload::Unsigned | Payload::Signed, _) => Ok(None),
        }
    }

    fn payload_hash(
        &self,
        request: &Unsigned<'_>,
        chunked: Option<u64>,
    ) -> Result<String, SignError> {
        let of = |body: &[u8]| {
            let digest = digest::of(Hash::Sha256, body);
            digest::written(leasehold_model::Encoding::Hex, digest.as_ref())
        };
        match self.payload {
            Payload::Unsigned => Ok(UNSIGNED.to_owned()),
            Payload::Signed => of(request.whole()?),
            Payload::Chunked if chunked.is_none() => of(&[]),
            Payload::Chunked => Ok(CHUNKED.to_owned()),
        }
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        // S3 signs the path as it is sent, since names of objects may hold anything.
        let is_s3 = self.service.starts_with("s3");
        if is_s3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        if is_s3 || self.payload != Payload::Signed {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }

    fn chunks(&self, length: u64, now: SystemTime, seed: String) -> ChunkSigner {
        let secret = self.credentials.secret_access_key();
        let key = generate_signing_key(secret, now, &self.region, &self.service);
        let time = super::time::written(leasehold_model::TimeForm::Basic, now);
        let date = time.split('T').next().unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        ChunkSigner::new(key.as_ref(), &format!("{time}\n{scope}"), seed, length)
    }
}

fn text(field: &str, secret: &Secret) -> Result<String, PrepareError> {
    // EXPOSE: AWS's crate takes keys as text and wipes them when it drops them; the secret key goes no
    // further than signatures.
    let value = secret.expose();
    not_empty(field, &value)?;
    let unfit = |fault| PrepareError::Unfit {
        field: field.to_owned(),
        fault,
    };
    let text = value.as_str().map_err(|_hidden| unfit(Fault::NotUtf8))?;
    if text.bytes().any(|it| !it.is_ascii_graphic()) {
        return Err(unfit(Fault::ControlCharacter));
    }
    Ok(text.to_owned())
}

/// Returns the headers that are signed: those that AWS asks for, and none that changes on the way.
fn signed_headers(headers: &HeaderMap) -> Result<Vec<(&str, &str)>, SignError> {
    if !headers.contains_key(HOST) {
        return Err(SignError::NoHost);
    }
    let is_signed = |name: &str| {
        [HOST.as_str(), CONTENT_TYPE.as_str(), "content-md5"].contains(&name)
            || name.starts_with("x-amz-")
    };
    let signed = headers.iter().filter(|(name, _)| is_signed(name.as_str()));
    let text = signed.map(|(name, value)| {
        let value = std::str::from_utf8(value.as_bytes());
        let value = value.map_err(|_hidden| SignError::NotText(name.as_str().to_owned()))?;
        Ok((name.as_str(), value))
    });
    text.collect()
}

/// Says in the head that the body is in signed parts, and how long it is without and with what they add.
fn frame(headers: &mut HeaderMap, length: u64) -> Result<(), SignError> {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let mut listed = vec![HeaderValue::from_static(AWS_CHUNKED)];
    listed.extend(codings.cloned());
    let listed: Vec<_> = listed.iter().map(HeaderValue::as_bytes).collect();
    let listed = HeaderValue::from_bytes(&listed.join(&b","[..]));
    headers.insert(
        CONTENT_ENCODING,
        listed.map_err(|_hidden| SignError::Unfit)?,
    );
    headers.insert(DECODED_LENGTH, HeaderValue::from(length));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(encoded_length(length)));
    Ok(())
}

/// Undoes [`frame`] in a head that was signed before and not sent. Consumers' words for it have been
/// taken out of every head by then.
pub(super) fn unframe(headers: &mut HeaderMap) {
    let Some(length) = headers.remove(DECODED_LENGTH) else {
        return;
    };
    headers.insert(CONTENT_LENGTH, length);
    let listed = headers.remove(CONTENT_ENCODING);
    let rest = listed.as_ref().and_then(|it| {
        let rest = it.as_bytes().strip_prefix(AWS_CHUNKED.as_bytes())?;
        HeaderValue::from_bytes(rest.strip_prefix(b",")?).ok()
    });
    if let Some(rest) = rest {
        headers.insert(CONTENT_ENCODING, rest);
    }
}

/// Tells whether a body is in signed parts already.
fn is_chunked(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = lists.flat_map(|it| it.as_bytes().split(|byte| *byte == b','));
    codings.any(|it| it.trim_ascii().eq_ignore_ascii_case(AWS_CHUNKED.as_bytes()))
}

/// Takes the parameters of a presigned URL out of a query; `None` where there are none.
pub(super) fn without_presigned(sent: &Uri) -> Result<Option<Uri>, TargetError> {
    let Some(query) = sent.query().filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let mut rest = query.as_bytes().to_vec();
    for name in PRESIGNED {
        let mut kept = Vec::with_capacity(rest.len());
        Alias::of(name).strip(&rest, b"&;", &mut kept);
        rest = kept;
    }
    if rest == query.as_bytes() {
        return Ok(None);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(sent.path().len() + 1 + rest.len()));
    text.extend_from_slice(sent.path().as_bytes());
    if !rest.is_empty() {
        text.push(b'?');
        text.extend_from_slice(&rest);
    }
    let whole = PathAndQuery::from_maybe_shared(Bytes::from_owner(text));
    let whole = whole.map_err(|_hidden| TargetError::TooLong)?;
    Ok(Some(Uri::from(whole)))
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const CHUNKED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const AWS_CHUNKED: &str = "aws-chunked";
const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");

/// What consumers must not send beside what the gateway sends there.
pub(super) static PLACES: [HeaderName; 7] = [
    AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-security-token"),
    // Of the form of Signature Version 4 that names several regions, and of S3 Express.
    HeaderName::from_static("x-amz-region-set"),
    HeaderName::from_static("x-amz-s3session-token"),
    DECODED_LENGTH,
];

/// Of both versions that are known by now.
const PRESIGNED: [&str; 12] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Content-Sha256",
    "X-Amz-Region-Set",
    "X-Amz-S3session-Token",
    "AWSAccessKeyId",
    "Signature",
];

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::Method;
    use leasehold_model::Signing;

    use super::super::Moment;
    use super::*;
    use crate::Signer;

    /// From the suite that AWS publishes, as its crate carries it. Its requests with escapes in the path
    /// are written before they are escaped, and are not what goes over a wire.
    #[test]
    fn signatures_are_those_of_the_published_suite() {
        for (method, target, signature) in [
            ("GET", "/", VANILLA),
            ("GET", "/example1/example2/../..", VANILLA),
            ("GET", "//", VANILLA),
            (
                "GET",
                "/./example",
                "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
            ),
            (
                "GET",
                "//example//",
                "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ),
            (
                "GET",
                "/?Param1=value1",
                "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
            ),
            (
                "GET",
                "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "POST",
                "/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "POST",
                "/?Param1=value1",
                "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
        ] {
            let headers = sign_suite(method, target, None);
            assert!(shown(&headers).ends_with(signature), "{method} {target}");
            assert!(shown(&headers).starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature="
            ));
        }
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let headers = sign_suite("GET", "/", Some(token));
        assert!(
            shown(&headers)
                .ends_with("07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8")
        );
        assert_eq!(headers["x-amz-security-token"], token);
        assert!(headers["x-amz-security-token"].is_sensitive());
    }

    #[test]
    fn s3_is_signed_as_in_its_published_examples() {
        for (target, signature) in [
            (
                "/?lifecycle",
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "/?max-keys=2&prefix=J",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let mut headers = head("examplebucket.s3.amazonaws.com");
            let signed = sign_s3(Payload::Signed, target, &mut headers, Known::Whole(&[]));
            assert!(signed.expect("signed").is_none());
            assert!(
                shown(&headers).ends_with(signature),
                "{target}: {headers:?}"
            );
        }
    }

    #[test]
    fn names_of_objects_are_signed_as_they_are_sent() {
        let sign = |target| {
            let mut headers = head("bucket.s3.amazonaws.com");
            let signed = sign_s3(Payload::Unsigned, target, &mut headers, Known::Length(None));
            assert!(signed.expect("signed").is_none());
            assert_eq!(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
            shown(&headers)
        };
        // Were they brought into one form first, these would be one name.
        assert_ne!(sign("/a//b"), sign("/a/b"));
        assert_ne!(sign("/a/./b"), sign("/a/b"));
        assert_ne!(sign("/a%2fb"), sign("/a%2Fb"));
    }

    #[test]
    fn a_body_in_parts_is_framed_and_a_second_signature_frames_it_once() {
        let mut headers = head("bucket.s3.amazonaws.com");
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("100000"));
        for _ in 0..2 {
            let body = Known::Length(Some(100_000));
            let signed = sign_s3(Payload::Chunked, "/a", &mut headers, body);
            assert!(signed.expect("signed").is_some());
            assert_eq!(headers["content-encoding"], "aws-chunked,gzip");
            assert_eq!(headers["x-amz-decoded-content-length"], "100000");
            assert_eq!(
                headers["content-length"],
                encoded_length(100_000).to_string().as_str()
            );
            assert_eq!(headers["x-amz-content-sha256"], CHUNKED);
            assert!(shown(&headers).contains("x-amz-decoded-content-length"));
        }
    }

    #[test]
    fn a_body_in_parts_has_a_length_and_no_parts_yet() {
        let mut headers = head("bucket.s3.amazonaws.com");
        let sign = |headers: &mut HeaderMap, body| {
            sign_s3(Payload::Chunked, "/a", headers, body).map(|it| it.is_some())
        };
        assert_eq!(
            sign(&mut headers, Known::Length(None)),
            Err(SignError::NoLength)
        );
        assert_eq!(sign(&mut headers, Known::Length(Some(0))), Ok(false));
        assert_eq!(sign(&mut headers, Known::Whole(b"abc")), Ok(true));
        let mut headers = head("bucket.s3.amazonaws.com");
        headers.insert(
            CONTENT_ENCODING,
            HeaderValue::from_static("gzip, AWS-Chunked"),
        );
        let signed = sign(&mut headers, Known::Length(Some(3)));
        assert_eq!(signed, Err(SignError::SignedParts));
    }

    #[test]
    fn what_the_consumer_signed_is_gone() {
        let mut headers = head("bucket.s3.amazonaws.com");
        for name in [
            "authorization",
            "x_amz_date",
            "x-amz-content-sha256",
            "x-amz-security-token",
            "x-amz-decoded-content-length",
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static("forged"),
            );
        }
        let signer = signer(Payload::Unsigned, "s3", None);
        signer.strip(&mut headers);
        assert_eq!(headers.len(), 1, "{headers:?}");
        let sent = "/a?X-Amz-Signature=f&b=%2f&x-amz-credential=f&X-Amz-SignedHeaders=f&X-Amz-Expires=1\
                    &x%2Damz%2ddate=1&c";
        let target = signer
            .target(&sent.parse().expect("a target"))
            .expect("fits");
        assert_eq!(target.expect("changed"), "/a?b=%2f&c");
        assert_eq!(signer.target(&Uri::from_static("/a?b&c=%2f")), Ok(None));
        assert_eq!(
            signer.target(&Uri::from_static("/a?X-Amz-Date=1")),
            Ok(Some(Uri::from_static("/a")))
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", signer(Payload::Signed, "s3", None));
        assert!(!text.contains("wJalr") && !text.contains("AKID"), "{text}");
    }

    #[test]
    fn a_session_token_that_must_be_there_is_asked_for() {
        let mut rule = rule(Payload::Signed, "s3");
        rule.needs_session_token = true;
        let refused = SigV4Signer::prepare(&rule, &material(None));
        assert!(matches!(
            refused.err(),
            Some(PrepareError::MissingField { .. })
        ));
        let refused = SigV4Signer::prepare(&rule, &material(Some("")));
        assert!(matches!(
            refused.err(),
            Some(PrepareError::EmptyField { .. })
        ));
    }

    fn sign_suite(method: &str, target: &str, token: Option<&str>) -> HeaderMap {
        let mut headers = head("example.amazonaws.com");
        let target = target.parse().expect("a target");
        let mut request = Unsigned {
            method: &Method::from_bytes(method.as_bytes()).expect("a method"),
            scheme: "https",
            target: &target,
            headers: &mut headers,
            body: Known::Whole(&[]),
        };
        let signer = signer(Payload::Signed, "service", token);
        let signed = signer.sign(&mut request, &at(1_440_938_160));
        assert!(signed.expect("signed").is_none());
        headers
    }

    fn sign_s3(
        payload: Payload,
        target: &str,
        headers: &mut HeaderMap,
        body: Known<'_>,
    ) -> Result<Option<ChunkSigner>, SignError> {
        let target = target.parse().expect("a target");
        let mut request = Unsigned {
            method: &Method::GET,
            scheme: "https",
            target: &target,
            headers,
            body,
        };
        let mut material = material(None);
        material.insert("access_key", Secret::new("AKIAIOSFODNN7EXAMPLE"));
        material.insert(
            "secret_key",
            Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        );
        let signing = Signing::SigV4(rule(payload, "s3"));
        let signer = Signer::prepare(&signing, &material).expect("a key");
        signer.sign(&mut request, &at(1_369_353_600))
    }

    fn at(seconds: u64) -> Moment {
        Moment {
            now: UNIX_EPOCH + Duration::from_secs(seconds),
            nonce: [0; 16],
        }
    }

    fn head(host: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))])
    }

    fn shown(headers: &HeaderMap) -> String {
        let shown = headers["authorization"].to_str();
        shown.expect("text").to_owned()
    }

    fn signer(payload: Payload, service: &str, token: Option<&str>) -> Signer {
        let signing = Signing::SigV4(rule(payload, service));
        Signer::prepare(&signing, &material(token)).expect("a key")
    }

    fn material(token: Option<&str>) -> Material {
        let mut material = Material::default();
        material.insert("access_key", Secret::new("AKIDEXAMPLE"));
        material.insert(
            "secret_key",
            Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        );
        if let Some(token) = token {
            material.insert("security_token", Secret::new(token));
        }
        material
    }

    fn rule(payload: Payload, service: &str) -> SigV4 {
        SigV4 {
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
            payload,
            access_key: "access_key".to_owned(),
            secret_key: "secret_key".to_owned(),
            session_token: "security_token".to_owned(),
            needs_session_token: false,
        }
    }

    const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
}
