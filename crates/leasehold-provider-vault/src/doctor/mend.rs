use super::need::{self, Need};
use super::visit::Token;

/// Writes the commands that mend what was found.
pub(super) struct Mender {
    /// `bao` or `vault`.
    program: &'static str,
    namespace: Option<String>,
    /// The role that the login is made by, such as `auth/approle/role/gateway`.
    login_role: Option<String>,
    needs: Vec<Need>,
    token_role: Option<String>,
}

impl Mender {
    pub(super) const fn new(program: &'static str, namespace: Option<String>) -> Self {
        Self {
            program,
            namespace,
            login_role: None,
            needs: Vec::new(),
            token_role: None,
        }
    }

    /// Takes in what is known once there is a login.
    pub(super) fn set_up(
        &mut self,
        token: Option<&Token>,
        needs: Vec<Need>,
        token_role: Option<String>,
    ) {
        self.login_role = token.and_then(login_role);
        self.needs = needs;
        self.token_role = token_role;
    }

    pub(super) fn login_role(&self) -> Option<&str> {
        self.login_role.as_deref()
    }

    /// Sets something at the role of the login.
    pub(super) fn role(&self, settings: &str) -> String {
        let role = self.login_role.as_deref();
        let role = role.map_or_else(|| "auth/MOUNT/role/ROLE".to_owned(), quoted);
        format!("{} {role} {settings}", self.command("write"))
    }

    /// Gives the login, and the anchors, a policy of their own with what they need and no more.
    ///
    /// A policy that is there already is left as it is: others may live by it.
    pub(super) fn policy(&self) -> String {
        let login = self.policy_of_login(&self.needs);
        let Some(role) = &self.token_role else {
            return login;
        };
        let allowed = format!("allowed_policies={}", self.policy_name());
        format!("{login}\n{}", self.token_role(role, &allowed))
    }

    fn policy_of_login(&self, needs: &[Need]) -> String {
        let name = self.policy_name();
        format!(
            "{} {name} - <<'EOF'\n{}EOF\n{}",
            self.command("policy write"),
            need::policy(needs),
            self.role(&format!("token_policies={name}"))
        )
    }

    /// Makes the token role what anchors need.
    pub(super) fn anchors(&self, role: &str, is_there: bool) -> String {
        let settings = "orphan=true renewable=true token_period=1h token_explicit_max_ttl=0 \
                        token_type=default-service";
        if is_there {
            return self.token_role(role, settings);
        }
        let allowed = format!("{settings} allowed_policies={}", self.policy_name());
        // Without its policy the anchors of a new role could do nothing.
        let needs: Vec<Need> = self
            .needs
            .iter()
            .cloned()
            .chain(need::of_anchors(role))
            .collect();
        format!(
            "{}
{}",
            self.token_role(role, &allowed),
            self.policy_of_login(&needs)
        )
    }

    /// Sets something at any path.
    pub(super) fn write(&self, path: &str, settings: &str) -> String {
        self.set("write", path, settings)
    }

    /// As [`Mender::write`], with the verb that the path takes.
    pub(super) fn set(&self, verb: &str, path: &str, settings: &str) -> String {
        format!("{} {} {settings}", self.command(verb), quoted(path))
    }

    /// Runs a command that is about nothing further.
    pub(super) fn run(&self, command: &str) -> String {
        self.command(command)
    }

    /// Runs a command on one thing, whose name may be the server's.
    pub(super) fn run_on(&self, command: &str, subject: &str) -> String {
        format!("{} {}", self.command(command), quoted(subject))
    }

    /// Puts a new secret id of a role into a file that its owner alone can read.
    pub(super) fn secret_id(&self, role: &str, file: &str) -> String {
        let issue = self.command("write");
        let path = quoted(&format!("{role}/secret-id"));
        let file = quoted(file);
        format!("(umask 077 && {issue} -f -field=secret_id {path} > {file})")
    }

    fn token_role(&self, role: &str, settings: &str) -> String {
        self.write(&format!("auth/token/roles/{role}"), settings)
    }

    fn policy_name(&self) -> String {
        let role = self
            .login_role
            .as_deref()
            .and_then(|it| it.rsplit('/').next());
        quoted(&role.map_or_else(
            || "leasehold".to_owned(),
            |role| format!("leasehold-{role}"),
        ))
    }

    fn command(&self, verb: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {verb} -namespace={}", self.program, quoted(namespace)),
            None => format!("{} {verb}", self.program),
        }
    }
}

/// Tells by what role a token was made, from the path that it was made at and what the method noted.
fn login_role(token: &Token) -> Option<String> {
    let mount = token.path.strip_suffix("/login")?;
    let meta = token.meta.as_ref()?;
    if let Some(certificate) = meta.get("cert_name") {
        return Some(format!("{mount}/certs/{certificate}"));
    }
    let role = meta.get("role_name").or_else(|| meta.get("role"))?;
    Some(format!("{mount}/role/{role}"))
}

/// Writes a word so that a shell takes it as one.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.:@+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_shell_would_read_otherwise_is_quoted() {
        assert_eq!(quoted("database/roles/app"), "database/roles/app");
        assert_eq!(quoted("a b; rm *"), "'a b; rm *'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn the_role_of_a_login_is_told_from_what_its_method_notes() {
        let token = |path: &str, key: &str| Token {
            ttl: 1,
            explicit_max_ttl: 0,
            period: 0,
            orphan: true,
            renewable: true,
            entity_id: String::new(),
            identity_policies: None,
            policies: Vec::new(),
            path: path.to_owned(),
            meta: Some([(key.to_owned(), "r".to_owned())].into()),
            kind: "service".to_owned(),
        };
        let role = |path, key| login_role(&token(path, key));
        assert_eq!(
            role("auth/team/approle/login", "role_name").as_deref(),
            Some("auth/team/approle/role/r")
        );
        assert_eq!(
            role("auth/jwt/login", "role").as_deref(),
            Some("auth/jwt/role/r")
        );
        assert_eq!(
            role("auth/cert/login", "cert_name").as_deref(),
            Some("auth/cert/certs/r")
        );
        assert_eq!(role("auth/token/create", "role"), None);
    }
}
