use leasehold_secret::{EnvError, Expose as _, ReadError, Secret, read_env, read_trimmed};

use crate::config::auth::AwsCredentials;

/// An AWS access key.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) access_key: Secret,
    pub(super) secret_key: Secret,
    /// There is one where the key is a temporary one.
    pub(super) session_token: Option<Secret>,
}

impl Keys {
    pub(super) fn read(from: &AwsCredentials) -> Result<Self, KeysError> {
        match from {
            AwsCredentials::Environment => Self::from_environment(read_env),
            AwsCredentials::File { file, profile } => {
                Self::from_file(&read_trimmed(file)?, profile)
            }
        }
    }

    fn from_environment(
        read: impl Fn(&str) -> Result<Secret, EnvError>,
    ) -> Result<Self, KeysError> {
        Ok(Self {
            access_key: read("AWS_ACCESS_KEY_ID")?,
            secret_key: read("AWS_SECRET_ACCESS_KEY")?,
            session_token: read("AWS_SESSION_TOKEN").ok(),
        })
    }

    fn from_file(file: &Secret, profile: &str) -> Result<Self, KeysError> {
        // EXPOSE: the file holds the key in clear among others; three values are taken out of it.
        let text = file.expose();
        let text = text.as_str().map_err(|_not_text| KeysError::NotText)?;
        let section = section(text, profile).ok_or_else(|| KeysError::NoProfile {
            profile: profile.to_owned(),
        })?;
        let value = |name: &'static str| {
            let found = section.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| Secret::new(*value))
        };
        let wanted = |name| {
            let profile = profile.to_owned();
            value(name).ok_or(KeysError::Missing { name, profile })
        };
        Ok(Self {
            access_key: wanted("aws_access_key_id")?,
            secret_key: wanted("aws_secret_access_key")?,
            session_token: value("aws_session_token"),
        })
    }
}

/// Returns the settings of one section; none where there is no such section.
fn section<'a>(text: &'a str, name: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut found = None;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            inside = header.split(']').next().map(str::trim) == Some(name);
            if inside {
                found.get_or_insert_with(Vec::new);
            }
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
            && let Some(settings) = &mut found
        {
            settings.push((key.trim(), value.trim()));
        }
    }
    found.map(|mut settings| {
        settings.retain(|(_, value)| !value.is_empty());
        settings
    })
}

/// Why there is no access key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("no access key in the environment")]
    Env(#[from] EnvError),
    #[error("no access key from a file")]
    File(#[from] ReadError),
    #[error("the file of access keys is not text")]
    NotText,
    #[error("the file of access keys has no profile {profile:?}")]
    NoProfile { profile: String },
    #[error("the file of access keys has no {name} in profile {profile:?}")]
    Missing { name: &'static str, profile: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# made by hand\n[default]\naws_access_key_id = AKID\n\
        aws_secret_access_key=se=cret/+\n\n[ temporary ]\naws_access_key_id=ASIA\n\
        aws_secret_access_key = other\naws_session_token = tok==\n; aws_session_token = old\n\
        [empty]\naws_access_key_id =\n";

    fn keys(profile: &str) -> Result<[Option<String>; 3], KeysError> {
        let keys = Keys::from_file(&Secret::new(FILE), profile)?;
        let text = |secret: &Secret| {
            // EXPOSE: the test compares the value with the one that it wrote itself.
            secret.expose().as_str().expect("text").to_owned()
        };
        Ok([
            Some(text(&keys.access_key)),
            Some(text(&keys.secret_key)),
            keys.session_token.as_ref().map(text),
        ])
    }

    #[test]
    fn each_profile_of_a_file_has_its_own_key() {
        let some = |text: &str| Some(text.to_owned());
        let read = keys("default").expect("a key");
        assert_eq!(read, [some("AKID"), some("se=cret/+"), None]);
        let read = keys("temporary").expect("a key");
        assert_eq!(read, [some("ASIA"), some("other"), some("tok==")]);
        assert!(matches!(keys("nobody"), Err(KeysError::NoProfile { .. })));
        assert!(matches!(keys("empty"), Err(KeysError::Missing { .. })));
    }

    #[test]
    fn the_environment_has_a_session_token_or_not() {
        let without = |name: &'static str| {
            move |asked: &str| match asked == name {
                true => Err(EnvError::Unset {
                    name: asked.to_owned(),
                }),
                false => Ok(Secret::new(asked)),
            }
        };
        let keys = Keys::from_environment(without("")).expect("keys");
        assert!(keys.session_token.is_some());
        let keys = Keys::from_environment(without("AWS_SESSION_TOKEN")).expect("keys");
        assert!(keys.session_token.is_none());
        let error = Keys::from_environment(without("AWS_SECRET_ACCESS_KEY")).err();
        assert!(matches!(error, Some(KeysError::Env(_))));
    }
}
