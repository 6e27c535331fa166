use std::path::Path;

/// What tells one server's configuration from another's.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) node: String,
    pub(super) port: u16,
    pub(super) cluster_port: u16,
    pub(super) audit: Audit,
}

/// Where a server writes what it was asked and what it answered.
#[derive(Clone, Debug)]
pub(super) enum Audit {
    /// To two files, one of which shows accessors.
    Files,
    /// To one HTTP server and to nothing else, so that what it refuses is refused.
    Http(String),
}

// === impl Config ===

impl Config {
    pub(super) fn text(&self, dir: &Path) -> String {
        let Self {
            node,
            port,
            cluster_port,
            audit,
        } = self;
        let dir = dir.display();
        let audit = audit.text();
        format!(
            r#"
ui = false
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"

storage "raft" {{
  path = "{dir}/raft"
  node_id = "{node}"
  performance_multiplier = 1
}}

listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
{audit}"#
        )
    }
}

// === impl Audit ===

impl Audit {
    /// The files are named relative to the server's directory, because a cluster's nodes must agree
    /// on this text to the letter.
    fn text(&self) -> String {
        match self {
            Self::Files => FILES.to_owned(),
            Self::Http(url) => {
                format!(
                    "\naudit \"http\" \"only\" {{\n  options {{\n    uri = \"{url}\"\n  }}\n}}\n"
                )
            }
        }
    }
}

const FILES: &str = r#"
audit "file" "main" {
  options {
    file_path = "audit.log"
  }
}

audit "file" "accessors" {
  options {
    file_path = "audit-accessors.log"
    hmac_accessor = "false"
  }
}
"#;
