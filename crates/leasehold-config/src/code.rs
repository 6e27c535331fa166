use std::fmt;

/// Declares the closed set of fault codes, so that none can be missing from [`Code::ALL`].
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What kind of fault a document has.
        ///
        /// The codes are stable: scripts and editors may tell faults apart by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name),+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the code as reports show it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("leasehold::config::", $text)),+
                }
            }
        }
    };
}

codes! {
    /// The text is not one YAML document.
    Yaml = "yaml",
    /// The file is not text in UTF-8.
    NotUtf8 = "not_utf8",
    /// The document exceeds the size limit.
    TooLarge = "too_large",
    /// A key stands twice in one mapping.
    DuplicateKey = "duplicate_key",
    /// A field that does not exist.
    UnknownField = "unknown_field",
    /// A field that must be there is not.
    MissingField = "missing_field",
    /// A value of another type than the field's.
    WrongType = "wrong_type",
    /// A word that is none of those that may stand here.
    UnknownValue = "unknown_value",
    /// A list or mapping that must hold something is empty.
    Empty = "empty",
    /// A number or duration beyond its limits.
    OutOfRange = "out_of_range",
    /// A name that has not the form of one.
    BadName = "bad_name",
    /// Not an IP address with a port.
    BadAddress = "bad_address",
    /// Not a URL that can stand here.
    BadUrl = "bad_url",
    /// Not a whole number with a unit.
    BadDuration = "bad_duration",
    /// Not a whole number of bytes with a unit.
    BadSize = "bad_size",
    /// Not a SHA-256 in hexadecimal.
    BadDigest = "bad_digest",
    /// Not a header that can be set or read.
    BadHeader = "bad_header",
    /// Not a template of what a credential is shown as.
    BadTemplate = "bad_template",
    /// Not a host name.
    BadHost = "bad_host",
    /// Not a method that can stand here.
    BadMethod = "bad_method",
    /// Not an origin as browsers send it.
    BadOrigin = "bad_origin",
    /// Not a path that can stand here.
    BadPath = "bad_path",
    /// A provider that is not declared.
    UnknownProvider = "unknown_provider",
    /// A credential that is not declared.
    UnknownCredential = "unknown_credential",
    /// An upstream that is not declared.
    UnknownUpstream = "unknown_upstream",
    /// A route that is not declared.
    UnknownRoute = "unknown_route",
    /// Somebody would be shown a credential that is bound to other hosts.
    OutsideHosts = "outside_hosts",
    /// A consumer that is not declared.
    UnknownConsumer = "unknown_consumer",
    /// A token issuer that is not declared.
    UnknownIssuer = "unknown_issuer",
    /// A limit that is not declared.
    UnknownLimit = "unknown_limit",
    /// Fields that exclude each other, or that go only together.
    BadCombination = "bad_combination",
    /// A source that the provider's kind does not have.
    ProviderMismatch = "provider_mismatch",
    /// Two listeners on one address.
    DuplicateAddress = "duplicate_address",
    /// Two routes that take exactly the same requests.
    DuplicateRoute = "duplicate_route",
    /// Two routes of one name.
    DuplicateName = "duplicate_name",
    /// One consumer key declared twice.
    DuplicateConsumerKey = "duplicate_consumer_key",
    /// One certificate or issuer of tokens declared twice.
    DuplicateIdentity = "duplicate_identity",
    /// A secret value where only a reference may stand.
    SecretValue = "secret_value",
    /// A consumer key where only its digest may stand.
    ConsumerKeyInClear = "consumer_key_in_clear",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
