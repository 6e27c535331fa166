use std::collections::BTreeMap;

use leasehold_model::{Accessor, RequestId};
use leasehold_provider::Material;
use leasehold_secret::Secret;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::said;

/// What every answer but an error comes in.
///
/// The data stays raw text until the operation, which knows its shape, reads it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Envelope<'a> {
    request_id: String,
    pub(crate) lease_id: String,
    /// In seconds.
    pub(crate) lease_duration: u64,
    pub(crate) renewable: bool,
    warnings: Option<Vec<String>>,
    pub(crate) auth: Option<Auth>,
    #[serde(borrow)]
    pub(crate) data: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Unreadable> {
        Ok(serde_json::from_slice(body)?)
    }

    /// Returns the server's own id of the call. A wrapped answer has none.
    pub(crate) fn request_id(&self) -> Option<RequestId> {
        (!self.request_id.is_empty()).then(|| RequestId::from(self.request_id.as_str()))
    }

    /// Returns the warnings, so far as they are safe to repeat.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.raw_warnings().map(|it| said::repeat(it)).collect()
    }

    /// Tells whether the server said that it cut the grant short.
    pub(crate) fn capped(&self) -> bool {
        self.raw_warnings()
            .any(|warning| warning.contains("capped"))
    }

    fn raw_warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().flatten()
    }
}

/// What a login, or the renewal of a token, was granted.
#[derive(Deserialize)]
pub(crate) struct Auth {
    #[serde(deserialize_with = "secret")]
    pub(crate) client_token: Secret,
    /// In seconds.
    #[serde(default)]
    pub(crate) lease_duration: u64,
    #[serde(default)]
    pub(crate) renewable: bool,
    #[serde(default)]
    pub(crate) num_uses: u64,
    /// Whether no other token takes it along when it dies.
    #[serde(default)]
    pub(crate) orphan: bool,
    #[serde(default)]
    accessor: String,
    #[serde(default)]
    policies: Option<Vec<String>>,
    #[serde(default)]
    token_policies: Option<Vec<String>>,
    #[serde(default)]
    identity_policies: Option<Vec<String>>,
}

impl Auth {
    /// Returns by what the token is found again; a batch token by nothing.
    pub(crate) fn accessor(&self) -> Option<Accessor> {
        (!self.accessor.is_empty()).then(|| Accessor::from(self.accessor.as_str()))
    }

    /// Tells whether the token has the policy, from whatever it has it.
    pub(crate) fn has_policy(&self, name: &str) -> bool {
        [
            &self.policies,
            &self.token_policies,
            &self.identity_policies,
        ]
        .into_iter()
        .flatten()
        .flatten()
        .any(|policy| policy == name)
    }
}

/// The data of a KV version 2 read.
#[derive(Deserialize)]
pub(crate) struct Versioned<'a> {
    /// The value; absent where the version was deleted.
    #[serde(borrow, default)]
    pub(crate) data: Option<&'a RawValue>,
    /// Absent where the engine is not KV version 2.
    #[serde(default)]
    pub(crate) metadata: Option<Metadata>,
}

impl<'a> Versioned<'a> {
    pub(crate) fn parse(data: &'a RawValue) -> Result<Self, Unreadable> {
        Ok(serde_json::from_str(data.get())?)
    }
}

/// What KV version 2 says about one version.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) destroyed: bool,
}

/// The secret fields of an answer.
pub(crate) struct Fields {
    pub(crate) material: Material,
    /// The names of the lists and objects, which no credential field can be.
    pub(crate) left_out: Vec<String>,
}

impl Fields {
    /// Reads an object: text as it is, numbers and booleans as they are written, nulls not at all.
    pub(crate) fn parse(data: &RawValue) -> Result<Self, Unreadable> {
        Self::parse_without(data, &[])
    }

    /// As [`Fields::parse`], without what is said about the credential and is no part of it.
    pub(crate) fn parse_without(data: &RawValue, leave: &[&str]) -> Result<Self, Unreadable> {
        let raw: BTreeMap<String, &RawValue> = serde_json::from_str(data.get())?;
        let mut fields = Self {
            material: Material::default(),
            left_out: Vec::new(),
        };
        for (name, value) in raw
            .into_iter()
            .filter(|(name, _)| !leave.contains(&name.as_str()))
        {
            fields.add(name, value.get())?;
        }
        Ok(fields)
    }

    fn add(&mut self, name: String, json: &str) -> Result<(), Unreadable> {
        match json.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(json)?;
                self.material.insert(name, Secret::new(text));
            }
            Some(b'{' | b'[') => self.left_out.push(name),
            Some(b'n') | None => {}
            // A number keeps the digits that it was written with: as a float it could lose some.
            Some(_) => self.material.insert(name, Secret::new(json)),
        }
        Ok(())
    }
}

/// Returns the error texts of an answer; none where it is not an error of the server's own.
///
/// They may quote what must not be repeated: [`said::repeat`] tells what may.
pub(crate) fn errors(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    // What is not JSON comes from something in between, and is no text of the server's.
    serde_json::from_slice(body).map_or_else(|_other| Vec::new(), |it: Errors| it.errors)
}

/// An answer is not of the shape that it should be.
///
/// Tells where and not what: the parser's own message may quote the value that it stumbled over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer could not be read (line {line}, column {column})")]
pub(crate) struct Unreadable {
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Reads a text that nobody may print.
pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use leasehold_secret::Expose as _;

    use super::*;

    const LEASE: &str = r#"{"request_id":"722a80a4-1","lease_id":"database/creds/app/MCXL",
        "renewable":true,"lease_duration":60,"wrap_info":null,"warnings":null,"auth":null,
        "data":{"password":"can\u0061ry\n","username":"v-app"}}"#;

    fn field(fields: &Fields, name: &str) -> String {
        let secret = fields.material.field(name).expect("the field");
        // EXPOSE: the test compares the value with the one that it wrote itself.
        secret.expose().as_str().expect("text").to_owned()
    }

    #[test]
    fn a_lease_keeps_all_that_the_engine_lives_on() {
        let envelope = Envelope::parse(LEASE.as_bytes()).expect("an envelope");
        assert_eq!(envelope.request_id(), Some(RequestId::from("722a80a4-1")));
        assert_eq!(envelope.lease_id, "database/creds/app/MCXL");
        assert!(envelope.renewable && !envelope.capped());
        assert_eq!(envelope.lease_duration, 60);
        let fields = Fields::parse(envelope.data.expect("data")).expect("fields");
        assert_eq!(field(&fields, "password"), "canary\n");
        assert_eq!(field(&fields, "username"), "v-app");
    }

    #[test]
    fn a_capped_grant_is_told_by_its_warning() {
        let body = r#"{"lease_id":"x","lease_duration":2,"warnings":["TTL of \"3s\" exceeded the effective max_ttl of \"2s\"; TTL value is capped accordingly"]}"#;
        let envelope = Envelope::parse(body.as_bytes()).expect("an envelope");
        assert!(envelope.capped());
        assert_eq!(envelope.request_id(), None);
        assert_eq!(envelope.warnings().len(), 1);
    }

    #[test]
    fn each_kind_of_json_value_has_its_text_or_is_left_out_by_name() {
        let json = r#"{"a":1.50,"b":true,"c":null,"d":["x"],"e":{"f":"x"},
            "g":123456789012345678901234567890,"h":""}"#;
        let raw: &RawValue = serde_json::from_str(json).expect("json");
        let fields = Fields::parse(raw).expect("fields");
        assert_eq!(field(&fields, "a"), "1.50");
        assert_eq!(field(&fields, "b"), "true");
        assert_eq!(field(&fields, "g"), "123456789012345678901234567890");
        assert_eq!(field(&fields, "h"), "");
        assert!(fields.material.field("c").is_none());
        assert_eq!(fields.left_out, ["d", "e"]);
    }

    #[test]
    fn a_deleted_version_has_metadata_and_no_value() {
        let body = br#"{"data":{"data":null,"metadata":{"version":3,"destroyed":false,
            "deletion_time":"2026-01-01T00:00:00Z"}}}"#;
        let envelope = Envelope::parse(body).expect("an envelope");
        let versioned = Versioned::parse(envelope.data.expect("data")).expect("versioned");
        assert!(versioned.data.is_none());
        assert_eq!(versioned.metadata.map(|it| it.version), Some(3));
    }

    #[test]
    fn what_stands_where_something_else_should_is_not_quoted() {
        for body in [
            r#"{"lease_duration":"canary"}"#,
            r#"{"auth":"canary"}"#,
            r#"{"data":canary}"#,
        ] {
            let error = Envelope::parse(body.as_bytes()).err().expect("an error");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        let raw: &RawValue = serde_json::from_str(r#""canary""#).expect("json");
        let error = Fields::parse(raw).err().expect("no object");
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn errors_of_others_are_no_errors_of_the_server() {
        assert_eq!(errors(br#"{"errors":["a","b"]}"#), ["a", "b"]);
        assert!(errors(b"<html>bad gateway</html>").is_empty());
        assert!(errors(br#"{"errors":[]}"#).is_empty());
    }
}
